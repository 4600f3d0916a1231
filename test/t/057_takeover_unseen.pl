# What a take-over must hold although it cannot see it, or not as it was: messages of
# transactions that are prepared, and what somebody has changed before the take-over
# came to it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WaDelivery qw(new_delivery enqueue wait_for wait_status accepted_for deliver_webhooks invariants_hold);
use WaLoad qw(patience);
use WaTest qw(set_and_reload wait_for_senders);

my ($old, $sim) = new_delivery('old', tenants => 5, simulator => ['--webhook-pull'], settings => [
	'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on', 'wal_keep_size = 64MB', 'max_prepared_transactions = 8',
	"whatsapp_shared.takeover_grace = '1h'", "whatsapp_shared.uncertain_policy = 'resend'" ]);
$old->append_conf('pg_hba.conf', 'local replication all trust');
$old->reload;

# Whether the message is held as one that the former primary may have sent.
sub is_held
{
	my ($node, $id, $what) = @_;
	return wait_for($node,
		"SELECT EXISTS (SELECT FROM whatsapp_queue WHERE message_id = $id AND state = 'u' AND hold_reason = 'takeover')", $what);
}

sub prepare
{
	my ($node, $name, $sql) = @_;
	return $node->safe_psql('postgres', "BEGIN;\n$sql;\nPREPARE TRANSACTION '$name'");
}

sub message
{
	my ($tenant, $recipient) = @_;
	return "SELECT wa_enqueue_message('$tenant', '$recipient', 'aviso', '[\"hola\"]')";
}

# ---- the former primary ---------------------------------------------------------------------------

my $unseen = prepare($old, 'unseen', message('t1', '+34630000001'));
my $forgotten = prepare($old, 'forgotten', message('t1', '+34630000002'));
my $late = prepare($old, 'late', message('t1', '+34630000003'));
set_and_reload($old, enabled => 'off');
my $paused = enqueue($old, 't2', '+34630000004');
my $disabled = enqueue($old, 't3', '+34630000005');
my $quiet = enqueue($old, 't4', '+34630000006');
my $decided = enqueue($old, 't1', '+34630000008');
my $locked = enqueue($old, 't1', '+34630000009');
my $moved = enqueue($old, 't5', '+34630000007');
prepare($old, 'lock', "SELECT FROM whatsapp_queue WHERE message_id = $locked FOR UPDATE");
# A take-over waits for this.
prepare($old, 'home', 'SELECT FROM whatsapp_home FOR UPDATE');

my $new = PostgreSQL::Test::Cluster->new('new');
$old->backup('new');
$new->init_from_backup($old, 'new', has_streaming => 1);
$new->start;
$old->safe_psql('postgres', 'CREATE TABLE replayed ()');
$old->wait_for_catchup($new);
my $noted = $new->data_dir . '/pg_replslot/whatsapp_shared.standby';
my $deadline = time + patience();
sleep 0.05 until -e $noted || time > $deadline;
$new->safe_psql('postgres', q{ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=9 connect_timeout=1'});
set_and_reload($new, enabled => 'on');
wait_for($old, 'SELECT NOT EXISTS (SELECT FROM pg_stat_replication)', 'the standby has lost its primary');

# All of it is sent, and the standby does not hear of it.
set_and_reload($old, enabled => 'on');
$old->safe_psql('postgres', "COMMIT PREPARED '$_'") foreach qw(unseen forgotten late);
# Nobody is told of that.
$old->safe_psql('postgres', 'SELECT wa_worker_restart()');
wait_status($old, $_, 'accepted') foreach $unseen, $forgotten, $late, $paused, $disabled, $quiet, $moved, $decided;
$old->stop('immediate');

# ---- before the take-over -------------------------------------------------------------------------

$new->promote;
$new->safe_psql('postgres', <<'SQL');
SELECT wa_pause('number', '100000000000002', 'stocktaking');
SELECT wa_configure_tenant('t3', enabled => false);
SELECT wa_configure_tenant('t4', quiet_from => (now() - interval '1 hour')::time, quiet_to => (now() + interval '1 hour')::time,
    time_zone => current_setting('TimeZone'));
SELECT wa_internal_begin_quiet_hours();
SELECT wa_unassign_phone('t5');
SQL
my $own = enqueue($new, 't1', '+34630000010');
is($new->safe_psql('postgres', "SELECT state, hold_reason FROM whatsapp_queue WHERE message_id IN ($quiet, $moved) ORDER BY message_id"),
	"d|quiet_hours\nh|no_number", 'messages change before the take-over has come to them');
is($new->safe_psql('postgres', 'SELECT takeover_at IS NULL FROM whatsapp_home'), 't', 'it has not begun');
$new->safe_psql('postgres', q{ROLLBACK PREPARED 'home'});
wait_status($new, $own, 'accepted', 'a message of the new primary goes');

is_held($new, $paused, 'what was paused here may have been sent over there: it is held');
is_held($new, $disabled, 'so is what a tenant has that was switched off here');
is_held($new, $quiet, 'what was put off here');
is_held($new, $moved, 'and what has lost its number here');
is_held($new, $decided, 'like everything that was ready');
is($new->safe_psql('postgres', 'SELECT takeover_through IS NOT NULL FROM whatsapp_home'), 't', 'a locked message keeps the take-over going');
$new->safe_psql('postgres', "SELECT wa_resolve_message($decided, 'resend')");
wait_status($new, $decided, 'accepted', 'what a person wants sent again is not held again');
$new->safe_psql('postgres', q{COMMIT PREPARED 'lock'});
is_held($new, $locked, 'the locked message is held when it is free');
wait_for($new, 'SELECT takeover_through IS NULL AND takeover_at IS NOT NULL FROM whatsapp_home', 'the take-over is over');

# ---- prepared transactions ------------------------------------------------------------------------

is($new->safe_psql('postgres', 'SELECT takeover_prepared FROM whatsapp_home'), "{$unseen,$forgotten,$late}",
	'it knows of the messages that nobody sees yet');
# A new sender claims before it looks after anything else.
$new->safe_psql('postgres', $_) foreach q{COMMIT PREPARED 'unseen'}, 'SELECT wa_worker_restart()';
is_held($new, $unseen, 'a message of a transaction that was prepared over there is held');
$new->safe_psql('postgres', q{ROLLBACK PREPARED 'forgotten'});
wait_for($new, "SELECT takeover_prepared = '{$late}' FROM whatsapp_home", 'one that was rolled back is forgotten');
$new->restart('immediate');
wait_for_senders($new, 'postgres', 1);
$new->safe_psql('postgres', q{COMMIT PREPARED 'late'});
is_held($new, $late, 'also after a crash');
wait_for($new, 'SELECT takeover_prepared IS NULL FROM whatsapp_home', 'then nothing is prepared any more');

my $accepted = accepted_for($sim);
is_deeply([ grep { $accepted->{$_} > 1 } keys %$accepted ], [$decided], 'nothing else was sent twice');
deliver_webhooks($new, $sim);
is($new->safe_psql('postgres', 'SELECT message_id FROM whatsapp_queue'), $locked, 'their reports settle what was sent');
invariants_hold($new);

$new->stop;
done_testing();
