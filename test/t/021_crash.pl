# A sender that dies with requests on the wire: nothing is lost, nothing is sent
# twice, and what nobody can know is uncertain until a webhook says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of settled accepted_for
  deliver_webhooks invariants_hold);
use WaLoad qw(stopwatch wait_until);
use WaTest qw(sender_pids wait_for_senders set_and_reload);

# Every message is accepted, but nobody hears of it for half a minute.
my ($node, $sim) = new_delivery(
	'crash',
	simulator => ['--webhook-pull'],
	settings  => [ "whatsapp_shared.uncertain_policy = 'park'", 'restart_after_crash = on' ]);

sub on_the_wire
{
	my ($n) = @_;
	$sim->faults({ match => { probability => 1 }, accept => JSON::PP::true(), reply => 'hang' });

	# At once: the first of them must still be on the wire when the last one is.
	my @ids = split /\n/, $node->safe_psql('postgres', <<"SQL");
SELECT wa_enqueue_message('t1', '+346100' || lpad(i::text, 5, '0'), 'aviso', '["hola"]') FROM generate_series(1, $n) AS i
SQL
	wait_for(
		$node,
		'SELECT COALESCE(sum(cardinality(message_ids)), 0) = ' . $n . ' FROM whatsapp_leases',
		"$n requests are on the wire");
	wait_until(sub { $sim->stats->{accepted} >= $n }) or die 'the simulator has not got the requests';
	return @ids;
}

# A state is seen when psql has been started to ask for it; twice, if just after.
sub price_of_a_question
{
	my $watch = stopwatch($node);
	$node->safe_psql('postgres', 'SELECT 1');
	return 2 * $watch->seconds;
}

sub all_have_status
{
	my ($status, @ids) = @_;
	my $list = join ',', @ids;
	return wait_for($node,
		"SELECT bool_and(status = '$status') FROM whatsapp_messages WHERE id IN ($list)",
		"all of them are $status");
}

# ---- kill -9 ------------------------------------------------------------------------

my @ids = on_the_wire(20);
my ($pid) = sender_pids($node, 'postgres');
my $killed = stopwatch($node);
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT 1', '1');
all_have_status('uncertain', @ids);
my $took = $killed->seconds;
my $question = price_of_a_question();
cmp_ok($took, '<', 3 + $question, sprintf('within 3 seconds of kill -9 (%.2f s, with questions of %.2f s)', $took, $question));
invariants_hold($node);

$sim->faults();
my $after = enqueue($node, 't1', '+34620000000');
wait_status($node, $after, 'accepted', 'a new message is sent at once');

deliver_webhooks($node, $sim);
my $doubtful = $node->safe_psql('postgres',
	"SELECT count(*) FROM whatsapp_messages WHERE status IN ('queued', 'uncertain')");
is($doubtful, '0', 'the webhooks resolve every one of them');
is( $node->safe_psql(
		'postgres', 'SELECT count(*) FROM whatsapp_messages WHERE whatsapp_message_id IS NULL'),
	'0',
	'and bring the ids that were never heard');
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'nothing arrived twice');

# ---- immediate restart ----------------------------------------------------------------

$sim->reset_all;
@ids = on_the_wire(5);
$node->stop('immediate');
$node->start;
all_have_status('uncertain', @ids);

# ---- SIGTERM -------------------------------------------------------------------------

$sim->reset_all;
@ids = on_the_wire(5);
($pid) = sender_pids($node, 'postgres');
my $stopped = stopwatch($node);
kill 'TERM', $pid;
all_have_status('uncertain', @ids);
cmp_ok($stopped->seconds, '<', 4 + price_of_a_question(), 'SIGTERM gives the requests a short grace only');
my ($new) = wait_for_senders($node, 'postgres', 1);
isnt($new, $pid, 'and the launcher starts another sender');

# Requests that are answered within the grace are settled, not doubted.
$sim->reset_all;
$sim->faults({ match => { probability => 1 }, delay_ms => 400 });
$sim->hold_answers;
@ids = map { enqueue($node, 't2', sprintf('+346300%05d', $_)) } 1 .. 5;
wait_for($node, 'SELECT EXISTS (SELECT FROM whatsapp_leases)', 'requests are on the wire');
($pid) = sender_pids($node, 'postgres');
kill 'TERM', $pid;
$sim->answer(400);
all_have_status('accepted', @ids);

# ---- before the first byte --------------------------------------------------------------

# Nothing listens: no byte can have left, so nothing is uncertain, and nothing fails.
$sim->reset_all;
set_and_reload($node, graph_url => 'http://127.0.0.1:9');
my $id = enqueue($node, 't3', '+34640000001');
wait_for($node, "SELECT count(*) > 0 FROM whatsapp_attempts WHERE message_id = $id",
	'a connection that cannot be made is tried');
is(status_of($node, $id), 'queued', 'and the message waits');
is($node->safe_psql('postgres', "SELECT attempts FROM whatsapp_messages WHERE id = $id"),
	'0', 'without an attempt being counted');
sub open_alert
{
	my ($kind) = @_;
	return "EXISTS (SELECT FROM whatsapp_alerts WHERE kind = '$kind' AND resolved_at IS NULL)";
}
enqueue($node, 't3', sprintf('+346400001%02d', $_)) for 1 .. 8;
wait_for($node, 'SELECT ' . open_alert('network'), 'an alert says that the network is down');
($pid) = sender_pids($node, 'postgres');
$node->safe_psql('postgres', 'SELECT wa_worker_restart()');
wait_for($node,
	"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender' AND pid <> $pid)",
	'another sender takes over');
set_and_reload($node, graph_url => $sim->url);
wait_status($node, $id, 'accepted', 'it is sent when the network is back');
wait_for($node, 'SELECT NOT ' . open_alert('network'), 'and the alert is resolved, whoever raised it');

# ---- a version of the API that Meta serves no longer --------------------------------------

set_and_reload($node, api_version => 'v19.0');
$id = enqueue($node, 't1', '+34640000201');
wait_status($node, $id, 'accepted', 'a message goes although Meta answers with another version of its API');
wait_for($node, 'SELECT ' . open_alert('api_version'), 'an alert says so');
set_and_reload($node, api_version => 'v25.0');
$id = enqueue($node, 't1', '+34640000202');
wait_status($node, $id, 'accepted');
wait_for($node, 'SELECT NOT ' . open_alert('api_version'), 'until the setting is changed');

invariants_hold($node);
$node->stop;
done_testing();
