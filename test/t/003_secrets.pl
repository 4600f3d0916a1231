# The credentials: nobody gets to see them, files are read again at every
# reload, and a file that cannot be used leaves the old value in force.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WaTest qw(new_node create_extension);

# Every secret of this test contains this word, and the log must not.
my $needle = 'NEEDLE';
my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = new_node('secrets');
my @names = qw(access_token app_secret webhook_verify_token);

create_extension($node, 'postgres');
$node->safe_psql(
	'postgres', q{
	CREATE ROLE app LOGIN;
	CREATE ROLE monitoring LOGIN IN ROLE pg_monitor;
	CREATE ROLE reader LOGIN IN ROLE pg_read_all_settings;
});

sub present
{
	my ($name) = @_;
	return $node->safe_psql('postgres', "SELECT wa_internal_credentials_present('$name')");
}

# A reload reaches new sessions, and one that has been there all the time.
my $session = $node->background_psql('postgres');

sub wait_until_present
{
	my ($name, $expected, $what) = @_;
	ok( $node->poll_query_until(
			'postgres', "SELECT wa_internal_credentials_present('$name')", $expected),
		$what);
	is($session->query_safe("SELECT wa_internal_credentials_present('$name')"),
		$expected, "$what, in an old session too");
	return;
}

sub write_file
{
	my ($path, $contents, $mode) = @_;

	unlink $path;
	open my $fh, '>', $path or die "$path: $!";
	print $fh $contents;
	close $fh or die "$path: $!";
	chmod $mode // oct('600'), $path;
	return;
}

is(present($_), 'f', "$_ is not set at first") for @names;

# ---- in the configuration file ------------------------------------------------

my $log = -s $node->logfile;
$node->append_conf('postgresql.conf', "whatsapp_shared.$_ = '$needle-$_-1'\n") for @names;
$node->reload;
wait_until_present($_, 't', "$_ is set by a reload") for @names;

# From one value to another: this is when the postmaster logs what changed.
$node->append_conf('postgresql.conf',
	"whatsapp_shared.$_ = '$needle-$_-2'\nwhatsapp_shared.pair_burst = 44\n")
  for @names;
$node->reload;
$node->wait_for_log(qr/parameter "whatsapp_shared.pair_burst" changed to "44"/, $log);

foreach my $role (qw(postgres app monitoring reader))
{
	my $login = $role eq 'postgres' ? '' : "SET ROLE $role; ";

	foreach my $name (@names)
	{
		my ($status, $stdout, $stderr) = $node->psql('postgres',
			"${login}SELECT current_setting('whatsapp_shared.$name')");
		unlike("$stdout$stderr", qr/$needle/, "current_setting of $name hides it from $role");
		if ($role eq 'app')
		{
			like($stderr, qr/permission denied|must be superuser or have privileges/,
				"$role may not even ask for $name");
		}
		else
		{
			is($stdout, '(set)', "$role sees that $name is set");
		}
	}

	my ($status, $stdout, $stderr) = $node->psql(
		'postgres', "${login}
		SHOW ALL;
		SELECT to_jsonb(s) FROM pg_settings s;
		SELECT to_jsonb(a) FROM pg_stat_activity a;
		SELECT to_jsonb(d) FROM pg_db_role_setting d;");
	is($status, 0, "$role reads the views");
	unlike("$stdout$stderr", qr/$needle/, "and finds no secret");
}

# What is known not to be hidden: the file itself, from whoever may read it.
like( $node->safe_psql('postgres', "SELECT string_agg(setting, ' ') FROM pg_file_settings"),
	qr/$needle/, 'superusers can read the configuration file as such');
foreach my $role (qw(app monitoring reader))
{
	my ($status, $stdout, $stderr) =
	  $node->psql('postgres', "SET ROLE $role; SELECT setting FROM pg_file_settings");
	unlike($stdout, qr/$needle/, "$role cannot");
}

# ---- refusals quote nothing ------------------------------------------------------

my $bad = "$needle with spaces";
my ($status, $stdout, $stderr) =
  $node->psql('postgres', "ALTER SYSTEM SET whatsapp_shared.access_token = '$bad'");
isnt($status, 0, 'a token of several words is refused');
like($stderr, qr/invalid value for parameter "whatsapp_shared.access_token".*one word/s,
	'with the reason');
($stderr) = split /^LINE/m, $stderr;
unlike($stderr, qr/$needle/, 'and without the token');

$log = -s $node->logfile;
$node->append_conf('postgresql.conf', "whatsapp_shared.app_secret = '$needle-a,$needle-b,$needle-c'\n");
$node->reload;
$node->wait_for_log(qr/invalid value for parameter "whatsapp_shared.app_secret"/, $log);
ok(1, 'three app secrets are refused');
is(present('app_secret'), 't', 'and the old one stays');
$node->append_conf('postgresql.conf', "whatsapp_shared.app_secret = '$needle-a,$needle-b'\n");
$node->reload;

# ---- files -----------------------------------------------------------------------

my $token_file = "$dir/token";
$node->append_conf('postgresql.conf', "whatsapp_shared.$_ = ''\n") for @names;
$node->reload;
wait_until_present($_, 'f', "$_ is gone after a reload") for @names;

sub use_file
{
	my ($contents, $mode) = @_;
	write_file($token_file, $contents, $mode);
	$log = -s $node->logfile;
	$node->reload;
	return;
}

write_file($token_file, "$needle-file-1\n");
$node->append_conf('postgresql.conf', "whatsapp_shared.access_token_file = '$token_file'\n");
$node->reload;
wait_until_present('access_token', 't', 'a token is read from a file');
is($node->safe_psql('postgres', 'SHOW whatsapp_shared.access_token_file'),
	$token_file, 'the path is shown');
is($node->safe_psql('postgres', 'SHOW whatsapp_shared.access_token'),
	'', 'the setting without _file is still empty');

my @unusable = (
	[ 'world-readable', "$needle-2\n", oct('644'), qr/Users other than the owner and group/ ],
	[ 'empty', "\n", oct('600'), qr/It is empty/ ],
	[ 'of two lines', "$needle\n$needle\n", oct('600'), qr/one word/ ],
	[ 'binary', "$needle\x01", oct('600'), qr/not printable ASCII/ ],
	[ 'with a zero byte', "$needle\0x", oct('600'), qr/not printable ASCII/ ],
	[ 'too large', "$needle" x 10000, oct('600'), qr/too large/ ],
	[ 'too long', "$needle" x 1000, oct('600'), qr/too long/ ]);

foreach my $case (@unusable)
{
	my ($what, $contents, $mode, $reason) = @$case;

	use_file($contents, $mode);
	$node->wait_for_log($reason, $log);
	is(present('access_token'), 't', "a file $what is refused and the old token stays");
}

unlink $token_file;
$log = -s $node->logfile;
$node->reload;
$node->wait_for_log(qr/Could not open file "\Q$token_file\E": No such file/, $log);
is(present('access_token'), 't', 'so does it when the file is missing');

# Somebody has taken the one setting for the other.
$log = -s $node->logfile;
$node->append_conf('postgresql.conf', "whatsapp_shared.app_secret_file = '$needle-not-a-path'\n");
$node->reload;
$node->wait_for_log(qr/parameter "whatsapp_shared.app_secret_file".*\n.*absolute path/, $log);
pass('a secret in the place of a path is refused');
$node->append_conf('postgresql.conf', "whatsapp_shared.app_secret_file = ''\n");

mkdir $token_file;
$log = -s $node->logfile;
$node->reload;
$node->wait_for_log(qr/not a regular file/, $log);
rmdir $token_file;
use_file("$needle-file-3");
$node->append_conf('postgresql.conf', "whatsapp_shared.pair_burst = 43\n");
$node->reload;
$node->wait_for_log(qr/parameter "whatsapp_shared.pair_burst" changed to "43"/, $log);

# New contents under the same path reach the processes: the verify token can be
# compared in SQL.
my $verify_file = "$dir/verify";
write_file($verify_file, "$needle-verify-1");
$node->append_conf('postgresql.conf', "whatsapp_shared.webhook_verify_token_file = '$verify_file'\n");
$node->reload;

sub challenge
{
	my ($token, $answer, $what) = @_;
	my ($stdout, $stderr);

	# The new contents reach a session a moment after the reload.
	foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		(undef, $stdout, $stderr) =
		  $node->psql('postgres', "SELECT wa_webhook_challenge('subscribe', '$token', 'echo')");
		return pass($what) if "$stdout$stderr" =~ $answer;
		usleep(100_000);
	}
	fail($what);
	diag("$stdout$stderr");
	return;
}

challenge("$needle-verify-1", qr/^echo$/, 'the verify token of the file is accepted');
write_file($verify_file, "$needle-verify-2\r\n");
$node->reload;
challenge("$needle-verify-2", qr/^echo$/, 'new contents are read at a reload');
challenge("$needle-verify-1", qr/invalid webhook verify token/, 'and replace the old ones');
$log = -s $node->logfile;
$node->append_conf('postgresql.conf',
	"whatsapp_shared.webhook_verify_token = '$needle-verify-3'\nwhatsapp_shared.pair_burst = 42\n");
$node->reload;
$node->wait_for_log(qr/"whatsapp_shared.pair_burst" changed to "42"/, $log);
challenge("$needle-verify-2", qr/^echo$/, 'the file goes before the setting without _file');

# ---- the log ---------------------------------------------------------------------

# This server logs the statements it is sent; those of this test do contain secrets.
my @leaks = grep { /$needle/ && !/LOG:  statement:|STATEMENT:/ } split /\n/, slurp_file($node->logfile);
is_deeply(\@leaks, [], 'no secret is in the server log');

$node->append_conf('postgresql.conf',
	"whatsapp_shared.webhook_verify_token = '$needle-verify-3'\n");

$session->quit;

# A server whose file is missing starts, and says so.
unlink $verify_file;
$log = -s $node->logfile;
$node->restart;
$node->wait_for_log(qr/Could not open file "\Q$verify_file\E"/, $log);
pass('a missing file does not keep the server from starting, and is in the log');
is(present('webhook_verify_token'), 't', 'the setting without _file then counts');

$node->stop;
done_testing();
