# What applications call, in a session that forgets what the catalogs say whenever it may: what
# the extension keeps of a cache must not be looked at after a look into a catalog.  In use that
# happens when others' changes fill the queue of invalidations.  Each statement takes seconds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery invariants_hold);
use WaTest qw(logged_nothing_bad);

my ($node, $sim) = new_delivery(
	'caches',
	tenants => 1,
	settings => [ "whatsapp_shared.request_timeout = '60s'", 'restart_after_crash = off', 'autovacuum = off' ]);
my $session = $node->background_psql('postgres');
sub sql { return $session->query_safe($_[0]) }

is(sql('SHOW debug_assertions'), 'on', 'the server has assertions') or BAIL_OUT('make check-assertions builds one');
sql(<<'SQL');
CREATE TABLE orders (order_id bigint PRIMARY KEY, bakery text DEFAULT 't1', phone text DEFAULT '+34600000001', status text DEFAULT 'placed');
SET debug_discard_caches = 1;
SQL

is(sql(q{SELECT wa_create_notification('orders', 'aviso', 'bakery', 'phone', '["order_id"]', events => 'INSERT OR UPDATE OF status',
	condition => 'status = ''placed''', reference => 'order_id')}), 'aviso', 'a notification is made');
sql('INSERT INTO orders VALUES (1)');
sql(q{UPDATE orders SET status = 'placed'});
is(sql(q{SELECT string_agg(reference || ' ' || (payload #>> '{components,0,parameters,0,text}'), ', ' ORDER BY id) FROM whatsapp_messages}), '1 1', 'and sends, for one state once');
is(sql(q{SELECT wa_drop_notification('orders', 'aviso')}), 't', 'and is dropped');
my $first = sql(q{SELECT wa_enqueue_message('t1', '+34600000002', 'aviso', '["hola"]', idempotency_key => 'k')});
is(sql(q{SELECT wa_enqueue_message('t1', '+34600000002', 'aviso', '["hola"]', idempotency_key => 'k')}), $first, 'a key is found again');
is(sql(q{SELECT count(*) FROM wa_enqueue_bulk('t1', 'aviso', '["+34600000003", "+34600000004"]', '["hola"]')}), '2', 'many are enqueued');
is(sql(q{SELECT wa_cancel_message(wa_enqueue_message('t1', '+34600000005', 'aviso', '["x"]', scheduled_at => now() + interval '1 day'))}), 't', 'one is cancelled');
is(sql("SELECT count(*) FROM wa_explain($first)"), '1', 'one is explained');

# A sender that is told of changes all the time never gets to sending: it runs as always.
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM whatsapp_queue) AND NOT EXISTS (SELECT FROM whatsapp_leases)}),
	'what was enqueued is sent');
invariants_hold($node);
logged_nothing_bad($node, 'no process has failed');
$session->quit;
$node->stop;
$sim->stop;
done_testing();
