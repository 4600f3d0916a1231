# The platform's limits: kept without being refused, and without one tenant
# delaying another.  The rate of a number is in 038_rate.pl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Digest::SHA qw(hmac_sha256_hex);
use Time::HiRes qw(time);
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of settled accepted_for
  invariants_hold);
use WaLoad qw(stopwatch);
use WaTest qw(set_and_reload sender_pids);

my ($node, $sim) = new_delivery(
	'limits',
	simulator => [ '--enforce-limits', '--pair-interval-ms' => 300, '--pair-burst' => 5 ],
	settings  => [
		"whatsapp_shared.pair_interval = '300ms'",
		'whatsapp_shared.pair_burst = 5'
	]);

sub refused
{
	my ($code) = @_;
	return $sim->stats->{refused_by_code}{$code} // 0;
}

# ---- the rate of a pair -----------------------------------------------------------------

my $began = time;
$node->safe_psql('postgres', <<'SQL');
SELECT count(wa_enqueue_message('t2', '+34611300001', 'aviso', to_jsonb(ARRAY[i::text])))
FROM generate_series(1, 12) AS i
SQL
settled($node, '12 messages to one person are sent');
cmp_ok(time - $began, '>=', 1.8, 'no faster than the pair allows');
is(refused(131056), 0, 'without a refusal for it');
my @order =
  map { $_->{message}{template}{components}[0]{parameters}[0]{text} }
  grep { $_->{message}{to} eq '+34611300001' } $sim->accepted;
is_deeply(\@order, [ 1 .. 12 ], 'and in the order in which they were written');

# ---- order behind a retry ------------------------------------------------------------------

$sim->faults({ match => { recipient => '+34611300002' }, times => 1, code => 131000, status => 500 });
$node->safe_psql('postgres', <<'SQL');
SELECT count(wa_enqueue_message('t2', '+34611300002', 'aviso', to_jsonb(ARRAY[i::text])))
FROM generate_series(1, 4) AS i
SQL
settled($node);
@order =
  map { $_->{message}{template}{components}[0]{parameters}[0]{text} }
  grep { $_->{message}{to} eq '+34611300002' } $sim->accepted;
is_deeply(\@order, [ 1 .. 4 ], 'messages wait behind an earlier one to the same person that is retried');

# ---- order whatever else happens -----------------------------------------------------------

# What arrived at this recipient, in this order: the numbers in the messages.
sub arrived
{
	my ($recipient) = @_;
	return map { $_->{message}{template}{components}[0]{parameters}[0]{text} + 0 }
	  grep { $_->{message}{to} eq $recipient } $sim->accepted;
}

sub numbered
{
	my ($recipient, $from, $to) = @_;
	return $node->safe_psql('postgres', <<"SQL");
SELECT count(wa_enqueue_message('t2', '$recipient', 'aviso', to_jsonb(ARRAY[i::text])))
FROM generate_series($from, $to) AS i
SQL
}

# So many messages to one person, of which $least at least are deferred for this reason when $meanwhile is done with the
# recipient.  That is a state that passes: where the test has come too late, it tries again with somebody else, to
# whom more is written, or with a longer delay.  Returns how many they were.
my ($somebody, $people) = ('', 0);
sub while_deferred
{
	my ($reason, $least, $count, $meanwhile) = @_;
	my $deferred = "SELECT count(*) FROM whatsapp_queue WHERE hold_reason = '$reason'";

	foreach my $scale (map { 2**$_ } 0 .. 6)
	{
		$somebody = sprintf '+3461130%04d', 1000 + ++$people;
		if ($reason eq 'retry')
		{
			set_and_reload($node, retry_delay => 2 * $scale . 's');
			$sim->faults({ match => { recipient => $somebody }, times => 1, code => 131000, status => 500 });
		}
		elsif ($scale > 1) { $count *= 2 }
		numbered($somebody, 1, $count);
		$node->poll_query_until('postgres', "SELECT ($deferred) >= $least OR NOT EXISTS (SELECT FROM whatsapp_queue)");
		return $count if $meanwhile->($deferred, $count) >= $least;
		$node->safe_psql('postgres', q{SELECT wa_resume('number', '100000000000002')});
		settled($node, "$reason: too late");
	}
	die "$reason: too late each time";
}

# The sender restarts, and then come more.
sub in_order_after_restart
{
	my ($reason, $least, $count, $what) = @_;

	$count = while_deferred($reason, $least, $count, sub {
		my ($deferred, $n) = @_;
		my $left = $node->safe_psql('postgres', "SELECT ($deferred), wa_worker_restart()") =~ s/\|.*//r;
		numbered($somebody, $n + 1, $n + 3);
		return $left;
	});
	settled($node);
	return is_deeply([ arrived($somebody) ], [ 1 .. $count + 3 ], $what);
}

# A new sender knows who was deferred before its time, and for how long.
in_order_after_restart('pair_rate', 5, 12, 'a restart does not let later messages pass those');
in_order_after_restart('retry', 1, 2, 'nor one that is retried');
# Three messages, all of them in the queue.
my $three_wait = 'SELECT (count(*) = 3 AND NOT EXISTS (SELECT FROM whatsapp_leases))::int FROM whatsapp_queue';
# However long after its time that is: nothing leaves while the number is paused.
while_deferred('retry', 1, 1, sub {
	numbered($somebody, 2, 3);
	$node->safe_psql('postgres', q{SELECT wa_pause('number', '100000000000002', 'test')});
	return $node->safe_psql('postgres', $three_wait);
});
wait_for(
	$node,
	q{SELECT count(*) = 3 AND bool_and(state = 'r' AND due_at < now() - interval '1.5 s') FROM whatsapp_queue},
	'and is due, and would have been back long since');
$node->safe_psql('postgres', q{SELECT wa_resume('number', '100000000000002')});
settled($node);
is_deeply([ arrived($somebody) ], [ 1 .. 3 ], 'it goes first all the same');
# Nor does its rank forget that it was the first, which is all that a new sender has of it then.
while_deferred('retry', 1, 1, sub {
	$node->safe_psql('postgres', q{SELECT wa_pause('number', '100000000000002', 'test')});
	numbered($somebody, 2, 3);
	return $node->safe_psql('postgres', $three_wait);
});
wait_for($node, q{SELECT count(*) = 3 AND bool_and(state = 'r') FROM whatsapp_queue}, 'and is due');
my ($sender) = sender_pids($node, 'postgres');
$node->safe_psql('postgres', 'SELECT wa_worker_restart()');
wait_for(
	$node,
	qq{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $sender)},
	'when another sender begins');
$node->safe_psql('postgres', q{SELECT wa_resume('number', '100000000000002')});
settled($node);
is_deeply([ arrived($somebody) ], [ 1 .. 3 ], 'it goes first all the same');
set_and_reload($node, retry_delay => '100ms');
$sim->faults();

# New messages come at any time, also when the turn of a deferred one has just come.
numbered('+34611300007', $_, $_) for 1 .. 40;
settled($node, 'forty messages to one person, one after the other, are sent');
is_deeply([ arrived('+34611300007') ], [ 1 .. 40 ], 'in the order in which they were written');

# ---- a tenant's own rate --------------------------------------------------------------------

$node->safe_psql('postgres', <<'SQL');
SELECT FROM wa_assign_phone('t4', '100000000000004');
SELECT FROM wa_configure_tenant('t4', messages_per_second => 20)
SQL
$began = time;
$node->safe_psql('postgres', <<'SQL');
SELECT count(wa_enqueue_message('t4', '+3461131' || lpad((i % 25)::text, 4, '0'), 'aviso', to_jsonb(ARRAY[i::text])))
FROM generate_series(1, 100) AS i;
SELECT wa_enqueue_message('t4', '+34611320000', 'aviso', '["101"]', priority => 10)
SQL
settled($node, 'a hundred messages of a tenant with a rate of its own are sent');
my $took = time - $began;
cmp_ok($took, '>', 3.5, sprintf('not faster than the rate allows (%.1f s)', $took));
my @all = grep { $_->{message}{to} =~ /^\+346113[12]/ } $sim->accepted;
my $overtook = $node->safe_psql('postgres', <<'SQL');
SELECT count(*)
FROM whatsapp_messages AS p
    JOIN whatsapp_messages AS m ON m.tenant_id = p.tenant_id AND m.accepted_at BETWEEN p.created_at AND p.accepted_at
WHERE p.recipient_phone = '+34611320000'
SQL
cmp_ok($overtook, '<', 60, "one of higher priority does not wait for all of them ($overtook leave before it)");
@order = map { $_->{message}{template}{components}[0]{parameters}[0]{text} }
  grep { $_->{message}{to} ne '+34611320000' } @all;
my ($worst) = sort { $b <=> $a } map { abs($order[$_] - 1 - $_) } 0 .. $#order;
cmp_ok($worst, '<=', 10, "and the others keep their places, but for $worst at most");

# ---- a number that is also in the app -----------------------------------------------------

$node->safe_psql('postgres',
	q{UPDATE whatsapp_phone_numbers SET is_on_biz_app = true WHERE phone_number_id = '100000000000003'});
$node->safe_psql('postgres', <<'SQL');
SELECT count(wa_enqueue_message('t3', '+3461133' || lpad(i::text, 4, '0'), 'aviso', to_jsonb(ARRAY[i::text])))
FROM generate_series(1, 80) AS i
SQL
settled($node, 'eighty messages of a number that is also in the app are sent');
my @times = sort { $a <=> $b } map { $_->{time} } grep { $_->{message}{to} =~ /^\+3461133/ } $sim->accepted;
$took = $times[-1] - $times[0];
cmp_ok($took, '>', 2.5, sprintf('not faster than twenty a second (%.1f s)', $took));
$node->safe_psql('postgres', 'UPDATE whatsapp_phone_numbers SET is_on_biz_app = NULL');

# ---- refused for speed all the same ------------------------------------------------------

$sim->faults({ match => { recipient => '+34611300003' }, times => 1, code => 130429, status => 429 });
my $id = enqueue($node, 't3', '+34611300003');
wait_status($node, $id, 'accepted', 'a message refused for speed is sent later');
is($node->safe_psql('postgres', "SELECT attempts FROM whatsapp_messages WHERE id = $id"),
	'1', 'and that was no attempt');

# ---- messages that come in -----------------------------------------------------------------

# They count against the number's rate at Meta, and so they do here.
my @inbound = map {
	qq({"from":"34611999$_","id":"wamid.IN$_","timestamp":"1764000100","type":"text","text":{"body":"hola"}})
} 100 .. 339;
my $body =
	'{"object":"whatsapp_business_account","entry":[{"id":"300000000000001","changes":[{"field":"messages","value":{'
  . '"messaging_product":"whatsapp","metadata":{"display_phone_number":"34600000003","phone_number_id":"100000000000003"},'
  . '"messages":['
  . join(',', @inbound)
  . ']}}]}]}';
my $signature = 'sha256=' . hmac_sha256_hex($body, 'SIMULATOR_APP_SECRET');
my $told = $node->safe_psql('postgres', "SELECT now() FROM wa_webhook_ingest(convert_to('$body', 'UTF8'), '$signature')");
$id = enqueue($node, 't3', '+34611300004');
wait_status($node, $id, 'accepted', 'a message after 240 that came in is sent');
ok( $node->safe_psql(
		'postgres',
		"SELECT accepted_at - '$told' > interval '2 seconds' FROM whatsapp_messages WHERE id = $id") eq 't',
	'but only when the number is within its rate again');

# ---- one tenant's flood ---------------------------------------------------------------------

$node->safe_psql('postgres', <<'SQL');
SELECT count(wa_enqueue_message('t1', '+34618' || lpad(i::text, 6, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, 20000) AS i
SQL
my @delays;
for my $n (1 .. 20)
{
	my $watch = stopwatch($node, $sim);
	my $single = enqueue($node, 't2', sprintf('+346114%05d', $n));
	$node->poll_query_until('postgres',
		"SELECT status = 'accepted' FROM whatsapp_messages WHERE id = $single");
	my $waited = 1000 * $watch->waited;
	push @delays, -$waited + $node->safe_psql('postgres',
		"SELECT extract(epoch FROM accepted_at - created_at) * 1000 FROM whatsapp_messages WHERE id = $single");
}
@delays = sort { $a <=> $b } @delays;
cmp_ok($delays[10], '<', 50,
	sprintf('20,000 messages of one tenant do not delay those of another (median %.1f ms)', $delays[10]));

# ---- priority ------------------------------------------------------------------------------

$id = enqueue($node, 't1', '+34611500001', priority => 10);
wait_status($node, $id, 'accepted', 'a message of higher priority overtakes the flood of its own number');

$node->safe_psql('postgres', 'TRUNCATE whatsapp_queue');
$node->stop;
done_testing();
