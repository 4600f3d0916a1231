# Every line of the table of states in src/README.md, walked by real calls: with a
# sender, Meta's responses, webhooks, and what people do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256_hex);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status drawn_transitions invariants_hold);

# Requests that hang do so until they are released; what is uncertain stays it.
my ($node, $sim) = new_delivery(
	'states',
	tenants  => 1,
	settings => [
		"whatsapp_shared.uncertain_policy = 'park'", "whatsapp_shared.uncertain_grace = '600s'",
		"whatsapp_shared.request_timeout = '120s'"
	]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

my $installation = sql('SELECT installation_id FROM whatsapp_installation');
sql(q{SELECT wa_configure_tenant('off', enabled => false, is_new => true), wa_configure_tenant('numberless', is_new => true)});

my $last_recipient = 621450000;

# A recipient of its own, and what happens to the first request for it.
sub recipient
{
	my (%fault) = @_;
	my $to = '+34' . ++$last_recipient;
	$sim->faults(%fault ? { match => { recipient => $to }, times => 1, %fault } : ());
	return $to;
}

# The sweep finds these, after half a minute; one wait does for all.
my @expiring = map { enqueue($node, 'numberless', recipient(), expires_at => q{now() + interval '1 second'}) } 1 .. 8;

# ---- messages in each of the states ------------------------------------------------

my %make = (
	queued => sub { return enqueue($node, 't1', recipient(), scheduled_at => q{now() + interval '1 day'}) },
	sending => sub {
		my $id = enqueue($node, 't1', recipient(reply => 'hang'));
		wait_status($node, $id, 'sending');
		return $id;
	},
	accepted => sub {
		my $id = enqueue($node, 't1', recipient());
		wait_status($node, $id, 'accepted');
		return $id;
	},
	failed => sub {
		my $id = enqueue($node, 't1', recipient(code => 100, status => 400));
		wait_status($node, $id, 'failed');
		return $id;
	},
	uncertain => sub {
		my $id = enqueue($node, 't1', recipient(reply => 'empty', status => 503));
		wait_status($node, $id, 'uncertain');
		return $id;
	},
	expired => sub {
		my $id = pop @expiring;
		wait_status($node, $id, 'expired');
		return $id;
	},
	skipped => sub { return enqueue($node, 'off', recipient()) });
$make{sent} = sub { return webhook($make{accepted}->(), 'sent') };
$make{delivered} = sub { return webhook($make{accepted}->(), 'delivered') };
$make{cancelled} = sub { return cancel($make{queued}->()) };

# ---- what changes them ---------------------------------------------------------------

# What Meta says of its first attempt, under the id that it has, if any.
sub webhook
{
	my ($id, $word) = @_;
	my ($wamid, $recipient) = split /\|/,
	  sql("SELECT COALESCE(whatsapp_message_id, 'wamid.' || id), substr(recipient_phone, 2) FROM whatsapp_messages WHERE id = $id");
	my $errors = $word eq 'failed' ? ',"errors":[{"code":131026,"title":"undeliverable"}]' : '';
	my $now = time;
	my $body =
		'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":'
	  . '{"metadata":{"phone_number_id":"100000000000001"},"statuses":[{'
	  . qq("id":"$wamid","status":"$word","timestamp":"$now","recipient_id":"$recipient",)
	  . qq("biz_opaque_callback_data":"wa1:$installation:$id:1"$errors}]}}]}]});
	my $signature = 'sha256=' . hmac_sha256_hex($body, 'SIMULATOR_APP_SECRET');
	is(sql("SELECT wa_webhook_ingest('$body', '$signature') ->> 'applied'"), '1', "a webhook tells that message $id is $word");
	return $id;
}

sub cancel  { my ($id) = @_; sql("SELECT wa_cancel_message($id)");            return $id }
sub retry   { my ($id) = @_; sql("SELECT wa_retry_message($id)");             return $id }
sub resolve { my ($id, $as) = @_; sql("SELECT wa_resolve_message($id, '$as')"); return $id }

# Its request takes this long, so that it shows as sending, and then gets this response.
sub slow
{
	my (%response) = @_;
	return enqueue($node, 't1', recipient(delay_ms => 2000, %response));
}

my %walk = (
	'queued sending'     => $make{sending},
	'queued accepted'    => $make{accepted},
	'queued failed'      => $make{failed},
	'queued uncertain'   => $make{uncertain},
	'queued cancelled'   => $make{cancelled},
	'queued expired'     => $make{expired},
	'queued skipped'     => sub {
		my $id = $make{queued}->();
		sql("SELECT wa_opt_out('t1', recipient_phone) FROM whatsapp_messages WHERE id = $id");
		return $id;
	},
	'sending accepted'   => sub { return slow() },
	'sending failed'     => sub { return slow(code => 100, status => 400) },
	'sending queued'     => sub { return slow(code => 131000, status => 500) },
	'sending uncertain'  => sub { return slow(reply => 'empty', status => 503) },
	'uncertain queued'   => sub { return resolve($make{uncertain}->(), 'resend') },
	'uncertain accepted' => sub { return resolve($make{uncertain}->(), 'accepted') },
	'uncertain sent'     => sub { return resolve($make{uncertain}->(), 'sent') },
	'uncertain failed'   => sub { return resolve($make{uncertain}->(), 'failed') },
	'failed queued'      => sub { return retry($make{failed}->()) },
	'cancelled queued'   => sub { return retry($make{cancelled}->()) },
	'expired queued'     => sub { return retry($make{expired}->()) },
	'skipped queued'     => sub {
		my $id = $make{skipped}->();
		sql(q{SELECT wa_configure_tenant('off', enabled => true)});
		retry($id);
		sql(q{SELECT wa_configure_tenant('off', enabled => false)});
		return $id;
	});

# ---- the walk -----------------------------------------------------------------------

# Whatever has no entry of its own is what webhooks do.
sub walk
{
	my ($edge) = @_;
	my ($from, $to) = split / /, $edge;
	return $walk{$edge}->() if $walk{$edge};
	die "nobody knows how to walk from $from to $to\n" if !$make{$from} || $to !~ /^(sent|delivered|read|failed)$/;
	return webhook($make{$from}->(), $to);
}

my @drawn = drawn_transitions();
cmp_ok(scalar @drawn, '>', 40, 'src/README.md names the changes of status');
foreach my $edge (@drawn)
{
	my ($from, $to) = split / /, $edge;
	my $id = walk($edge);
	wait_for($node, "SELECT EXISTS (SELECT FROM transition WHERE message_id = $id AND old = '$from' AND new = '$to')",
		"$from -> $to");
}
foreach my $edge (sort keys %walk)
{
	ok((grep { $_ eq $edge } @drawn), "$edge is in src/README.md");
}

# What the table excludes: a message that was delivered has not failed, and one that
# was read stays read.
foreach my $final (qw(delivered read))
{
	my $id = webhook($make{accepted}->(), $final);
	webhook($id, 'failed');
	is(sql("SELECT status FROM whatsapp_messages WHERE id = $id"), $final, "$final outranks failed");
	is(sql("SELECT wa_retry_message($id)"), 'f', 'and is not sent again');
}

$sim->faults;
$sim->release;
wait_for($node, 'SELECT NOT EXISTS (SELECT FROM whatsapp_leases)', 'nothing is on the wire any more');
invariants_hold($node);
$node->stop;
done_testing();
