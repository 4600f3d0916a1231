# Bodies that Meta has signed, handed in by somebody else: long after Meta has
# given up repeating them, and larger than any that Meta would send.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();
use WaLoad qw(stopwatch);
use WaTest qw(create_extension new_node);

my $node = new_node('replays', "whatsapp_shared.databases = ''", "whatsapp_shared.app_secret = 'a-secret'");
my $number = '100000000000001';
my $now = time;
my $day = 86400;

create_extension($node, 'postgres');
$node->safe_psql('postgres', <<"SQL");
SELECT wa_assign_phone('t1', '$number');
UPDATE whatsapp_phone_assignments SET assigned_at = '2020-01-01';
CREATE TABLE called (reply jsonb);
CREATE FUNCTION confirm(reply jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO called VALUES (reply)';
SELECT wa_on_reply('CONFIRM', 'confirm(jsonb)');
SQL

sub ingest
{
	my ($body) = @_;

	return
	    "SELECT wa_webhook_ingest(decode('"
	  . unpack('H*', $body)
	  . "', 'hex'), 'sha256="
	  . hmac_sha256_hex($body, 'a-secret') . "')";
}

sub change
{
	my ($field, $value) = @_;
	return { field => $field, value => { metadata => { phone_number_id => $number }, %$value } };
}

sub envelope
{
	my ($time, @changes) = @_;
	return JSON::PP->new->canonical->encode(
		{ object => 'whatsapp_business_account', entry => [ { id => '3', time => $time, changes => \@changes } ] });
}

# A customer's message, as it was so many seconds ago.
sub message
{
	my ($id, $age, $type, $content, %more) = @_;
	my %from = (from => '34611000001', from_user_id => 'ES.1');

	$node->safe_psql(
		'postgres',
		ingest(
			envelope(
				$now - $age,
				change(
					messages => {
						messages => [ { %from, id => $id, timestamp => '' . ($now - $age), type => $type, $type => $content } ],
						%more
					}))));
	return;
}

sub query { return $node->safe_psql('postgres', $_[0]) }

# ---- replays -------------------------------------------------------------------------------

my $old = 8 * $day;
my %press = (payload => 'CONFIRM', text => 'Yes');

message('wamid.new', 6 * $day, 'button', \%press);
is(query('SELECT count(*) FROM called'), '1', 'Meta repeats for days: a reply of last week calls its handler');
message('wamid.old', $old, 'button', \%press, contacts => [ { wa_id => '34611000001', user_id => 'ES.1', profile => { name => 'Old' } } ]);
is(query('SELECT count(*) FROM called'), '1', 'an older one does not');
is(query(q{SELECT too_old, handled_at IS NULL FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.old'}), 't|t', 'which its row says');
query(q{DELETE FROM whatsapp_inbound_messages});
message('wamid.old', $old, 'button', \%press);
is(query('SELECT count(*) FROM called'), '1', 'not even when retention has forgotten it');
is(query(q{SELECT wa_retry_reply(max(inbound_id)) FROM whatsapp_inbound_messages}), 't', 'an operator may have it called all the same');
is(query('SELECT count(*) FROM called'), '2', 'by hand');
is(query('SELECT count(*) FROM whatsapp_contacts WHERE name IS NOT NULL'), '0', 'nobody gets the name that was theirs');
is(query(qq{SELECT max(last_inbound_at) < to_timestamp(@{[ $now - 5 * $day ]}) FROM whatsapp_windows}), 't', 'and no window opens');

message('wamid.baja', $old, 'text', { body => 'baja' });
is(query(q{SELECT count(*) FROM whatsapp_opt_outs}), '2', 'an old opt-out is honoured');
message('wamid.alta', $old - 60, 'text', { body => 'alta' });
is(query(q{SELECT count(*) FROM whatsapp_opt_outs}), '2', 'an old opt-in is not');
message('wamid.alta2', 60, 'text', { body => 'alta' });
is(query(q{SELECT count(*) FROM whatsapp_opt_outs}), '0', 'a new one is');
query('TRUNCATE whatsapp_inbound_messages, whatsapp_inbound_media, whatsapp_inbound_media_pieces, whatsapp_windows, whatsapp_opt_ins');
message('wamid.alta', $old - 60, 'text', { body => 'alta' });
message('wamid.baja', $old, 'text', { body => 'baja' });
is(query(q{SELECT count(*) FROM whatsapp_opt_outs}), '2', 'nor does an old opt-in speak against an older opt-out');
query('TRUNCATE whatsapp_opt_outs, whatsapp_opt_ins');

sub prefer
{
	my ($choice, $age) = @_;
	my $item = { wa_id => '34611000002', category => 'marketing_messages', value => $choice, timestamp => $now - $age };

	query(ingest(envelope($now - $age, change(user_preferences => { user_preferences => [$item] }))));
	return query(q{SELECT count(*) FROM whatsapp_opt_outs WHERE recipient = '+34611000002'});
}
is(prefer('stop', $old + 60), '1', 'the same with the switch: off');
is(prefer('resume', $old), '1', 'but not on');
is(query(q{SELECT reason FROM whatsapp_parked_events}), 'too_old', 'which is parked, with the reason');
query('TRUNCATE whatsapp_parked_events');
is(prefer('resume', 60), '0', 'unless it is news');

query(ingest(envelope($now - $old, { field => 'account_update', value => { event => 'DISABLED_UPDATE', ban_info => { waba_ban_state => 'DISABLE' } } })));
is(query(q{SELECT count(*) FROM whatsapp_pauses}), '0', 'an old event of the account pauses nothing');
is(query(q{SELECT reason || ' ' || kind FROM whatsapp_parked_events}), 'too_old change', 'and is parked');
query('TRUNCATE whatsapp_parked_events');

message('wamid.moved', $old, 'system', { type => 'user_changed_number', wa_id => '34611000009' });
is(query(q{SELECT count(*) FROM whatsapp_contacts WHERE wa_id = '34611000009'}), '0', 'a number that somebody had is not theirs again');
message('wamid.ahead', -$day / 2, 'text', { body => 'hello' });
is(query(q{SELECT max(last_inbound_at) <= now() FROM whatsapp_windows}), 't', 'a message from the future opens the window from now on');
message('wamid.far', -2 * $day, 'text', { body => 'hello' });
is(query(q{SELECT reason FROM whatsapp_parked_events}), 'timestamp_invalid', 'one from further ahead is malformed');

# ---- size ----------------------------------------------------------------------------------

# About three megabytes of these.
sub fill
{
	my ($make, $size) = @_;
	my @parts;
	my $length = 0;

	while ($length < 2_950_000)
	{
		push @parts, $make->(scalar @parts);
		$length += 1 + length $parts[-1];
	}
	return join ',', @parts;
}
sub in_entry { return '{"object":"whatsapp_business_account","entry":[{"id":"3","time":' . $now . ',"changes":[' . $_[0] . ']}]}' }
sub in_messages { return in_entry(qq({"field":"messages","value":{"metadata":{"phone_number_id":"$number"},$_[0]}})) }

my %bodies = (
	'malformed changes' => in_entry(fill(sub { "[$_[0]]" })),
	'the same change' => in_entry(fill(sub { '1' })),
	'empty entries' => '{"object":"whatsapp_business_account","entry":[' . fill(sub { '{}' }) . ']}',
	'fields that are unknown' => in_entry(fill(sub { qq({"field":"f$_[0]","value":{}}) })),
	'events of the account' => in_entry(fill(sub { qq({"field":"account_alerts","value":{"entity_id":"$_[0]"}}) })),
	'statuses' => in_messages('"statuses":[' . fill(sub { qq({"id":"w$_[0]","status":"sent","timestamp":"$now"}) }) . ']'),
	'malformed statuses' => in_messages('"statuses":[' . fill(sub { qq({"id":"$_[0]"}) }) . ']'),
	'messages' => in_messages('"messages":[' . fill(sub { qq({"id":"m$_[0]","from":"34611000001","type":"text","timestamp":"$now"}) }) . ']'),
	'opt-outs' => in_messages(
		'"messages":['
		  . fill(sub { qq({"id":"o$_[0]","from":"@{[ 34600000000 + $_[0] ]}","type":"text","timestamp":"$now","text":{"body":"baja"}}) })
		  . ']'),
	'malformed messages' => in_messages('"messages":[' . fill(sub { '1' }) . ']'),
	'contacts' => in_messages('"messages":[],"contacts":[' . fill(sub { qq({"wa_id":"@{[ 34600000000 + $_[0] ]}"}) }) . ']'),
	'errors of a status' => in_messages(qq("statuses":[{"id":"w","status":"failed","timestamp":"$now","errors":[) . fill(sub { qq({"code":$_[0]}) }) . ']}]'),
	'errors of the account' => in_messages('"errors":[' . fill(sub { qq({"code":$_[0]}) }) . ']'),
	'preferences' => in_entry(
		qq({"field":"user_preferences","value":{"metadata":{"phone_number_id":"$number"},"user_preferences":[)
		  . fill(sub { qq({"wa_id":"@{[ 34600000000 + $_[0] ]}","value":"stop","timestamp":$now}) })
		  . ']}}'),
	'nested arrays' => in_entry(('[' x 1_475_000) . (']' x 1_475_000)),
	'arrays just deep enough' => in_entry(fill(sub { ('[' x 40) . (']' x 40) })),
	'a long string' => in_entry('{"field":"' . ('x' x 2_950_000) . '","value":{}}'),
	'a long value' => in_entry('{"field":"security","value":{"event":"' . ('x' x 2_950_000) . '"}}'),
	'many values' => in_entry('{"field":"security","value":[' . fill(sub { '1' }) . ']}'),
	'a long id' => in_messages('"statuses":[{"id":"' . ('\\u0041' x 490_000) . qq(","status":"sent","timestamp":"$now"}])),
	'duplicate keys' => in_entry('{"field":"messages","value":{' . fill(sub { '"metadata":{}' }) . '}}'));

# A session for each, so that its peak is that of one body.
foreach my $what (sort keys %bodies)
{
	my $session = $node->background_psql('postgres');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	my $file = $node->data_dir . '/body';
	my $peak = sub { return slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m ? $1 / 1024 : die 'no VmHWM' };
	my $signature = 'sha256=' . hmac_sha256_hex($bodies{$what}, 'a-secret');

	append_to_file($file, $bodies{$what});
	$session->query_safe(ingest(envelope($now)));
	$session->query_safe("CREATE TEMP TABLE body AS SELECT pg_read_binary_file('body') AS body");
	my ($before, $watch) = ($peak->(), stopwatch($pid));
	my $counts = decode_json($session->query_safe("SELECT wa_webhook_ingest(body, '$signature') FROM body"));
	my ($seconds, $megabytes) = ($watch->seconds, $peak->() - $before);

	# In a quiet place a second and 40 MB; a slow machine gets ten times as long.
	ok($seconds < 10, "3 MB of $what take seconds") or diag("$seconds s");
	ok($megabytes < 100, "and less than 100 MB") or diag("$megabytes MB");
	cmp_ok(query(q{SELECT count(*) FROM whatsapp_parked_events WHERE kind <> 'status' OR reason <> 'unknown_message'}), '<=', 101, 'few rows tell of it');
	query('TRUNCATE whatsapp_parked_events');
	$session->quit;
	unlink $file;
}

my $body = $bodies{'malformed changes'};
is(decode_json(query(ingest($body)))->{parked} , 1501, 'what is rejected is counted');
is(query(q{SELECT count(*) || ' ' || string_agg(reason, ',') FILTER (WHERE kind = 'body') FROM whatsapp_parked_events}),
	'101 too_many_items', 'the first hundred are stored one by one, and the body once');
is(query(q{SELECT length(body) FROM whatsapp_parked_events WHERE kind = 'body'}), length $body, 'as a whole');
query(ingest($body));
is(query(q{SELECT count(*) FROM whatsapp_parked_events}), '101', 'however often it comes');

done_testing();
