# What other sessions do to the tables does not hold up the sending.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of settled accepted_for
  invariants_hold);
use WaTest qw(set_and_reload sender_pids);

my ($node, $sim) = new_delivery('isolation');

# ---- somebody keeps rows locked ----------------------------------------------------------

$sim->faults({ match => { recipient => '+34611600001' }, delay_ms => 3000 });
my $locked = enqueue($node, 't1', '+34611600001');
wait_status($node, $locked, 'sending');
my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT status FROM whatsapp_messages WHERE id = $locked FOR UPDATE");
my @others = map { enqueue($node, 't' . (1 + $_ % 3), sprintf('+3461160%04d', 100 + $_)) } 1 .. 30;
my $list = join ',', @others;
wait_for($node, "SELECT bool_and(status = 'accepted') FROM whatsapp_messages WHERE id IN ($list)",
	'a message that somebody keeps locked does not hold up the others');
is(status_of($node, $locked), 'sending', 'it is not settled yet');
$holder->query_safe('COMMIT');
$holder->quit;
wait_status($node, $locked, 'accepted', 'and is settled when the lock is gone');

# Nor does it keep the sender from ending when it is told to.
$sim->faults({ match => { recipient => '+34611600006' }, delay_ms => 1200 });
$locked = enqueue($node, 't1', '+34611600006');
wait_status($node, $locked, 'sending');
$holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT status FROM whatsapp_messages WHERE id = $locked FOR UPDATE");
my ($pid) = sender_pids($node, 'postgres');
kill 'TERM', $pid;
wait_for($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)",
	'a sender that is told to end does not wait for the lock');
$holder->query_safe('COMMIT');
$holder->quit;
wait_status($node, $locked, 'uncertain', 'its successor finds what it could not settle');
$sim->faults();

# A cancellation in an open transaction: the row is passed over, and comes back.
set_and_reload($node, enabled => 'off');
my $cancelled = enqueue($node, 't1', '+34611600002');
my $after = enqueue($node, 't1', '+34611600003');
my $canceller = $node->background_psql('postgres');
$canceller->query_safe("BEGIN; SELECT wa_cancel_message($cancelled)");
set_and_reload($node, enabled => 'on');
wait_status($node, $after, 'accepted', 'a cancellation in progress does not hold up its number');
is(status_of($node, $cancelled), 'queued', 'the message is not sent meanwhile');
$canceller->query_safe('ROLLBACK');
$canceller->quit;
wait_status($node, $cancelled, 'accepted', 'and is sent when the cancellation is rolled back');

# ---- a new token ---------------------------------------------------------------------------

my $token_file = $node->basedir . '/token';
append_to_file($token_file, "WRONG_TOKEN\n");
chmod 0600, $token_file;
set_and_reload($node, access_token_file => $token_file);
my $id = enqueue($node, 't1', '+34611600004');
wait_for($node, "SELECT EXISTS (SELECT FROM whatsapp_pauses WHERE scope = 'account')",
	'a wrong token pauses the account');
is(status_of($node, $id), 'queued', 'and the message waits');
unlink $token_file;
append_to_file($token_file, "SIMULATOR_TOKEN\n");
chmod 0600, $token_file;
$node->reload;
wait_status($node, $id, 'accepted', 'a rotated token file and a reload are all it takes');

# ---- settings of the HTTP client --------------------------------------------------------------

set_and_reload($node, request_timeout => '1s');
$sim->faults({ match => { recipient => '+34611600005' }, reply => 'hang' });
$id = enqueue($node, 't1', '+34611600005');
wait_status($node, $id, 'uncertain', 'a shorter time-out applies from the reload on');
$sim->faults();

# ---- a transaction that pins the horizon, and one that waits for ever ---------------------------

my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM whatsapp_messages');
$node->safe_psql('postgres', <<'SQL');
SELECT count(wa_enqueue_message('t' || (1 + i % 3), '+346117' || lpad(i::text, 5, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, 300) AS i
SQL
wait_for($node,
	q{SELECT count(*) = 300 FROM whatsapp_messages WHERE recipient_phone LIKE '+346117%' AND status = 'accepted'},
	'an old snapshot does not hold up anything');
$old->query_safe('COMMIT');
$old->quit;

is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'nothing arrived twice');
invariants_hold($node);
$node->stop;
done_testing();
