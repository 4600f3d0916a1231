# From COMMIT to acceptance: what is sent, what is not, and what a refusal does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of settled accepted_for
  invariants_hold);
use WaLoad qw(stopwatch);
use WaTest qw(set_and_reload);

my ($node, $sim) = new_delivery('delivery');

# ---- transactions -------------------------------------------------------------------

my $id = enqueue($node, 't1', '+34611000001', reference => "'PO-1'");
wait_status($node, $id, 'accepted', 'a committed message is accepted');
is( $node->safe_psql(
		'postgres', <<"SQL"), 't|t|1|100000000000001', 'with the id and the time of acceptance');
SELECT whatsapp_message_id LIKE 'wamid.%', accepted_at >= created_at, attempts, phone_number_id
FROM whatsapp_messages WHERE id = $id
SQL

$node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT wa_enqueue_message('t1', '+34611000002', 'aviso', '["no"]');
ROLLBACK;
BEGIN;
SELECT wa_enqueue_message('t1', '+34611000003', 'aviso', '["yes"]');
SAVEPOINT s;
SELECT wa_enqueue_message('t1', '+34611000004', 'aviso', '["no"]');
ROLLBACK TO s;
COMMIT;
SQL
settled($node);
my %to = map { $_->{message}{to} => 1 } $sim->accepted;
ok($to{'+34611000003'}, 'what was committed is sent');
ok(!$to{'+34611000002'} && !$to{'+34611000004'}, 'what was rolled back is not');

# A transaction that commits late, with a lower rank than what was sent meanwhile.
my $late = $node->background_psql('postgres');
$late->query_safe(
	q{BEGIN; SELECT wa_enqueue_message('t1', '+34611000005', 'aviso', '["late"]')});
my $early = enqueue($node, 't1', '+34611000006');
wait_status($node, $early, 'accepted');
$late->query_safe('COMMIT');
$late->quit;
wait_for($node,
	q{SELECT status = 'accepted' FROM whatsapp_messages WHERE recipient_phone = '+34611000005'},
	'a transaction that commits after later ones is not passed over');

# Prepared transactions run no hook at COMMIT PREPARED: the sweep covers them.
# (max_prepared_transactions is 0 by default, so a direct insert stands in.)

# ---- refusals -----------------------------------------------------------------------

$sim->faults({ match => { recipient => '+34611000010' }, code => 131026, status => 400 });
$id = enqueue($node, 't1', '+34611000010');
wait_status($node, $id, 'failed', 'a permanent refusal fails the message');
is( $node->safe_psql(
		'postgres',
		"SELECT error_code, error_message <> '', attempts, failed_at IS NOT NULL
		FROM whatsapp_messages WHERE id = $id"),
	'131026|t|1|t',
	'with the code and the message');
is( $node->safe_psql(
		'postgres',
		"SELECT outcome, http_status, error_code FROM whatsapp_attempts WHERE message_id = $id"),
	'permanent|400|131026',
	'and the attempt is on record');

$sim->faults({ match => { first => 2 }, code => 131000, status => 500 });
$id = enqueue($node, 't2', '+34611000011');
wait_status($node, $id, 'accepted', 'a passing fault is retried');
is($node->safe_psql('postgres', "SELECT attempts FROM whatsapp_messages WHERE id = $id"),
	'3', 'each attempt is counted');

set_and_reload($node, max_attempts => 2);
$sim->faults({ match => { recipient => '+34611000012' }, code => 131000, status => 500 });
$id = enqueue($node, 't2', '+34611000012');
wait_status($node, $id, 'failed', 'and given up when the attempts are used up');
is($node->safe_psql('postgres', "SELECT attempts FROM whatsapp_messages WHERE id = $id"),
	'2', 'after as many as allowed');
set_and_reload($node, max_attempts => 8);
$sim->faults();

# ---- waiting ------------------------------------------------------------------------

$id = enqueue($node, 't1', '+34611000013', scheduled_at => "now() + interval '1 second'");
wait_status($node, $id, 'accepted', 'a scheduled message goes when its time has come');
is($node->safe_psql('postgres', "SELECT accepted_at >= scheduled_at FROM whatsapp_messages WHERE id = $id"), 't', 'and not before');
ok( $node->safe_psql('postgres',
		"SELECT accepted_at >= scheduled_at FROM whatsapp_messages WHERE id = $id") eq 't',
	'not before');

$sim->faults({ match => { recipient => '+34611000014' }, reply => 'hang' });
$id = enqueue($node, 't1', '+34611000014');
wait_status($node, $id, 'sending', 'a request that hangs shows as sending');
is($node->safe_psql('postgres', "SELECT wa_cancel_message($id)"),
	'f', 'and cannot be cancelled any more');
$sim->faults();
$sim->release;
wait_for($node, "SELECT status IN ('accepted', 'uncertain') FROM whatsapp_messages WHERE id = $id",
	'until it is answered or given up');

# A message nobody claims expires all the same.
$node->safe_psql('postgres', "SELECT wa_configure_tenant('t9', is_new => true)");
$id = enqueue($node, 't9', '+34611000015', expires_at => "now() + interval '1 second'");
wait_status($node, $id, 'expired', 'a message without a number expires');

# ---- the switches -------------------------------------------------------------------

set_and_reload($node, enabled => 'off');
$id = enqueue($node, 't1', '+34611000016');
$node->safe_psql('postgres', 'SELECT pg_sleep(0)') for 1 .. 20;
is(status_of($node, $id), 'queued', 'with sending off messages wait');
is($node->safe_psql('postgres', "SELECT wa_cancel_message($id)"), 't', 'they can be cancelled');
my $second = enqueue($node, 't1', '+34611000017');
set_and_reload($node, enabled => 'on');
wait_status($node, $second, 'accepted', 'and go when it is on again');
is(status_of($node, $id), 'cancelled', 'except the cancelled one');

# ---- a quiet installation -------------------------------------------------------------

# A sender that was idle hears of these when it begins the next message, and its sweep is half a
# minute away.
foreach my $what ('ANALYZE', 'VACUUM', 'REINDEX TABLE')
{
	wait_for($node, 'SELECT NOT EXISTS (SELECT FROM whatsapp_leases)');
	$node->safe_psql('postgres', "$what whatsapp_queue");
	my $watch = stopwatch($node, $sim);
	$id = enqueue($node, 't1', '+34611000018');
	wait_status($node, $id, 'accepted');
	cmp_ok($watch->seconds, '<', 10, "a message that is written after $what goes at once");
}

is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'nothing arrived twice');
invariants_hold($node);

$node->stop;
done_testing();
