# Files of credentials and certificates: whatever becomes of them is no matter of
# other people's queries, and what is in force stays in force, everywhere.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled);
use WaSimulator;
use WaTest qw(set_and_reload);

my $dir = PostgreSQL::Test::Utils::tempdir();
my $file = "$dir/token";

# As "echo new > file" does: the same file, cut and written again, in pieces if told to.
sub overwrite
{
	my ($path, @pieces) = @_;

	open my $fh, '>', $path or die "$path: $!";
	$fh->autoflush(1);
	foreach my $i (0 .. $#pieces)
	{
		usleep(30_000) if $i > 0;
		print $fh $pieces[$i];
	}
	close $fh or die "$path: $!";
	chmod oct('600'), $path;
	return;
}

my ($node, $sim) = new_delivery('secret_files', simulator => ['--log-memory' => '200000']);
overwrite($file, "SIMULATOR_TOKEN\n");
$node->append_conf('postgresql.conf', "whatsapp_shared.access_token = ''");
set_and_reload($node, access_token_file => $file);
ok( $node->poll_query_until(
		'postgres', "SELECT wa_internal_credentials_present('access_token')"),
	'a token is read from a file');
wait_status($node, enqueue($node, 't1', '+34600100200'), 'accepted', 'a message is sent with it');

# ---- other people's queries, and who sees what ------------------------------------------

$node->safe_psql(
	'postgres', q{
	CREATE ROLE app LOGIN;
	CREATE ROLE monitoring LOGIN;
	CREATE ROLE reader LOGIN IN ROLE pg_read_all_settings;
	SELECT wa_grant('monitoring', 'monitor'), wa_grant('reader', 'monitor');
	CREATE TABLE big AS SELECT i FROM generate_series(1, 50000) AS i;
	GRANT SELECT ON big TO app});

my $parallel = q{
	SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
	SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
	EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT count(*) FROM big;};

sub health
{
	my ($role) = @_;
	return $node->safe_psql('postgres',
		"SET ROLE $role; SELECT state, detail FROM wa_health() WHERE item = 'access_token'");
}

my @bad = (
	[ 'missing', sub { unlink $file }, qr/No such file/ ],
	[ 'empty', sub { overwrite($file, '') }, qr/It is empty/ ],
	[ 'readable by all', sub { overwrite($file, 'OTHER_TOKEN'); chmod oct('644'), $file }, qr/Users other than/ ],
	[ 'malformed', sub { overwrite($file, "two words\n") }, qr/one word/ ],
	[ 'a directory', sub { unlink $file; mkdir $file }, qr/not a regular file/ ]);

foreach my $case (@bad)
{
	my ($what, $make, $reason) = @$case;
	my $log = -s $node->logfile;

	$make->();
	$node->reload;
	$node->wait_for_log($reason, $log);
	pass("a file that is $what is in the log");

	my ($status, $stdout, $stderr) = $node->psql('postgres', $parallel, extra_params => [ '-U', 'app' ]);
	is("$status $stderr", '0 ', "and no matter of another role's parallel query") or diag($stderr);
	like($stdout, qr/Workers Launched: [12]/, 'which has workers');

	# A new session has never read the file.
	is($node->safe_psql('postgres', "SELECT wa_internal_credentials_present('access_token')"),
		't', 'the token of before is in force in a new session');
	wait_status($node, enqueue($node, 't1', '+34600100200'), 'accepted', 'and messages are sent with it');
	like(health('postgres'), qr/^warning\|Set.*$reason.*stays in force/, 'wa_health() tells the reason');
	like(health('postgres'), qr/\Q$file\E/, 'to a superuser with the path');
	like(health('reader'), qr/\Q$file\E/, 'and to whoever may read all settings');
	like(health('monitoring'), qr/^warning\|Set.*$reason/, 'to others the reason');
	unlike(health('monitoring'), qr/\Q$file\E/, 'without the path');
	rmdir $file;
	my $entries = () = substr(slurp_file($node->logfile), $log) =~ /LOG:  the file of "whatsapp_shared.access_token_file"/g;
	is($entries, 1, 'it has been logged once');
}
foreach my $setting (qw(access_token_file ca_file))
{
	my (undef, undef, $stderr) = $node->psql('postgres', "SHOW whatsapp_shared.$setting",
		extra_params => [ '-U', 'app' ]);
	like($stderr, qr/must be superuser or have privileges|permission denied/, "$setting is not shown to everybody");
}

overwrite($file, "SIMULATOR_TOKEN\n");
ok( $node->poll_query_until(
		'postgres', "SELECT state = 'ok' FROM wa_health() WHERE item = 'access_token'"),
	'a file in order again is taken without a reload');

# ---- rotation by overwriting ---------------------------------------------------------------

set_and_reload($node, messages_per_second => 1000);
my $stop = time + 6;
my $rounds = 0;
while (time < $stop)
{
	$node->safe_psql('postgres', <<"SQL");
SELECT count(wa_enqueue_message('t' || (1 + i % 3), '+3461$rounds' || lpad(i::text, 7, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, 40) AS i
SQL
	overwrite($file, 'SIMULATOR_', "TOKEN\n");
	overwrite($file, '', 'SIMULATOR_TOK', 'EN') if $rounds % 2;
	$rounds++;
}
settled($node, "$rounds rotations under load");
my @requests = $sim->requests;
is(scalar(grep { ($_->{status} // 200) != 200 } @requests), 0, 'no request went out with less than a token');
is($node->safe_psql('postgres', "SELECT count(*) FROM whatsapp_attempts WHERE error_code = 190"),
	'0', 'and none was refused');
is( $node->safe_psql('postgres', "SELECT count(*) FROM whatsapp_messages WHERE status = 'accepted'"),
	scalar($sim->accepted), 'every message has arrived once');

$node->stop;

# ---- certificate authorities -----------------------------------------------------------------

my $own = WaSimulator->start('--tls', '--numbers' => 3, '--accept-any-template');
my $public = WaSimulator->start('--tls', '--numbers' => 3, '--accept-any-template');

# What the server takes for the system's.
$ENV{SSL_CERT_FILE} = $public->ca_file;
my $ca = "$dir/ca.pem";
$node->append_conf(
	'postgresql.conf', "whatsapp_shared.ca_file = '$ca'
whatsapp_shared.access_token_file = ''
whatsapp_shared.access_token = 'SIMULATOR_TOKEN'
whatsapp_shared.graph_url = '" . $own->url . "'");
overwrite($ca, slurp_file($own->ca_file));
unlink $node->data_dir . '/postgresql.auto.conf';
append_to_file($node->data_dir . '/postgresql.auto.conf', '');
$node->start;
wait_status($node, enqueue($node, 't1', '+34600100201'), 'accepted', 'a server of an authority in ca_file is trusted');
set_and_reload($node, graph_url => $public->url);
wait_status($node, enqueue($node, 't1', '+34600100202'), 'accepted', "and one of the system's besides");

my $log = -s $node->logfile;
unlink $ca;
set_and_reload($node, graph_url => $own->url);
$node->wait_for_log(qr/the file of "whatsapp_shared.ca_file" cannot be used/, $log);
wait_status($node, enqueue($node, 't1', '+34600100203'), 'accepted', 'a ca_file that is missing stays in force');
$log = -s $node->logfile;
overwrite($ca, "no certificate\n");
$node->wait_for_log(qr/The contents of file "\Q$ca\E" cannot be used/, $log);
wait_status($node, enqueue($node, 't1', '+34600100204'), 'accepted', 'so does one without a certificate');

set_and_reload($node, ca_file => '');
my $id = enqueue($node, 't1', '+34600100205');
wait_for($node, "SELECT error_message ~* 'certificate' FROM whatsapp_messages WHERE id = $id",
	'without ca_file its authority is not trusted');
set_and_reload($node, graph_url => $public->url);
wait_status($node, $id, 'accepted', "the system's is");

$node->stop;
done_testing();
