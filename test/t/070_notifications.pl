# Notifications on the application's tables: what sessions know of each other's
# changes, and dumps restored in whole and in part.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension new_node);

my $node = new_node('notifications', "whatsapp_shared.databases = ''", "client_min_messages = error");
$node->safe_psql('postgres', q{CREATE DATABASE shop; CREATE DATABASE restored; CREATE DATABASE schema_only; CREATE ROLE app});
create_extension($node, 'shop');
$node->safe_psql(
	'shop', q{
	SELECT wa_grant('app', 'sender'), wa_assign_phone('alba', '100000000000001');
	CREATE SCHEMA app AUTHORIZATION app;
	SET ROLE app;
	CREATE TABLE app.orders (order_id integer PRIMARY KEY, total numeric DEFAULT 10, note text DEFAULT 'n');
	CREATE TABLE app.deliveries (delivery_id integer PRIMARY KEY);
	SELECT wa_create_notification('app.orders', 'order_placed', '''alba''', '''+34600000001''', '["note"]', strict => true);
	SELECT wa_create_notification('app.deliveries', 'delivered', '''alba''', '''+34600000001''', '["delivery_id"]')});

# The texts and templates sent since the last call.
my %seen;

sub sent
{
	my ($db) = @_;
	my $since = $seen{$db} // 0;
	my $rows = $node->safe_psql($db, "SELECT m.id, m.template_name || ' ' || (m.payload #>> '{components,0,parameters,0,text}')
		FROM whatsapp_messages AS m WHERE m.id > $since ORDER BY m.id");
	my @texts;

	foreach my $row (split /\n/, $rows)
	{
		(my $id, my $text) = split /\|/, $row, 2;
		$seen{$db} = $id;
		push @texts, $text;
	}
	return join ', ', @texts;
}

# ---- sessions ---------------------------------------------------------------------

my $session = $node->background_psql('shop');
my $n = 0;

sub insert_order
{
	$n++;
	return $session->query_safe("INSERT INTO app.orders (order_id) VALUES ($n)");
}

insert_order();
is(sent('shop'), 'order_placed n', 'a session that knows a notification');
$node->safe_psql('shop', q{ALTER TABLE app.orders ALTER note TYPE varchar(20), ALTER note SET DEFAULT 'other', DROP COLUMN total});
insert_order();
is(sent('shop'), 'order_placed other', 'sees that the table has changed');
$node->safe_psql('shop', q{SELECT wa_drop_notification('app.orders', 'order_placed');
	SELECT wa_create_notification('app.orders', 'order_new', '''alba''', '''+34600000001''', '["order_id"]', name => 'order_placed')});
insert_order();
is(sent('shop'), 'order_new 3', 'sees that there is another one of its name');

# A transaction that is older than a notification.
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$session->query_safe('SELECT count(*) FROM app.deliveries');
$node->safe_psql('shop', q{SELECT wa_drop_notification('app.orders', 'order_placed');
	SELECT wa_create_notification('app.orders', 'order_newer', '''alba''', '''+34600000001''', '["order_id"]', strict => true)});
insert_order();
$session->query_safe('COMMIT');
is(sent('shop'), 'order_newer 4', 'a long transaction sends what is to be sent now');
$session->quit;

# ---- dump and restore -----------------------------------------------------------------

my $dump = $node->basedir . '/dump.sql';

sub restore
{
	my ($db, @options) = @_;

	$node->command_ok([ 'pg_dump', @options, '-f', $dump, '-d', $node->connstr('shop') ], "pg_dump @options");
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr($db) ],
		"restored into $db without an error");
	return;
}

my $messages = $node->safe_psql('shop', 'SELECT count(*) FROM whatsapp_messages');
restore('restored');
is($node->safe_psql('restored', 'SELECT count(*) FROM whatsapp_messages'), $messages, 'the restore itself sends nothing');
is($node->safe_psql('restored', 'SELECT name, relation, state FROM wa_notifications ORDER BY 1'),
	"delivered|app.deliveries|active\norder_newer|app.orders|active", 'the notifications are there');
$seen{restored} = $seen{shop};
$node->safe_psql('restored', 'INSERT INTO app.orders VALUES (100); INSERT INTO app.deliveries VALUES (7)');
is(sent('restored'), 'order_newer 100, delivered 7', 'and send');

# Tables and triggers without the rows behind them, and then new notifications.
restore('schema_only', '--schema-only');
is($node->safe_psql('schema_only', 'SELECT count(*) FROM wa_notifications'), '0', 'without data there are no notifications');
$node->safe_psql('schema_only', q{SELECT wa_assign_phone('alba', '100000000000001');
	CREATE TABLE app.other (id integer PRIMARY KEY);
	SELECT wa_create_notification('app.other', 'order_newer', '''alba''', '''+34600000001''', '["id"]');
	INSERT INTO app.orders VALUES (1); INSERT INTO app.deliveries VALUES (1); INSERT INTO app.other VALUES (5)});
is(sent('schema_only'), 'order_newer 5', 'their triggers send nothing, and never what others say');
is($node->safe_psql('schema_only', 'SELECT notification, sqlstate FROM whatsapp_notification_failures ORDER BY 1'),
	"delivered|42704\norder_newer|42704", 'but say that they are alone');

# Our schema without the application's.
$node->safe_psql('postgres', 'DROP DATABASE restored');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
restore('restored', '--exclude-schema=app');
is($node->safe_psql('restored', 'SELECT string_agg(DISTINCT state, $$,$$) FROM wa_notifications'), 'detached', 'a dump without the tables can be restored');

# ---- end --------------------------------------------------------------------------------

my ($status, undef, $stderr) = $node->psql('shop', 'DROP EXTENSION whatsapp_shared');
isnt($status, 0, 'the extension cannot be dropped under its triggers');
like($stderr, qr/trigger whatsapp_delivered on table app\.deliveries depends on function wa_notify\(\)/, 'which are named');
$node->safe_psql('shop', 'DROP EXTENSION whatsapp_shared CASCADE; INSERT INTO app.orders VALUES (200)');
is($node->safe_psql('shop', 'SELECT count(*) FROM app.orders WHERE order_id = 200'), '1', 'with CASCADE they go, and the tables stay');

$node->stop;
done_testing();
