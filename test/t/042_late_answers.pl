# A request is still open when a webhook says that its message has failed, and a
# person puts the message back: the answer comes late, and concerns the old
# attempt only, whatever it is.  And rows that have moved until the answer comes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled invariants_hold);
use WaLoad qw(stopwatch);
use WaTest qw(logged_nothing_bad);

# Answers that come late: when answer() is called.
my $delay = 5;
my ($node, $sim) = new_delivery('late',
	settings => [ "whatsapp_shared.uncertain_policy = 'park'", "whatsapp_shared.request_timeout = '10min'" ]);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

# Meta's word that the first attempts of these messages have failed.
sub fail_by_webhook
{
	my ($wamids) = @_;
	return tell_by_webhook($wamids, 'failed', errors => [ { code => 131026, title => 'Message undeliverable' } ]);
}

# Meta's word on the first attempts of these messages.
sub tell_by_webhook
{
	my ($wamids, $status, %more) = @_;
	my $installation = sql('SELECT installation_id FROM whatsapp_installation');
	my @statuses = map {
		{
			id => $wamids->{$_},
			status => $status,
			timestamp => '' . int(time),
			recipient_id => sql("SELECT substr(recipient_phone, 2) FROM whatsapp_messages WHERE id = $_"),
			biz_opaque_callback_data => "wa1:$installation:$_:1",
			%more
		}
	} sort keys %$wamids;
	my $value = {
		messaging_product => 'whatsapp',
		metadata => { phone_number_id => '100000000000001' },
		statuses => \@statuses
	};
	my $body = JSON::PP->new->utf8->encode({
			object => 'whatsapp_business_account',
			entry => [ { id => '300000000000001', changes => [ { field => 'messages', value => $value } ] } ]
		});
	my $signature = 'sha256=' . hmac_sha256_hex($body, 'SIMULATOR_APP_SECRET');

	return sql(sprintf q{SELECT wa_webhook_ingest(decode('%s', 'hex'), '%s') -> 'statuses' ->> 'applied'}, unpack('H*', $body), $signature);
}

sub requests_to
{
	my ($recipient) = @_;
	return grep { $_->{message}{to} eq $recipient } $sim->requests;
}

sub place_in_queue
{
	my ($message) = @_;
	return sql("SELECT ctid FROM whatsapp_queue WHERE message_id = $message");
}

# How each request ends, and what is on record of it then.
my %answer = (
	accepted => [ {}, '1 failed' ],
	refused => [ { code => 131026, status => 400 }, '1 failed, 1 permanent' ],
	retried => [ { code => 131016, status => 500 }, '1 failed, 1 retry' ],
	unclear => [ { reply => 'garbage' }, '1 failed, 1 uncertain' ]);
my @names = sort keys %answer;
my %recipient = map { $names[$_] => "+3461420000$_" } 0 .. $#names;

$sim->faults(
	map {
		{ match => { recipient => $recipient{$_} }, times => 1, delay_ms => 1000 * $delay, %{ $answer{$_}[0] } }
	} @names);
$sim->hold_answers;
my %id = map { $_ => enqueue($node, 't1', $recipient{$_}) } @names;
wait_status($node, $id{$_}, 'sending', "$_: the request is open") foreach @names;

my %wamid;
foreach my $name (@names)
{
	my ($request) = requests_to($recipient{$name});

	$wamid{ $id{$name} } = $request->{wamid} // "wamid.OF.$name";
}
is(fail_by_webhook(\%wamid), scalar @names, 'a webhook says that they have failed');
is(sql("SELECT wa_retry_message($id{$_})"), 't', "$_: the message is put back") foreach @names;
is(sql('SELECT sum(cardinality(message_ids)) FROM whatsapp_leases'), scalar @names, 'all requests are still open');
invariants_hold($node);

my ($answered, $watch) = (time, stopwatch($node, $sim));
$sim->answer(1000 * $delay);
settled($node, 'everything comes to an end');
my $soon = $delay + 10 + $watch->waited;    # by so much its clock may be ahead
foreach my $name (@names)
{
	my @requests = requests_to($recipient{$name});

	is(scalar @requests, 2, "$name: exactly one further request is sent");
	is( sql("SELECT status, attempts, whatsapp_message_id FROM whatsapp_messages WHERE id = $id{$name}"),
		"accepted|2|$requests[-1]{wamid}",
		"$name: the message is what became of that");
	cmp_ok($requests[-1]{time} - $answered, '<', $soon, "$name: it follows the late answer at once");
	is( sql("SELECT string_agg(attempt || ' ' || outcome, ', ' ORDER BY ended_at) FROM whatsapp_attempts WHERE message_id = $id{$name}"),
		$answer{$name}[1],
		"$name: and the late answer is on record");
}
cmp_ok(sql("SELECT count(*) FROM whatsapp_wamids WHERE whatsapp_message_id = '$wamid{ $id{accepted} }'"),
	'>', 0, 'the wamid of the late acceptance is known');


# ---- rows that move meanwhile ---------------------------------------------------
# The sender remembers where it has read them; something else may be there by now.
my ($first, $second, $third) = map { "+3461430000$_" } 1 .. 3;

sql("VACUUM FULL $_") foreach qw(whatsapp_queue whatsapp_messages);
$sim->faults(
	{ match => { recipient => $second }, times => 1, delay_ms => 1000 * $delay },
	{ match => { recipient => $third }, times => 1, delay_ms => 1000 * ($delay + 1), code => 131016, status => 500 });
my $gone = enqueue($node, 't1', $first);
wait_status($node, $gone, 'accepted', 'the first is accepted');
$sim->hold_answers;
my ($moved, $refused) = map { enqueue($node, 't1', $_) } $second, $third;
my $place = place_in_queue($moved);
wait_status($node, $_, 'sending', 'the others are open') foreach $moved, $refused;
sql("VACUUM FULL $_") foreach qw(whatsapp_queue whatsapp_messages);
is(place_in_queue($refused), $place, 'one lies where the other lay');

$sim->advance_clock(1000 * $delay);
wait_status($node, $moved, 'accepted', 'one is answered');
$sim->answer(1000 * ($delay + 1));
settled($node, 'both come to an end');
my @of_third = requests_to($third);
is( sql("SELECT status, attempts, whatsapp_message_id FROM whatsapp_messages WHERE id = $moved"),
	'accepted|1|' . (requests_to($second))[0]{wamid},
	'the acceptance finds its message');
is( sql("SELECT status, attempts, whatsapp_message_id FROM whatsapp_messages WHERE id = $refused"),
	"accepted|2|$of_third[-1]{wamid}",
	'and has not taken the other out of the queue, which is tried again');

# What has been put back may lie just where its old row lay.
my $fourth = '+34614300004';

sql('VACUUM FULL whatsapp_queue');
$sim->faults({ match => { recipient => $fourth }, times => 1, delay_ms => 1000 * $delay });
$sim->hold_answers;
my $back = enqueue($node, 't1', $fourth);
wait_status($node, $back, 'sending', 'one more is open');
$place = place_in_queue($back);
fail_by_webhook({ $back => (requests_to($fourth))[0]{wamid} // 'wamid.OF.back' });
sql('VACUUM FULL whatsapp_queue');
is(sql("SELECT wa_retry_message($back)"), 't', 'and put back');
is(place_in_queue($back), $place, 'to where it lay');
$sim->answer(1000 * $delay);
settled($node, 'it comes to an end');
is(scalar(requests_to($fourth)), 2, 'after one further request');

# Another server has sent it, too, under the same number of an attempt: a report of
# that comes first, and then the response to ours.
my $fifth = '+34614300005';

$sim->faults({ match => { recipient => $fifth }, times => 1, delay_ms => 1000 * $delay });
$sim->hold_answers;
my $twice = enqueue($node, 't1', $fifth);
wait_status($node, $twice, 'sending', 'the last one is open');
tell_by_webhook({ $twice => 'wamid.OF.another.server' }, 'sent');
is(sql("SELECT count(*) FROM whatsapp_alerts WHERE kind = 'duplicate_send'"), '0', 'one acceptance is none too many');
$sim->answer(1000 * $delay);
wait_for($node, "SELECT EXISTS (SELECT FROM whatsapp_alerts WHERE kind = 'duplicate_send' AND key = '$twice')",
	'a second one raises an alert');
my $own = (requests_to($fifth))[0]{wamid};
is( sql("SELECT string_agg(whatsapp_message_id, ' ' ORDER BY whatsapp_message_id COLLATE \"C\") FROM whatsapp_wamids WHERE message_id = $twice"),
	"$own wamid.OF.another.server",
	'both wamids lead to the message');
is( sql("SELECT detail -> 'whatsapp_message_ids' \@> '[\"$own\", \"wamid.OF.another.server\"]' FROM whatsapp_alerts WHERE kind = 'duplicate_send'"),
	't',
	'and the alert names them');

# A report of the first attempt comes while the second is open, and nothing shows of
# that yet.
my $sixth = '+34614300006';

sql(<<'SQL');
CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER skip BEFORE UPDATE ON whatsapp_messages FOR EACH ROW WHEN (NEW.status = 'sending') EXECUTE FUNCTION skip();
SQL
$sim->faults(
	{ match => { recipient => $sixth }, times => 1, reply => 'garbage' },
	{ match => { recipient => $sixth }, times => 1, delay_ms => 1000 * $delay, reply => 'garbage' });
my $counted = enqueue($node, 't1', $sixth);
wait_status($node, $counted, 'uncertain', 'a message is in doubt');
$sim->hold_answers;
sql("SELECT wa_resolve_message($counted, 'resend')");
wait_for($node, "SELECT EXISTS (SELECT FROM whatsapp_leases WHERE $counted = ANY (message_ids))", 'it is sent again');
tell_by_webhook({ $counted => 'wamid.OF.the.first' }, 'sent');
$sim->answer(1000 * $delay);
wait_for($node, "SELECT NOT EXISTS (SELECT FROM whatsapp_leases)", 'the second request has ended');
is(sql("SELECT status, attempts FROM whatsapp_messages WHERE id = $counted"), 'sent|2', 'and is counted');
sql('DROP FUNCTION skip() CASCADE');

invariants_hold($node);
logged_nothing_bad($node, 'without an error');
$node->stop;
done_testing();
