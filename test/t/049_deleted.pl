# Messages that somebody deletes while they are still to be sent, and messages that
# have been tried as often as a message can be.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue enqueue_many wait_for wait_status accepted_for invariants_hold);
use WaTest qw(sender_pids);

my ($node, $sim) = new_delivery(
	'deleted',
	settings => [
		"whatsapp_shared.messages_per_second = 1000",
		"whatsapp_shared.uncertain_policy = 'park'",
		'restart_after_crash = on'
	]);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

# ---- deleted ------------------------------------------------------------------------------------

sql("SELECT wa_pause('account')");
my $ids = enqueue_many($node, 't1', '+346110', 100);
sql("DELETE FROM whatsapp_messages WHERE id IN ($ids)");
is(sql('SELECT count(*) FROM whatsapp_queue'), '0', 'what is deleted is not in the queue any more');
$ids = enqueue_many($node, 't1', '+346110', 100);
sql('TRUNCATE whatsapp_messages');
is(sql('SELECT count(*) FROM whatsapp_queue'), '0', 'nor what is truncated');

# The role that may delete needs no rights on the queue.
sql('CREATE ROLE cleaner; GRANT DELETE, SELECT ON whatsapp_messages TO cleaner');
$ids = enqueue_many($node, 't1', '+346110', 3);
sql("SET ROLE cleaner; DELETE FROM whatsapp_messages WHERE id IN ($ids)");
is(sql('SELECT count(*) FROM whatsapp_queue'), '0', 'whoever deletes it');

# ---- deleted behind our back -----------------------------------------------------------------------

# As a subscription does, or somebody who has switched triggers off.
sub delete_quietly
{
	my ($list) = @_;
	sql("SET session_replication_role = replica; DELETE FROM whatsapp_messages WHERE id IN ($list)");
	return;
}

sub gone
{
	my ($list, $what) = @_;
	return wait_for($node, "SELECT count(*) = 0 FROM whatsapp_queue WHERE message_id IN ($list)", $what);
}

$ids = enqueue_many($node, 't1', '+346111', 500);
my $behind = enqueue($node, 't1', '+34611200001');
delete_quietly($ids);
is(sql(q{SELECT detail FROM wa_health() WHERE item = 'deleted messages'}),
	'500 rows of the queue belong to messages that were deleted.', 'wa_health counts them');
sql("SELECT wa_resume('account')");
wait_status($node, $behind, 'accepted', 'what is behind deleted messages is sent');
gone($ids, 'they are removed by the claim');
wait_for($node, q{SELECT message LIKE '% messages that were still to be sent have been deleted by somebody%' FROM whatsapp_alerts WHERE kind = 'orphan' AND resolved_at IS NULL}, 'with an alert');
is(sql(q{SELECT count(*) FROM wa_health() WHERE item = 'deleted messages'}), '0', 'and wa_health has nothing to count');
is(sql('SELECT sum(errors) FROM wa_stats()'), '0', 'without an error');

# Deferred, expiring and uncertain ones, a batch of each before others.
$ids = enqueue_many($node, 't1', '+346112', 1100, "scheduled_at => now() + interval '1 hour'");
my $expiring = enqueue_many($node, 't1', '+346113', 10, "scheduled_at => now() + interval '1 hour', expires_at => now() + interval '2 hours'");
sql("UPDATE whatsapp_queue SET due_at = now() - interval '1 minute' WHERE message_id IN ($ids);
	UPDATE whatsapp_queue SET expires_at = now() - interval '1 minute' WHERE message_id IN ($expiring);
	UPDATE whatsapp_queue SET state = 'u', hold_reason = 'uncertain' WHERE message_id % 10 = 0 AND message_id IN ($ids)");
delete_quietly("$ids, $expiring");
my $later = enqueue($node, 't2', '+34611200002', scheduled_at => "now() + interval '200 ms'");
wait_status($node, $later, 'accepted', 'what is due after deleted messages is sent');
gone("$ids, $expiring", 'they are removed when they are due');

# Held ones do not end the walk through those that are held.
sql("SELECT wa_pause('template', 'aviso', 'lunch', now() + interval '1 hour')");
my $held = enqueue_many($node, 't3', '+346114', 1100);
wait_for($node, "SELECT count(*) = 1100 FROM whatsapp_queue WHERE message_id IN ($held) AND state = 'h'", 'messages are held');
my ($first) = split /,/, $held;
delete_quietly($first);
sql("UPDATE whatsapp_pauses SET until = now() + interval '1 second' WHERE scope = 'template'; SELECT wa_worker_restart()");
wait_for($node, "SELECT count(*) = 1099 FROM whatsapp_messages WHERE id IN ($held) AND status = 'accepted'",
	'a deleted one among them does not hold up the others');
sql('SELECT wa_worker_restart()');
gone($first, 'and is removed');

# On the wire when it is deleted, and when the sender dies.
$sim->faults({ match => { number => '100000000000001' }, accept => JSON::PP::true(), reply => 'hang' });
$ids = enqueue_many($node, 't1', '+346115', 3);
wait_for($node, 'SELECT sum(cardinality(message_ids)) = 3 FROM whatsapp_leases', 'messages are on the wire');
my ($deleted, @others) = split /,/, $ids;
delete_quietly($deleted);
my ($pid) = sender_pids($node, 'postgres');
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT 1', '1');
wait_status($node, $_, 'uncertain', 'what is on the wire with a deleted message is recovered') foreach @others;
gone($deleted, 'and that is removed');
is(sql('SELECT count(*) FROM whatsapp_leases'), '0', 'with its lease');
sql("SELECT wa_resolve_message(id, 'accepted') FROM whatsapp_messages WHERE status = 'uncertain'");
$sim->faults({ match => { number => '100000000000001' }, delay_ms => 700 });
$sim->hold_answers;
my $answered = enqueue($node, 't1', '+34611600001');
wait_for($node, "SELECT EXISTS (SELECT FROM whatsapp_leases WHERE $answered = ANY (message_ids))", 'a message is on the wire');
sql("DELETE FROM whatsapp_messages WHERE id = $answered");
$sim->answer(700);
wait_for($node, 'SELECT NOT EXISTS (SELECT FROM whatsapp_leases)', 'its request is settled after it was deleted');
$sim->faults();

# ---- tried too often -----------------------------------------------------------------------------------

# As a job leaves it that retries what has failed every few seconds, for years.
$sim->faults({ match => { number => '100000000000001' }, code => 131026, status => 400 });
my $tried = enqueue($node, 't1', '+34611700001');
wait_status($node, $tried, 'failed');
sql("UPDATE whatsapp_messages SET attempts = 29999 WHERE id = $tried");
is(sql("SELECT wa_retry_message($tried)"), 't', 'a message that was tried often is tried once more');
wait_for($node, "SELECT status = 'failed' AND attempts = 30000 FROM whatsapp_messages WHERE id = $tried", 'which is counted');
my ($rc, $out, $err) = $node->psql('postgres', "SET client_min_messages = notice; SELECT wa_retry_message($tried)");
is($out, 'f', 'and not again');
like($err, qr/NOTICE:  message $tried was not queued again\nDETAIL:  It has been tried 30000 times/, 'with a reason');

# As an earlier version may have left it.
sql(<<"SQL");
SELECT wa_pause('account');
SELECT wa_enqueue_message('t1', '+34611700002', 'aviso', '["1"]') AS id \\gset
UPDATE whatsapp_queue SET attempts = 32767 WHERE message_id = :id;
UPDATE whatsapp_messages SET attempts = 32767 WHERE id = :id;
SELECT wa_resume('account');
SQL
wait_for($node, q{SELECT status = 'failed' AND status_reason = 'too_many_attempts' FROM whatsapp_messages WHERE recipient_phone = '+34611700002'},
	'a message that has no attempt left fails');
like(sql(q{SELECT wa_explain(id) FROM whatsapp_messages WHERE recipient_phone = '+34611700002'}),
	qr/32767 attempts were made, and a message cannot have more/, 'which wa_explain says');
sql(q{SET session_replication_role = replica;
	UPDATE whatsapp_messages SET status = 'uncertain' WHERE recipient_phone = '+34611700002';
	RESET session_replication_role;
	INSERT INTO whatsapp_queue (message_id, phone_number_id, rank, due_at, attempts, state, hold_reason)
	SELECT id, phone_number_id, 0, now(), 32767, 'u', 'uncertain' FROM whatsapp_messages WHERE recipient_phone = '+34611700002';
	UPDATE whatsapp_messages SET on_uncertain = 'fail' WHERE recipient_phone = '+34611700002';
	SELECT wa_adopt(); SELECT wa_internal_wake_due(now())});
wait_for($node, q{SELECT status = 'failed' AND status_reason = 'uncertain' FROM whatsapp_messages WHERE recipient_phone = '+34611700002'},
	'and so does one in doubt');
($pid) = sender_pids($node, 'postgres');
kill 'TERM', $pid;
wait_for($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 'the sender ends when it is told to');

invariants_hold($node);
$node->stop;
done_testing();
