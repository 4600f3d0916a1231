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
$node->stop;
done_testing();
