# What other sessions do, and where a process dies, at the worst moment.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled accepted_for invariants_hold);
use WaLoad qw(stopwatch wait_until);
use WaTest qw(sender_pids wait_for_senders);

# Nobody writes WAL in the background while this test runs.
my ($node, $sim) = new_delivery(
	'races',
	settings => [
		"whatsapp_shared.uncertain_policy = 'park'",
		"whatsapp_shared.request_timeout = '1min'",
		'restart_after_crash = on',
		'wal_level = replica',
		'max_wal_senders = 1',
		'wal_writer_delay = 10s',
		'autovacuum = off'
	]);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

# Until the simulator has accepted a message to this recipient.
sub wait_for_acceptance
{
	my ($recipient) = @_;
	wait_until(sub { grep { $_->{message}{to} eq $recipient } $sim->accepted })
	  or die "waited in vain for the request to $recipient";
	return;
}

# ---- a server that does not wait for its WAL -----------------------------------------------

sql('ALTER SYSTEM SET synchronous_commit = off; SELECT pg_reload_conf()');
$node->poll_query_until('postgres', 'SHOW synchronous_commit', 'off');
$sim->faults({ match => { recipient => '+34611900001' }, accept => JSON::PP::true(), reply => 'hang' });
my $id = sql(
	q{SET synchronous_commit = on; SELECT wa_enqueue_message('t1', '+34611900001', 'aviso', '["1"]')});
wait_for_acceptance('+34611900001');
my ($pid) = sender_pids($node, 'postgres');
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT 1', '1');
wait_status($node, $id, 'uncertain', 'the lease outlives a crash although commits do not wait for the disk');
is(accepted_for($sim)->{$id}, 1, 'and the message is not sent again');
sql('ALTER SYSTEM RESET synchronous_commit; SELECT pg_reload_conf()');
sql("SELECT wa_resolve_message($id, 'accepted')");
$sim->faults();

# ---- waiting behind an earlier message to the same person ------------------------------------

# The first is on the wire until answer(), the others are set aside in the sender's memory.
sub behind_a_slow_one
{
	my ($recipient, $n) = @_;
	$sim->faults({ match => { recipient => $recipient }, times => 1, delay_ms => 1500 });
	$sim->hold_answers;
	my @ids = map { enqueue($node, 't1', $recipient) } 1 .. $n;
	wait_status($node, $ids[0], 'sending', 'the first is on the wire');
	return @ids;
}

my @ids = behind_a_slow_one('+34611900002', 4);
is(sql("SELECT wa_cancel_message($ids[1])"), 't', 'the second is cancelled');
$sim->answer(1500);
wait_status($node, $_, 'accepted', 'what waits behind the cancelled one goes') foreach @ids[ 0, 2, 3 ];

@ids = behind_a_slow_one('+34611900003', 3);
sql("SELECT wa_pause('number', '100000000000001')");
$sim->answer(1500);
wait_status($node, $ids[0], 'accepted', 'what is on the wire when its number is paused is settled');
my $other = enqueue($node, 't2', '+34611900004');
wait_status($node, $other, 'accepted');
is(accepted_for($sim)->{ $ids[1] }, undef, 'what waits behind it is paused');
sql("SELECT wa_resume('number', '100000000000001')");
wait_status($node, $_, 'accepted', 'and goes when the number is resumed') foreach @ids[ 1, 2 ];

@ids = behind_a_slow_one('+34611900005', 3);
sql(<<'SQL');
BEGIN;
SELECT wa_unassign_phone('t1');
SELECT wa_assign_phone('t1', '100000000000007');
COMMIT
SQL
push @ids, enqueue($node, 't1', '+34611900005');
$sim->answer(1500);
wait_status($node, $_, 'accepted') foreach @ids;
my %number = map { $_->{message}{biz_opaque_callback_data} =~ /:(\d+):\d+$/ ? ($1 => $_->{number}) : () } $sim->accepted;
is_deeply(
	[ @number{@ids} ],
	[ '100000000000001', ('100000000000007') x 3 ],
	'what waited when the number changed leaves from the new one');
my %is_new = map { $_ => 1 } @ids[ 1 .. 3 ];
is_deeply(
	[ grep { $is_new{$_} } map { $_->{message}{biz_opaque_callback_data} =~ /:(\d+):\d+$/ } $sim->accepted ],
	[ @ids[ 1 .. 3 ] ],
	'before what is written later');
is(sql("SELECT max(accepted_at) - min(accepted_at) < interval '15 seconds' FROM whatsapp_messages WHERE id IN ($ids[0], $ids[1])"),
	't', 'without waiting for the next sweep');
$sim->faults();

@ids = behind_a_slow_one('+34611900007', 3);
sql("SELECT wa_pause('number', '100000000000007')");
$sim->answer(1500);
wait_status($node, $ids[0], 'accepted');
sql(<<'SQL');
BEGIN;
SELECT wa_unassign_phone('t1');
SELECT wa_assign_phone('t1', '100000000000009');
COMMIT
SQL
wait_status($node, $_, 'accepted', 'what waits at a paused number goes when its tenant gets another') foreach @ids[ 1, 2 ];
%number = map { $_->{message}{biz_opaque_callback_data} =~ /:(\d+):\d+$/ ? ($1 => $_->{number}) : () } $sim->accepted;
is_deeply([ @number{@ids} ], [ '100000000000007', ('100000000000009') x 2 ], 'and from that');
sql("SELECT wa_resume('number', '100000000000007')");
$sim->faults();

# The same of one that is refused for its old number's sake.
$sim->faults({ match => { number => '100000000000002' }, delay_ms => 1500, code => 131045, status => 500 });
$sim->hold_answers;
$id = enqueue($node, 't2', '+34611900006');
wait_status($node, $id, 'sending');
sql(<<'SQL');
BEGIN;
SELECT wa_unassign_phone('t2');
SELECT wa_assign_phone('t2', '100000000000008');
COMMIT
SQL
my ($answered, $watch) = (sql('SELECT clock_timestamp()'), stopwatch($node, $sim));
$sim->answer(1500);
wait_status($node, $id, 'accepted');
my $soon = 8 + $watch->waited;
is( sql("SELECT phone_number_id, accepted_at < timestamptz '$answered' + interval '$soon seconds' FROM whatsapp_messages WHERE id = $id"),
	'100000000000008|t', 'what is put back when the number has changed leaves from the new one at once');
$sim->faults();

# Several messages each to many people: the next one to a person is not the
# number's business only, its rate holds all the same.
my ($last) = map { $_->{seq} } reverse $sim->accepted;
sql(<<'SQL');
SELECT count(wa_enqueue_message('t3', '+346119100' || lpad((i / 11)::text, 2, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, 400) AS i
SQL
settled($node, '400 messages to 40 people are sent');
my @times = map { $_->{time} } $sim->accepted($last);
my $most = 0;
for my $i (0 .. $#times)
{
	my $n = grep { $_ >= $times[$i] && $_ < $times[$i] + 1 } @times;
	$most = $n if $n > $most;
}
cmp_ok($most, '<=', 80, 'never more in a second than the number may send');

# A new sender, which has just looked at the whole queue: the next time that it
# does, and so mends what was overlooked, is half a minute away.
sub just_swept
{
	my ($before) = sender_pids($node, 'postgres');

	sql('SELECT wa_worker_restart()');
	return wait_for($node, <<"SQL", 'there is a new sender');
SELECT count(*) = 1 FROM pg_stat_activity
WHERE backend_type = 'whatsapp_shared sender' AND pid <> $before AND state = 'idle'
SQL
}

# A message that is claimed by its id, because it was set aside, lies far behind
# urgent ones that came later; it must not draw the cursor past them.
just_swept();
@ids = behind_a_slow_one('+34611900007', 2);
sql(<<'SQL');
SELECT count(wa_enqueue_message('t1', '+3461192' || lpad(i::text, 4, '0'), 'aviso', '["hola"]', priority => 50))
FROM generate_series(1, 300) AS i
SQL
$watch = stopwatch($node, $sim);
$sim->answer(1500);
settled($node, '300 urgent messages are sent, and one that was set aside meanwhile');
$soon = 15 + $watch->waited;
is(sql("SELECT max(accepted_at - created_at) < interval '$soon seconds' FROM whatsapp_messages WHERE priority = 50"),
	't', 'without any of them being overlooked');
$sim->faults();

# ---- somebody keeps rows locked ----------------------------------------------------------------

# One row of each kind that the sender looks after by the clock is locked:
# everybody else's deferred, held, expiring and uncertain messages go on.
sub keep_locked
{
	my ($statement) = @_;
	my $session = $node->background_psql('postgres');
	$session->query_safe("BEGIN; $statement");
	return $session;
}

# Lets go, and expects the message to be sent at once, without the help of a sweep.
sub goes_when_free
{
	my ($session, $id, $what) = @_;
	my $watch = stopwatch($node, $sim);
	my $free = sql('SELECT clock_timestamp()');

	$session->query_safe('ROLLBACK');
	$session->quit;
	wait_status($node, $id, 'accepted', $what);
	my $soon = 5 + $watch->waited;
	is(sql("SELECT accepted_at - '$free' < interval '$soon seconds' FROM whatsapp_messages WHERE id = $id"),
		't', '... at once');
	return;
}

sub hold
{
	my @ids = map { enqueue($node, 't1', $_) } @_;
	my $list = join ',', @ids;
	wait_for($node, "SELECT bool_and(e.reason = 'tenant_paused') FROM unnest(ARRAY[$list]) AS i, wa_explain(i) AS e", 'they wait');
	return @ids;
}

sql("SELECT wa_pause('tenant', 't1', 'lunch')");
@ids = hold(map { "+3461190020$_" } 1 .. 3);
my $locked = keep_locked("SELECT wa_cancel_message($ids[0])");
sql("SELECT wa_pause('tenant', 't1', 'lunch', now() + interval '1 second')");
wait_status($node, $_, 'accepted', 'a pause ends by its time although a message that it held is locked')
  foreach @ids[ 1, 2 ];
my $later = enqueue($node, 't2', '+34611900204', scheduled_at => "now() + interval '300 ms'");
wait_status($node, $later, 'accepted', 'and scheduled messages go');
$locked->query_safe('ROLLBACK');
$locked->quit;
wait_status($node, $ids[0], 'accepted', 'the locked one goes when it is free');

sql("SELECT wa_pause('tenant', 't1', 'lunch', now() + interval '1 hour')");
@ids = hold(map { "+3461190021$_" } 1 .. 2);
$locked = keep_locked("SELECT status FROM whatsapp_messages WHERE id = $ids[0] FOR UPDATE");
sql("UPDATE whatsapp_queue SET expires_at = now() WHERE message_id IN ($ids[0], $ids[1]);
	SELECT wa_internal_wake_due(now())");
$later = enqueue($node, 't2', '+34611900214', scheduled_at => "now() + interval '300 ms'");
wait_status($node, $later, 'accepted', 'a locked message that expires does not hold up scheduled ones');
wait_status($node, $ids[1], 'expired', 'nor others that expire');
$locked->query_safe('ROLLBACK');
$locked->quit;
wait_status($node, $ids[0], 'expired', 'it expires when it is free');
sql("SELECT wa_resume('tenant', 't1')");

$sim->faults({ match => { recipient => '+34611900220' }, times => 2, cut => 'received' });
@ids = map { enqueue($node, 't1', '+34611900220', on_uncertain => "'fail'") } 1 .. 2;
wait_status($node, $_, 'uncertain') foreach @ids;
$locked = keep_locked("SELECT status FROM whatsapp_messages WHERE id = $ids[0] FOR UPDATE");
sql("UPDATE whatsapp_queue SET due_at = now() WHERE state = 'u'; SELECT wa_internal_wake_due(now())");
$later = enqueue($node, 't2', '+34611900224', scheduled_at => "now() + interval '300 ms'");
wait_status($node, $later, 'accepted', 'a locked message in doubt does not hold up scheduled ones');
wait_status($node, $ids[1], 'failed', 'nor others in doubt');
$locked->query_safe('ROLLBACK');
$locked->quit;
wait_status($node, $ids[0], 'failed', 'it is decided when it is free');

# What is ready is passed by while somebody has it locked.
just_swept();
sql("SELECT wa_pause('account')");
@ids = map { enqueue($node, 't1', "+3461190025$_") } 1 .. 2;
$locked = keep_locked("SELECT FROM whatsapp_queue WHERE message_id = $ids[0] FOR UPDATE");
sql("SELECT wa_resume('account')");
wait_status($node, $ids[1], 'accepted', 'a locked row does not hold up the next one');
goes_when_free($locked, $ids[0], 'it goes when it is free');

# So is what was set aside for its recipient when its turn comes.
just_swept();
@ids = behind_a_slow_one('+34611900255', 3);
$locked = keep_locked("SELECT FROM whatsapp_queue WHERE message_id = $ids[1] FOR UPDATE");
wait_status($node, $ids[2], 'accepted', 'nobody waits behind a locked row');
goes_when_free($locked, $ids[1], 'it goes when it is free');
$sim->faults();

# What the claim decides about a locked message is not written either.
just_swept();
sql("SELECT wa_pause('account')");
$id = enqueue($node, 't1', '+34611900226');
$locked = keep_locked("SELECT status FROM whatsapp_messages WHERE id = $id FOR UPDATE");
sql("SELECT wa_pause('tenant', 't1')");
sql("SELECT wa_resume('account')");
@ids = map { enqueue($node, 't2', "+3461190023$_") } 1 .. 3;
wait_status($node, $_, 'accepted', 'a locked message that is to be held does not hold up the claim') foreach @ids;
is(sql('SELECT sum(errors) FROM wa_stats()'), '0', 'without an error');
sql("SELECT wa_resume('tenant', 't1')");
goes_when_free($locked, $id, 'it goes when it is free');

# Nor is it a reason not to show that others are on the wire.
my $errors = sql('SELECT sum(errors) FROM wa_stats()');
$sim->faults(map { { match => { recipient => "+3461190024$_" }, delay_ms => 5000 } } 1, 2);
sql("SELECT wa_pause('account')");
@ids = map { enqueue($node, 't1', "+3461190024$_") } 1, 2;
$locked = keep_locked("SELECT status FROM whatsapp_messages WHERE id = $ids[0] FOR UPDATE");
$sim->hold_answers;
sql("SELECT wa_resume('account')");
wait_status($node, $ids[1], 'sending', 'a locked message does not keep others from showing as sending');
$locked->query_safe('ROLLBACK');
$locked->quit;
is(sql('SELECT sum(errors) FROM wa_stats()'), $errors, 'nor does it fail anything');
$sim->answer(5000);
wait_status($node, $_, 'accepted', 'both are settled') foreach @ids;
$sim->faults();

# What cannot be done for a lock does not keep other duties from being done.
$sim->faults({ match => { recipient => '+34611900250' }, times => 2, cut => 'received' });
@ids = ();
foreach my $n (1 .. 2)
{
	push @ids, enqueue($node, 't1', '+34611900250');
	wait_status($node, $ids[-1], 'uncertain');
	last if $n == 2;
	sql("UPDATE whatsapp_queue SET due_at = now() WHERE message_id = $ids[0]; SELECT wa_internal_wake_due(now())");
	wait_for($node, q{SELECT EXISTS (SELECT FROM whatsapp_alerts WHERE kind = 'uncertain' AND resolved_at IS NULL)},
		'an alert tells of a message in doubt');
}
$locked = keep_locked(q{SELECT FROM whatsapp_alerts WHERE kind = 'uncertain' FOR UPDATE});
my $failures = sql('SELECT sum(errors) FROM wa_stats()');
sql("UPDATE whatsapp_queue SET due_at = now() WHERE message_id = $ids[1]; SELECT wa_internal_wake_due(now())");
wait_for($node, "SELECT sum(errors) > $failures FROM wa_stats()", 'which cannot be written again while it is locked');
sql("SELECT wa_pause('tenant', 't2', 'lunch', now() + interval '1 second')");
$later = enqueue($node, 't2', '+34611900254');
wait_status($node, $later, 'accepted', 'a pause ends all the same');
$locked->query_safe('ROLLBACK');
$locked->quit;
sql("SELECT wa_resolve_message($_, 'accepted')") foreach @ids;
$sim->faults();

# ---- idle ------------------------------------------------------------------------------------

# A message in doubt waits for a person, for years if need be, also past its expiry.
$sim->faults({ match => { recipient => '+34611900230' }, times => 1, cut => 'received' });
$id = enqueue($node, 't1', '+34611900230', expires_at => "now() + interval '1 hour'");
wait_status($node, $id, 'uncertain');
sql("UPDATE whatsapp_queue SET due_at = 'infinity', expires_at = now() WHERE message_id = $id;
	SELECT wa_internal_wake_due(now())");
wait_for($node, <<'SQL', 'a message that waits for a person does not keep the sender busy');
SELECT state = 'idle' AND clock_timestamp() - state_change > interval '3 seconds'
FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'
SQL
sql("SELECT wa_resolve_message($id, 'accepted')");

# ---- a synchronous standby that is not there ------------------------------------------------------

# A connection is open, so that a request would leave in the moment in which it is begun.
wait_status($node, enqueue($node, 't1', '+34611900239'), 'accepted');
sql(q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
$node->poll_query_until('postgres', 'SHOW synchronous_standby_names', 'nobody');
sql(q{SET synchronous_commit = local; SELECT wa_enqueue_message('t1', '+34611900240', 'aviso', '["1"]')});
wait_for($node,
	q{SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'},
	'the lease waits for the standby');
ok(!(grep { $_->{message}{to} eq '+34611900240' } $sim->accepted), 'and nothing leaves before it is there');
($pid) = sender_pids($node, 'postgres');
kill 'TERM', $pid;
wait_for($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)",
	'a sender that waits for it ends when it is told to');
sql('ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
wait_for($node, q{SELECT status = 'accepted' AND attempts = 1 FROM whatsapp_messages WHERE recipient_phone = '+34611900240'},
	'what was leased only, and not begun, leaves when the standby is no longer asked for');

# The same for one that is told to just before it would wait.
sql(<<'SQL');
CREATE TABLE public.gate ();
GRANT SELECT ON public.gate TO PUBLIC;
CREATE FUNCTION public.wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM public.gate) LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER wait_at_gate AFTER INSERT ON whatsapp_leases EXECUTE FUNCTION public.wait_at_gate()
SQL
wait_for_senders($node, 'postgres', 1);
enqueue($node, 't1', '+34611900290');
wait_for($node,
	q{SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'},
	'a sender is in the middle of its claim');
sql(q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
$other = $node->background_psql('postgres');
$other->query_until(qr/begun/, "\\echo begun\nCREATE TABLE public.waits ();\n");
wait_for($node,
	q{SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE query LIKE 'CREATE TABLE%waits%' AND pid <> pg_backend_pid()},
	'meanwhile commits begin to wait for a standby');
($pid) = sender_pids($node, 'postgres');
kill 'TERM', $pid;
sql('SET synchronous_commit = local; INSERT INTO public.gate DEFAULT VALUES');
wait_for($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)",
	'and ends without waiting for the standby');
ok(!(grep { $_->{message}{to} eq '+34611900290' } $sim->accepted), 'nor does it begin what it has leased');
sql('ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
wait_for($node, q{SELECT status = 'accepted' AND attempts = 1 FROM whatsapp_messages WHERE recipient_phone = '+34611900290'},
	'which leaves later');
$other->quit;
sql('DROP TRIGGER wait_at_gate ON whatsapp_leases; DROP FUNCTION public.wait_at_gate(); DROP TABLE public.gate');

invariants_hold($node);
$node->stop;
done_testing();
