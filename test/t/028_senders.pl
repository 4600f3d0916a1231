# Several senders: each number has one owner, and what a sender that is no more
# left on the wire is taken over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled accepted_for invariants_hold);
use WaTest qw(set_and_reload sender_pids wait_for_senders);

my ($node, $sim) = new_delivery(
	'senders',
	tenants  => 12,
	settings => [
		"whatsapp_shared.uncertain_policy = 'park'",
		'whatsapp_shared.messages_per_second = 1000',
		'restart_after_crash = on'
	]);

sub flood
{
	my ($n, $prefix) = @_;
	$node->safe_psql('postgres', <<"SQL");
SELECT count(wa_enqueue_message('t' || (1 + i % 12), '+346$prefix' || lpad(i::text, 5, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, $n) AS i
SQL
	return;
}

set_and_reload($node, senders => 3);
wait_for_senders($node, 'postgres', 3);
flood(600, '141');
settled($node, 'three senders work the queue off');
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'without sending anything twice');
is($node->safe_psql('postgres', 'SELECT count(*) FROM wa_stats() WHERE accepted > 0'),
	'3', 'each of them did its part');

# A change of their number in the middle of the work.
flood(600, '142');
set_and_reload($node, senders => 2);
settled($node, 'fewer senders go on where more have stopped');
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'and nothing is sent twice');
wait_for_senders($node, 'postgres', 2);

# The leases of a sender whose index is gone are sender 0's to settle.
$sim->faults({ match => { probability => 1 }, reply => 'hang', accept => JSON::PP::true() });
flood(24, '143');
wait_for($node,
	'SELECT sum(cardinality(message_ids)) = 24 AND count(DISTINCT sender) = 2 FROM whatsapp_leases',
	'requests of both senders are on the wire');
$node->append_conf('postgresql.conf', 'whatsapp_shared.senders = 1');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET whatsapp_shared.senders');
my ($pid) = sender_pids($node, 'postgres');
kill 'KILL', $pid;
wait_for($node, "SELECT count(*) = 24 FROM whatsapp_messages WHERE status = 'uncertain'",
	'after a crash one sender finds what two had on the wire');
is($node->safe_psql('postgres', 'SELECT count(*) FROM whatsapp_leases'), '0', 'no lease is left');
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'nothing was sent twice');
invariants_hold($node);

# ---- more senders than the server has processes for ------------------------------------

sub senders_are
{
	my ($senders, $what) = @_;
	return wait_for($node,
		"SELECT count(*) = $senders AND count(s.pid) = $senders AND min(s.senders) = $senders FROM wa_stats() AS s", $what);
}

sub health
{
	return $node->safe_psql('postgres', q{SELECT state, detail, remedy FROM wa_health() WHERE item = 'senders'});
}

$sim->release;
$sim->faults();
$node->safe_psql('postgres', q{SELECT count(wa_resolve_message(id, 'failed')) FROM whatsapp_messages WHERE status = 'uncertain'});
$node->append_conf('postgresql.conf', "max_worker_processes = 6\nwhatsapp_shared.senders = 8");
$node->restart;
senders_are(4, 'as many senders share out the numbers as there are processes for');
flood(240, '144');
settled($node, 'they send from every number');
like(health(), qr/^error\|There is room for 4 of the 8 senders.*\|Set max_worker_processes to 10 at least/,
	q{wa_health() says how many processes are needed, PostgreSQL's own launcher among them});

# Another database has a share of what there is.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION whatsapp_shared');
set_and_reload($node, databases => 'postgres, other');
senders_are(2, 'two databases have two senders each');
ok($node->poll_query_until('other', 'SELECT count(pid) = 2 FROM wa_stats()'), 'the other one, too');
like(health(), qr/There is room for 4 of the 16 senders.*to 18 at least/, 'of which wa_health() speaks');
set_and_reload($node, databases => 'postgres', senders => 4);
senders_are(4, 'what is given up goes to the other');
is(health(), '', 'and with as many senders as there is room for all is well');

# What others have taken for a time is found again.
set_and_reload($node, senders => 1);
senders_are(1, 'one sender is wanted');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE slow WITH (parallel_workers = 2) AS SELECT i FROM generate_series(1, 100000) AS i;
SQL
my $parallel = $node->background_psql('postgres', on_error_stop => 0);
$parallel->query_until(qr/started/, <<'SQL');
SET parallel_setup_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
\echo started
SELECT count(*) FROM slow WHERE pg_sleep(0.1) IS NOT NULL;
SQL
wait_for($node, q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'parallel worker'},
	'a parallel query takes two processes');
set_and_reload($node, senders => 4);
senders_are(2, 'two are left');
flood(60, '145');
settled($node, 'which send from every number');
$node->safe_psql('postgres',
	q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%FROM slow%' AND backend_type = 'client backend' AND pid <> pg_backend_pid()});
wait_for($node, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'}, 'the query ends');
$node->reload;
senders_are(4, 'after a reload there is room for all again');
flood(60, '146');
settled($node, 'and all of them work');
my @doubled = grep { $_ != 1 } values %{ accepted_for($sim) };
is(scalar @doubled, 0, 'nothing was sent twice by all this');
$parallel->quit;
$node->stop;
done_testing();
