# Library and scripts of different versions: nothing is sent, and it is said why.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of);
use WaTest qw(wait_for_senders sender_pids);

# Scripts of another version beside those of this one: in the private installation only.
my $dir = `$ENV{PG_CONFIG} --sharedir`;
chomp $dir;
$dir .= '/extension';
my ($current) = slurp_file("$dir/whatsapp_shared.control") =~ /^default_version = '(.*)'/m;
my @faked;

sub fake
{
	my ($name, $contents) = @_;
	my $file = "$dir/whatsapp_shared--$name.sql";

	open my $fh, '>', $file or die "$file: $!";
	print $fh $contents;
	close $fh or die "$file: $!";
	push @faked, $file;
	return;
}
END { local $?; unlink @faked }

my $scripts = slurp_file("$dir/whatsapp_shared--$current.sql");
fake('0.0.9', $scripts);
fake("0.0.9--$current", "SELECT 1;\n");
fake("$current--99.0", "SELECT 1;\n");
fake("99.0--$current", "SELECT 1;\n");

my ($node, $sim) = new_delivery('versions');
is($node->safe_psql('postgres', 'SELECT wa_internal_library_version()'),
	$current, 'the library has the version of the control file');
is( $node->safe_psql('postgres', "SELECT count(*) FROM wa_health() WHERE item = 'version' AND state <> 'ok'"),
	'0', 'nothing is wrong with the versions');
wait_status($node, enqueue($node, 't1', '+34600100200'), 'accepted', 'and messages are sent');

sub refuses
{
	my ($version, $what) = @_;
	my $log = -s $node->logfile;

	$node->safe_psql('postgres', "ALTER EXTENSION whatsapp_shared UPDATE TO '$version'");
	$node->wait_for_log(
		qr/WARNING:  whatsapp_shared \Q$current\E does not send for database "postgres", whose scripts are of version \Q$version\E\n.*HINT:  Run ALTER EXTENSION whatsapp_shared UPDATE/,
		$log);
	pass("$what: the log has it");
	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'");
	my $id = enqueue($node, 't1', '+34600100201');
	is( $node->safe_psql('postgres', "SELECT state, detail FROM wa_health() WHERE item = 'version'"),
		"error|The library is of version $current and does not serve the scripts of this database,"
		  . " which are of version $version: nothing is sent.",
		'and wa_health()');

	# However often the launcher looks again.
	$node->reload;
	$node->safe_psql('postgres', 'SELECT wa_internal_wake_launcher()');
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'"),
		'no sender stays');
	is(status_of($node, $id), 'queued', 'nothing is sent');
	my $lines = () = substr(slurp_file($node->logfile), $log) =~ /does not send for database/g;
	is($lines, 1, 'and the log has it once');

	$node->safe_psql('postgres', "ALTER EXTENSION whatsapp_shared UPDATE TO '$current'");
	wait_status($node, $id, 'accepted', 'the update alone sets the sending going again');
	is( $node->safe_psql('postgres', "SELECT count(*) FROM wa_health() WHERE item = 'version' AND state <> 'ok'"),
		'0', 'and health agrees');
	return;
}
refuses('99.0', 'newer scripts under a running sender');

# Older ones, from before the sender was there.
my $log = -s $node->logfile;
$node->safe_psql('postgres', 'DROP EXTENSION whatsapp_shared');
$node->safe_psql('postgres', "CREATE EXTENSION whatsapp_shared VERSION '0.0.9'");
$node->wait_for_log(qr/whose scripts are of version 0\.0\.9/, $log);
pass('older scripts: the log has it');
$node->safe_psql('postgres', "SELECT wa_assign_phone('t1', '100000000000001')");
my $id = enqueue($node, 't1', '+34600100203');
$node->safe_psql('postgres', 'ALTER EXTENSION whatsapp_shared UPDATE');
wait_status($node, $id, 'accepted', 'and after the update it is sent');

$node->stop;
done_testing();
