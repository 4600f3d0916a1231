# The library preloaded, and not preloaded.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(new_node create_extension wait_for_senders wait_for_launcher fails_like
  logged_nothing_bad);

my $node = new_node('preloaded');

# A fresh server has none of the files that make catalogs easy to read.
ok(wait_for_launcher($node) > 0, 'a launcher runs');
is( $node->safe_psql(
		'postgres',
		"SELECT datname IS NULL, application_name, state FROM pg_stat_activity
		 WHERE backend_type = 'whatsapp_shared launcher'"),
	't|whatsapp_shared launcher|idle',
	'the launcher is connected to no database');

create_extension($node, 'postgres');
my ($pid) = wait_for_senders($node, 'postgres', 1);
like($pid, qr/^\d+$/, 'creating the extension starts a sender');

is( $node->safe_psql(
		'postgres',
		"SELECT e.extversion = a.default_version
		 FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname
		 WHERE e.extname = 'whatsapp_shared'"),
	't',
	'the default version is installed');
is($node->safe_psql('postgres', 'SELECT wa_internal_preloaded()'), 't', 'preloaded');
ok( $node->poll_query_until('postgres', "SELECT count(*) = 1 FROM wa_stats() WHERE pid = $pid"),
	'wa_stats shows the sender');
is( $node->safe_psql('postgres', 'SELECT database, sender, senders FROM wa_stats()'),
	'postgres|0|1',
	'and which one of how many it is');

$node->stop;
logged_nothing_bad($node, 'start and stop were quiet');

# pg_upgrade starts servers in this mode, with the library preloaded.
$node->command_ok(
	[ 'pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-b', 'start' ],
	'a server starts for pg_upgrade');
is( $node->safe_psql(
		'postgres', "SELECT wa_internal_preloaded(), count(*) FROM pg_stat_activity
		 WHERE backend_type LIKE 'whatsapp_shared%'"),
	't|0',
	'and runs none of our processes');
$node->command_ok([ 'pg_ctl', '-w', '-D', $node->data_dir, '-m', 'fast', 'stop' ], 'it stops');

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->start;

is( $node->safe_psql(
		'postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'whatsapp_shared%'"),
	'0',
	'without preloading there are no processes');
is($node->safe_psql('postgres', 'SELECT wa_internal_preloaded()'), 'f', 'not preloaded');
is($node->safe_psql('postgres', 'SELECT count(*) FROM wa_stats()'), '0', 'and nothing to count');
is( $node->safe_psql('postgres', 'SELECT wa_internal_preloaded(); SHOW whatsapp_shared.api_version'),
	"f\nv25.0",
	'the settings are defined by the first function called');
fails_like(
	$node, 'postgres', 'SELECT wa_worker_restart()', '55000',
	qr/must be loaded when the server starts.*HINT:.*shared_preload_libraries/s,
	'wa_worker_restart says what is missing');

# What the application does must not depend on it.
$node->safe_psql(
	'postgres', q{
	SELECT wa_assign_phone('trigal', '100000000000001');
	SELECT wa_enqueue_message('trigal', '+34600000101', 'pedido_compra', '["1"]');
});
is( $node->safe_psql('postgres', 'SELECT status FROM whatsapp_messages'),
	'queued', 'messages can be enqueued without preloading');

$node->stop;
done_testing();
