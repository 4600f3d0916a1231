# The account's messaging limit is shared out: a tenant's campaign cannot use up
# what is guaranteed to the others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of accepted_for invariants_hold);

my ($node, $sim) = new_delivery('budget', tenants => 2, settings => [ 'whatsapp_shared.messaging_limit_share = 0.5' ],
	simulator => [ '--enforce-limits', '--recipient-limit' => 100 ]);

# Two hundred people a day for the account, of whom another installation has half: a hundred
# for both tenants here, 40 of whom are t1's in any case, and 20 are t2's.
$node->safe_psql('postgres', <<'SQL');
SELECT wa_configure_tenant('t1', daily_share => 0.4), wa_configure_tenant('t2', daily_share => 0.2);
UPDATE whatsapp_phone_numbers SET messaging_limit = '200';
SQL

$node->safe_psql('postgres', <<'SQL');
SELECT count(wa_enqueue_message('t1', '+346130' || lpad(i::text, 5, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, 200) AS i
SQL
wait_for($node, <<'SQL', 'a campaign stops when it has used its share and the pool');
SELECT count(*) FILTER (WHERE q.message_id IS NULL) + count(*) FILTER (WHERE q.hold_reason = 'budget') = 200
FROM whatsapp_messages AS m LEFT JOIN whatsapp_queue AS q ON q.message_id = m.id
SQL
my $sent = $node->safe_psql('postgres',
	"SELECT count(*) FROM whatsapp_messages WHERE status = 'accepted'");
cmp_ok($sent, '>=', 70, "it has reached its 40 and most of the 40 that are nobody's ($sent)");
cmp_ok($sent, '<=', 80, 'and not one of those kept for the other');

my $held = $node->safe_psql('postgres',
	"SELECT min(message_id) FROM whatsapp_queue WHERE hold_reason = 'budget'");
is($node->safe_psql('postgres', "SELECT reason FROM wa_explain($held)"),
	'budget', 'wa_explain names the limit');

$node->safe_psql('postgres', <<'SQL');
SELECT count(wa_enqueue_message('t2', '+346131' || lpad(i::text, 5, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, 19) AS i
SQL
wait_for($node, <<'SQL', 'the other tenant still reaches the people of its share');
SELECT count(*) = 19 FROM whatsapp_messages WHERE tenant_id = 't2' AND status = 'accepted'
SQL

# Somebody who was reached already costs nothing, nor does one who has written.
my $again = enqueue($node, 't1', '+34613000001');
wait_status($node, $again, 'accepted', 'a second message to the same person costs nothing');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO whatsapp_windows (phone_number_id, recipient, last_inbound_at)
VALUES ('100000000000001', '+34613900001', now())
SQL
my $answer = enqueue($node, 't1', '+34613900001');
wait_status($node, $answer, 'accepted', 'nor does one to somebody who has just written');

is($sim->stats->{refused_by_code}{131048} // 0, 0, 'Meta never had to refuse for the limit');

# What other senders, or a predecessor, have reached counts; what is a day old does not, and one of a
# tenant that is gone came out of the pool.
sub restarted
{
	my ($what) = @_;
	my $pid = $node->safe_psql('postgres', 'SELECT pid FROM wa_stats()');
	$node->safe_psql('postgres', 'SELECT wa_worker_restart()');
	wait_for($node, "SELECT pid <> $pid FROM wa_stats()", $what);
	return;
}

$sim->config(recipient_limit => 1000);

# The hour of those of a day ago comes soon: too soon for a slow machine, which gets more time.
my ($people, $soon, $state) = ('', 12, '');
foreach my $try (2 .. 7)
{
	$people = "+34613$try";
	$node->safe_psql('postgres', <<"SQL");
SELECT count(wa_cancel_message(message_id)) FROM whatsapp_queue;
TRUNCATE whatsapp_reach;
INSERT INTO whatsapp_reach (recipient, tenant_id, reached_at, sender)
SELECT '+34614' || lpad(i::text, 6, '0'), 'gone', now() - interval '24 hours' + interval '$soon seconds', 5
FROM generate_series(1, 38) AS i
UNION ALL
SELECT '+34615' || lpad(i::text, 6, '0'), 't1', now() - interval '25 hours', 0 FROM generate_series(1, 5000) AS i
SQL
	restarted('a new sender');
	$node->safe_psql('postgres', <<"SQL");
SELECT count(wa_enqueue_message('t1', '$people' || lpad(i::text, 5, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, 60) AS i
SQL
	my $counts = <<"SQL";
SELECT count(*) FILTER (WHERE m.status = 'accepted') || ' ' || count(*) FILTER (WHERE q.hold_reason = 'budget') AS state
FROM whatsapp_messages AS m LEFT JOIN whatsapp_queue AS q ON q.message_id = m.id
WHERE m.recipient_phone LIKE '$people%'
SQL
	$node->poll_query_until('postgres', <<"SQL");
SELECT state = '40 20' OR clock_timestamp() > (SELECT max(reached_at) + interval '24 hours' FROM whatsapp_reach WHERE tenant_id = 'gone')
FROM ($counts) AS c
SQL
	$state = $node->safe_psql('postgres', $counts);
	last if $state eq '40 20';
	$soon *= 2;
}
is($state, '40 20', 'a tenant reaches the people of its share, although others have used the pool');
wait_for($node, 'SELECT max(reached_at) <= now() - interval \'24 hours\' FROM whatsapp_reach WHERE tenant_id = \'gone\'',
	'what the others had used is a day old');
wait_for($node, <<"SQL", 'then there is room for the rest');
WITH again AS (UPDATE whatsapp_queue SET due_at = now() WHERE hold_reason = 'budget' RETURNING wa_internal_wake_due(now()))
SELECT count(*) = 60 FROM whatsapp_messages WHERE recipient_phone LIKE '$people%' AND status = 'accepted'
SQL
invariants_hold($node);
$node->stop;
done_testing();
