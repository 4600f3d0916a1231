# A promoted standby that lagged behind does not send again what its primary has sent:
# it holds it, until the reports of Meta or the policy decide.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of settled accepted_for deliver_webhooks
  invariants_hold);
use WaLoad qw(patience);
use WaTest qw(set_and_reload wait_for_senders);

my $messages = $ENV{TAKEOVER_MESSAGES} // 60;
my ($old, $sim) = new_delivery('old', simulator => ['--webhook-pull'], settings => [
	'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on', 'wal_keep_size = 64MB', 'max_prepared_transactions = 2',
	"whatsapp_shared.takeover_grace = '1h'", "whatsapp_shared.uncertain_policy = 'resend'" ]);
$old->append_conf('pg_hba.conf', 'local replication all trust');
$old->reload;

# A standby of this server that has everything.
sub new_standby
{
	my ($of, $name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$of->backup($name);
	$standby->init_from_backup($of, $name, has_streaming => 1);
	$standby->start;
	$of->wait_for_catchup($standby);
	my $noted = $standby->data_dir . '/pg_replslot/whatsapp_shared.standby';
	my $deadline = time + patience();
	sleep 0.05 until -e $noted || time > $deadline;
	return $standby;
}

my $recipient = 0;
sub enqueue_many
{
	my ($node, $tenant, $count) = @_;
	my $first = $recipient + 1;
	$recipient += $count;
	return split /\n/, $node->safe_psql('postgres', <<"SQL");
SELECT wa_enqueue_message('$tenant', '+34610' || lpad(i::text, 6, '0'), 'aviso', '["a"]') FROM generate_series($first, $recipient) AS i
SQL
}

sub accepted_once
{
	my ($name, @ids) = @_;
	my $count = accepted_for($sim);
	is_deeply([ grep { ($count->{$_} // 0) != 1 } @ids ], [], "$name: every message was sent, and once");
	return;
}

# ---- what the former primary did is not known -------------------------------------------------

$old->safe_psql('postgres', q{SELECT FROM wa_pause('tenant', 't3', 'stocktaking')});
my ($paused) = enqueue_many($old, 't3', 1);
set_and_reload($old, enabled => 'off');
my @ids = enqueue_many($old, 't1', $messages);
my $later = enqueue($old, 't2', '+34620000001', scheduled_at => q{now() + interval '1 day'});
my $soon = enqueue($old, 't2', '+34620000002', scheduled_at => q{now() + interval '0.5 seconds'});
my ($locked) = enqueue_many($old, 't2', 1);
$old->safe_psql('postgres', <<"SQL");
BEGIN;
SELECT FROM whatsapp_queue WHERE message_id = $locked FOR UPDATE;
PREPARE TRANSACTION 'somebody';
SQL

# The standby hears no more of its primary, which begins to send, and dies.
my $new = new_standby($old, 'new');
# Something to be replayed, whose time it knows.
$old->safe_psql('postgres', 'CREATE TABLE replayed ()');
$old->wait_for_catchup($new);
$new->safe_psql('postgres', q{ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=9 connect_timeout=1'});
set_and_reload($new, enabled => 'on');
wait_for($old, 'SELECT NOT EXISTS (SELECT FROM pg_stat_replication)', 'the standby has lost its primary');
set_and_reload($old, enabled => 'on');
my @lost = enqueue_many($old, 't2', 40);
my $deadline = time + patience();
sleep 0.01 until $sim->stats->{accepted} >= $messages / 3 || time > $deadline;
$old->stop('immediate');
my %sent = %{ accepted_for($sim) };
my @sent = grep { $sent{$_} } @ids;
cmp_ok(scalar @sent, '>', 0, 'the primary has sent ' . @sent . " of $messages messages before it died");

$new->promote;
my $own = enqueue($new, 't1', '+34620000003');
wait_status($new, $own, 'accepted', 'a message of the new primary goes at once');
my ($next) = enqueue_many($new, 't2', 1);
cmp_ok($next, '>', $lost[-1], 'none gets the id of one that was lost with the former primary');
wait_for($new, "SELECT count(*) = $messages FROM whatsapp_queue WHERE state = 'u' AND hold_reason = 'takeover' AND message_id = ANY ('{"
	. join(',', @ids) . "}')", 'what the former primary may have sent is held');
wait_for($new, "SELECT state = 'u' AND hold_reason = 'takeover' FROM whatsapp_queue WHERE message_id = $soon",
	'so is what has come due by now');
is($new->safe_psql('postgres', "SELECT state FROM whatsapp_queue WHERE message_id = $later"), 'd', 'but not what is due tomorrow');
is($new->safe_psql('postgres', "SELECT state FROM whatsapp_queue WHERE message_id = $paused"), 'r', 'nor what a pause holds still');
is($new->safe_psql('postgres', "SELECT state FROM whatsapp_queue WHERE message_id = $locked"), 'r', 'what somebody has locked is passed by');
is($new->safe_psql('postgres', 'SELECT takeover_through IS NOT NULL FROM whatsapp_home'), 't', 'so the take-over is not over');
$new->safe_psql('postgres', q{COMMIT PREPARED 'somebody'});
wait_for($new, "SELECT state = 'u' AND hold_reason = 'takeover' FROM whatsapp_queue WHERE message_id = $locked", 'and held later');
wait_for($new, 'SELECT takeover_through IS NULL AND takeover_at IS NOT NULL AND takeover_since < takeover_at FROM whatsapp_home',
	'then it is over');
is($new->safe_psql('postgres', "SELECT reason FROM wa_explain($ids[0])"), 'takeover', 'wa_explain() says so');
told($new, 'warning', qr/What the former primary may have sent is uncertain/, 'asynchronous');
is($new->safe_psql('postgres', q{SELECT state, split_part(detail, ' ', 1)::int FROM wa_health() WHERE item = 'take-over'}),
	'warning|' . ($messages + 2), 'and wa_health() how many there are');
invariants_hold($new);
is_deeply([ grep { $_ > 1 } values %{ accepted_for($sim) } ], [], 'nothing was sent twice');

# Their reports settle what was sent: they are about the very attempt that is in doubt.
deliver_webhooks($new, $sim);
is($new->safe_psql('postgres', "SELECT count(*) FROM whatsapp_messages WHERE status IN ('sent', 'delivered', 'read') AND id = ANY ('{"
		. join(',', @sent) . "}')"), scalar @sent, 'reports settle what was sent');
is($new->safe_psql('postgres', q{SELECT count(*) FROM whatsapp_queue WHERE hold_reason = 'takeover'}),
	$messages + 2 - @sent - ($sent{$soon} // 0) - ($sent{$locked} // 0), 'the others stay in doubt');
$new->safe_psql('postgres', q{UPDATE whatsapp_queue SET due_at = now() WHERE hold_reason = 'takeover'; SELECT wa_worker_restart()});
wait_for($new, q{SELECT count(*) = 2 FROM whatsapp_queue}, 'the policy decides about them when their grace is over');
accepted_once('take-over', @ids, $soon, $locked, $own);
is($new->safe_psql('postgres', "SELECT DISTINCT attempts FROM whatsapp_messages WHERE id = ANY ('{" . join(',', @sent) . "}')"), '1',
	'and nothing was attempted again that was sent');

# ---- synchronous replication: everything is known --------------------------------------------------

sub fail_over
{
	my ($from, $to, $how, $severity, $log, $name) = @_;
	set_and_reload($from, enabled => 'off');
	my @waiting = enqueue_many($from, 't1', 5);
	$from->wait_for_catchup($to);
	set_and_reload($to, enabled => 'on');
	$from->stop($how);
	$to->promote;
	wait_for($to, 'SELECT count(*) = 2 FROM whatsapp_queue', "$name: everything is sent at once");
	$to->wait_for_log($log);
	accepted_once($name, @waiting);
	is($to->safe_psql('postgres', 'SELECT takeover_through IS NULL FROM whatsapp_home'), 't', "$name: nothing is held");
	told($to, $severity, $log, $name);
	return;
}

# The last take-over is an alert, which is open until somebody closes it.
sub told
{
	my ($node, $severity, $consequence, $name) = @_;
	my $alert = $node->safe_psql('postgres', q{SELECT severity || ': ' || message FROM whatsapp_alerts
		WHERE kind = 'takeover' AND resolved_at IS NULL ORDER BY alert_id DESC LIMIT 1});
	like($alert, qr/^$severity: This server was promoted, .*$consequence/, "$name: an alert says so");
	return;
}

$new->safe_psql('postgres', 'ALTER SYSTEM RESET primary_conninfo');
my $third = new_standby($new, 'third');
$new->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = '*'});
$new->reload;
wait_for($new, 'SELECT synchronous FROM whatsapp_home', 'the primary writes down that its requests wait for a standby');
fail_over($new, $third, 'immediate', 'warning', qr/Its requests waited for synchronous standbys: nothing is held/, 'synchronous');
wait_for($third, 'SELECT NOT synchronous FROM whatsapp_home', 'one that waits for nobody writes that down, too');

# ---- a switch-over -------------------------------------------------------------------------------------

my $fourth = new_standby($third, 'fourth');
fail_over($third, $fourth, 'fast', 'info', qr/The former primary was shut down in good order: nothing is held/, 'switch-over');

# ---- very many -------------------------------------------------------------------------------------------

# They are held in small steps, between which other messages go.
my $many = $ENV{TAKEOVER_HELD} // 5000;
my $fifth = new_standby($fourth, 'fifth');
set_and_reload($fourth, enabled => 'off');
$fourth->safe_psql('postgres', <<"SQL");
SELECT count(wa_enqueue_message('t1', '+3463' || lpad(i::text, 7, '0'), 'aviso', '["a"]')) FROM generate_series(1, $many) AS i
SQL
$fourth->wait_for_catchup($fifth);
set_and_reload($fifth, enabled => 'on');
$fourth->stop('immediate');
$fifth->promote;
$fifth->wait_for_log(qr/takes over the sending/);
my $t2 = 0;
$deadline = time + 300;
do { enqueue($fifth, 't2', sprintf('+3464%07d', ++$t2)) }
  until slurp_file($fifth->logfile) =~ /messages of database "postgres" may have been sent by the former primary/ || time > $deadline;
is($fifth->safe_psql('postgres', q{SELECT count(*) FROM whatsapp_queue WHERE hold_reason = 'takeover'}), $many, "$many messages are held");
wait_for($fifth, q{SELECT bool_and(status = 'accepted') FROM whatsapp_messages WHERE recipient_phone LIKE '+3464%'},
	"$t2 messages of another tenant went meanwhile");
my ($worst, $took) = split /\|/, $fifth->safe_psql('postgres', <<'SQL');
SELECT round(extract(epoch FROM max(m.accepted_at - m.created_at)) * 1000),
    round(extract(epoch FROM max(m.created_at) - min(h.takeover_at)) * 1000)
FROM whatsapp_messages AS m, whatsapp_home AS h WHERE m.recipient_phone LIKE '+3464%' AND m.created_at > h.takeover_at + interval '1 second'
SQL
note("$many messages were held in $took ms; the slowest of the others took $worst ms") if $worst ne '';

$fifth->stop;
done_testing();
