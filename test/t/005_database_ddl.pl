# Statements that tolerate no other session in a database: the senders leave
# for them, by themselves and in time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaLoad qw(stopwatch);
use WaSimulator;
use WaTest qw(new_node create_extension set_and_reload wait_for_senders sender_pids fails_like);

my $node = new_node('ddl', q{whatsapp_shared.databases = 'shop, renamed, copy'},
	'whatsapp_shared.senders = 2');

# The server itself would wait five seconds for other sessions and then fail.
sub quickly
{
	my ($sql, $name) = @_;
	my $watch = stopwatch($node);
	my ($status, undef, $stderr) = $node->psql('postgres', $sql);

	my $took = $watch->seconds;

	ok($status == 0 && $took < 4, $name)
	  or diag(sprintf '%.1f s, status %d, %s', $took, $status, $stderr);
	return;
}

sub make_shop
{
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	create_extension($node, 'shop');
	wait_for_senders($node, 'shop', 2);
	return;
}

make_shop();
my @before = sender_pids($node, 'shop');
quickly('CREATE DATABASE copy TEMPLATE shop', 'a database with senders can be copied');
my @after = wait_for_senders($node, 'shop', 2);
isnt("@after", "@before", 'its senders had left for that, and have come back');
wait_for_senders($node, 'copy', 2);
ok(1, 'the listed copy has the extension and gets senders');

quickly('ALTER DATABASE shop RENAME TO renamed', 'it can be renamed');
wait_for_senders($node, 'renamed', 2);
is( $node->safe_psql('renamed', 'SELECT DISTINCT database FROM wa_stats()'),
	'renamed', 'the senders go on under the new name');
quickly('ALTER DATABASE renamed RENAME TO elsewhere', 'it can be renamed to a name not listed');
is(scalar sender_pids($node, 'elsewhere'), 0, 'which has no senders');
quickly('ALTER DATABASE elsewhere RENAME TO shop', 'and back');
wait_for_senders($node, 'shop', 2);

my $tablespace = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE other LOCATION '$tablespace'");
quickly('ALTER DATABASE shop SET TABLESPACE other', 'it can be moved');
wait_for_senders($node, 'shop', 2);

quickly('DROP DATABASE copy', 'it can be dropped');
is(scalar sender_pids($node, 'copy'), 0, 'and no sender is left');
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = 'copy'"),
	'0', 'nor the database');
quickly('CREATE DATABASE copy TEMPLATE shop', 'one of the same name can be made');
wait_for_senders($node, 'copy', 2);
quickly('DROP DATABASE copy WITH (FORCE)', 'and dropped with force');

# ---- statements that fail, and people who may not ----------------------------------------

@before = wait_for_senders($node, 'shop', 2);
my $session = $node->background_psql('shop');
$session->query_safe('SELECT 1');
fails_like($node, 'postgres', 'DROP DATABASE shop', '55006', qr/being accessed by other users/,
	'another session still prevents DROP DATABASE');
$session->quit;
@after = wait_for_senders($node, 'shop', 2);
isnt("@after", "@before", 'after which the senders come back');

@before = @after;
$node->safe_psql('postgres', 'CREATE ROLE app LOGIN CREATEDB');
foreach my $statement (
	'DROP DATABASE shop',
	'ALTER DATABASE shop RENAME TO mine',
	'ALTER DATABASE shop SET TABLESPACE pg_default',
	'CREATE DATABASE mine TEMPLATE shop')
{
	my ($status, undef, $stderr) = $node->psql('postgres', "SET ROLE app; $statement");
	like($stderr, qr/must be owner|permission denied/, "$statement: not by a stranger");
}
is_deeply([ sender_pids($node, 'shop') ], \@before, 'who cannot disturb the senders by trying');

# A transaction that renames and rolls back.
$node->safe_psql('postgres', 'BEGIN; ALTER DATABASE shop RENAME TO mine; ROLLBACK');
@after = wait_for_senders($node, 'shop', 2);
isnt("@after", "@before", 'a rolled-back rename gives the database its senders back');

# Dropped while it is the only one, and while the launcher keeps looking.
quickly('DROP DATABASE shop', 'the last database can be dropped');
unlike(
	slurp_file($node->logfile),
	qr/FATAL: .*database "?\w+"? does not exist/,
	'no sender was started into a database that went away');
make_shop();
ok(1, 'and made again');

# ---- with requests on the wire --------------------------------------------------------------

# The simulator takes a minute for every answer.
my $sim = WaSimulator->start('--numbers' => 2, '--accept-any-template', '--delay-ms' => 60000);
$node->append_conf('postgresql.conf', <<"CONF");
whatsapp_shared.enabled = on
whatsapp_shared.access_token = 'SIMULATOR_TOKEN'
whatsapp_shared.graph_url = '@{[ $sim->url ]}'
CONF
$node->reload;
$node->safe_psql(
	'shop', q{
	SELECT wa_assign_phone('trigal', '100000000000001');
	SELECT wa_enqueue_message('trigal', '+346000001' || i, 'pedido', '["1"]')
	FROM generate_series(10, 30) AS i;
});
ok( $node->poll_query_until('shop', 'SELECT sum(in_flight) = 21 FROM wa_stats()'),
	'requests hang on the wire');
quickly('ALTER DATABASE shop RENAME TO renamed', 'the database can be renamed even then');
wait_for_senders($node, 'renamed', 2);
is( $node->safe_psql('renamed', 'SELECT status, count(*) FROM whatsapp_messages GROUP BY 1'),
	'uncertain|21',
	'and what was on the wire is known to be uncertain');
$node->safe_psql('renamed',
	q{SELECT wa_enqueue_message('trigal', '+34600000200', 'pedido', '["1"]')});
ok( $node->poll_query_until('renamed', 'SELECT sum(in_flight) = 1 FROM wa_stats()'),
	'it goes on sending');
quickly('DROP DATABASE renamed', 'the database can be dropped even then');

$node->stop;
done_testing();
