# Refusals that are not the message's fault stop what they concern, and nothing
# else, until time, an event or a person lifts the pause.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of settled accepted_for
  invariants_hold);
use WaTest qw(set_and_reload);

my ($node, $sim) = new_delivery('pauses');

sub paused
{
	my ($scope, $key) = @_;
	return
	  "SELECT EXISTS (SELECT FROM whatsapp_pauses WHERE scope = '$scope' AND key = '$key' AND automatic)";
}

sub attempts_of
{
	my ($id) = @_;
	return $node->safe_psql('postgres', "SELECT attempts FROM whatsapp_messages WHERE id = $id");
}

# ---- the account: a token that has expired ---------------------------------------------

# Slowly: what is put back has been shown as being sent, as an attempt.
$sim->faults({ match => { probability => 1 }, code => 190, status => 401, delay_ms => 600 });
my $id = enqueue($node, 't1', '+34611400001');
wait_for($node, paused('account', ''), 'an expired token pauses the account');
my $second = enqueue($node, 't2', '+34611400002');
wait_status($node, $id, 'queued', 'the message waits');
is(attempts_of($id), '0', 'and no attempt is counted');
my ($reason) =
  split /\|/, $node->safe_psql('postgres', "SELECT reason FROM wa_explain($second)");
is($reason, 'account_paused', 'wa_explain names the pause');
wait_for($node,
	"SELECT EXISTS (SELECT FROM whatsapp_alerts WHERE kind = 'paused' AND resolved_at IS NULL)",
	'and there is an alert');
$sim->faults();
$node->safe_psql('postgres', "SELECT wa_resume('account')");
wait_status($node, $id,     'accepted', 'wa_resume sends it');
wait_status($node, $second, 'accepted', 'and what came meanwhile');

# ---- a number ---------------------------------------------------------------------------

$sim->faults({ match => { number => '100000000000001' }, code => 131045, status => 500 });
$id = enqueue($node, 't1', '+34611400003');
wait_for($node, paused('number', '100000000000001'), 'a fault of one number pauses that number');
$second = enqueue($node, 't2', '+34611400004');
wait_status($node, $second, 'accepted', 'the others go on');
wait_status($node, $id, 'queued', 'its own message waits');
$sim->faults();
$node->safe_psql('postgres', "SELECT wa_resume('number', '100000000000001')");
wait_status($node, $id, 'accepted', 'until it is resumed');

# ---- a template ---------------------------------------------------------------------------

$sim->faults({ match => { template => 'aviso' }, code => 132015, status => 400 });
$id = enqueue($node, 't1', '+34611400005');
wait_for($node, paused('template', 'aviso/es'), 'a paused template is paused here too');
wait_for($node, "SELECT state = 'h' AND hold_reason = 'template_paused' FROM whatsapp_queue WHERE message_id = $id",
	'its message is held');
$second = $node->safe_psql('postgres',
	q{SELECT wa_enqueue_message('t1', '+34611400006', 'otro', '["hola"]')});
wait_status($node, $second, 'accepted', 'other templates go on');
$sim->faults();
$node->safe_psql('postgres', "SELECT wa_resume('template', 'aviso/es')");
wait_status($node, $id, 'accepted', 'until it is resumed');

# ---- by hand, with an end --------------------------------------------------------------------

# All at once, so that the end is yet to come.
my $until;
($until, $id) = split /\n/, $node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT until FROM (SELECT clock_timestamp() + interval '1 second' AS until OFFSET 0) AS u, wa_pause('tenant', 't1', 'inventory', until);
SELECT wa_enqueue_message('t1', '+34611400007', 'aviso', '["hola"]');
COMMIT
SQL
$second = enqueue($node, 't2', '+34611400008');
wait_status($node, $second, 'accepted', 'a paused tenant does not stop another');
wait_status($node, $id, 'accepted', 'and goes on by itself when the pause ends');
ok( $node->safe_psql('postgres',
		"SELECT accepted_at >= '$until' FROM whatsapp_messages WHERE id = $id") eq 't',
	'not earlier');

# ---- tenants and numbers ------------------------------------------------------------------------

$node->safe_psql('postgres', "SELECT wa_pause('account', NULL, 'move', NULL)");
$id = enqueue($node, 't3', '+34611400009');
$node->safe_psql('postgres', "SELECT wa_configure_tenant('t3', enabled => false)");
$node->safe_psql('postgres', "SELECT wa_resume('account')");
$second = enqueue($node, 't2', '+34611400012');
wait_status($node, $second, 'accepted', 'a tenant that is switched off does not stop another');
is( $node->safe_psql('postgres',
		"SELECT e.reason, s.state, s.reason FROM wa_explain($id) AS e, wa_queue_status AS s WHERE s.phone_number_id = '100000000000003'"),
	'tenant_disabled|held|tenant_disabled',
	'and keeps its messages');
$node->safe_psql('postgres', "SELECT wa_configure_tenant('t3', enabled => true)");
wait_status($node, $id, 'accepted', 'until it is switched on');

$node->safe_psql('postgres', "SELECT wa_pause('account', NULL, 'move', NULL)");
$id = enqueue($node, 't3', '+34611400010');
$node->safe_psql('postgres', "SELECT wa_unassign_phone('t3')");
$node->safe_psql('postgres', "SELECT wa_assign_phone('t4', '100000000000003')");
$node->safe_psql('postgres', "SELECT wa_resume('account')");
$second = enqueue($node, 't4', '+34611400011');
wait_status($node, $second, 'accepted', 'the number now serves its new tenant');
is( $node->safe_psql('postgres', "SELECT hold_reason FROM whatsapp_queue WHERE message_id = $id"),
	'no_number',
	'and never the messages of the one before');
$node->safe_psql('postgres', "SELECT wa_assign_phone('t3', '100000000000005')");
wait_status($node, $id, 'accepted', 'these go from the number that their tenant gets next');
is( $node->safe_psql('postgres', "SELECT phone_number_id FROM whatsapp_messages WHERE id = $id"),
	'100000000000005', 'and say so');

is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'nothing arrived twice');
invariants_hold($node);
$node->stop;
done_testing();
