# The programs of docs/applications.md, run as they stand there: what they
# enqueue is sent, what they get wrong is refused and leaves nothing, and the
# webhook receiver takes what Meta sends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDocs qw(blocks);
use WaSimulator;

my $root = "$FindBin::RealBin/../..";
my $tmp = PostgreSQL::Test::Utils::tempdir;

# ---- a server with the application of the demo ------------------------------------

foreach my $secret (qw(access_token app_secret webhook_verify_token))
{
	append_to_file("$tmp/$secret", "VALUE_OF_\U$secret\E\n");
	chmod 0600, "$tmp/$secret" or die "could not chmod: $!";
}
my $simulator = WaSimulator->start(
	'--token' => 'VALUE_OF_ACCESS_TOKEN',
	'--app-secret' => 'VALUE_OF_APP_SECRET',
	'--verify-token' => 'VALUE_OF_WEBHOOK_VERIFY_TOKEN',
	'--numbers' => 0,
	'--config' => "$root/demo/account.json");

my $node = PostgreSQL::Test::Cluster->new('applications');
$node->init;
$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'whatsapp_shared'
whatsapp_shared.databases = 'app'
whatsapp_shared.enabled = on
whatsapp_shared.graph_url = '@{[ $simulator->url ]}'
CONF
$node->append_conf('postgresql.conf', "whatsapp_shared.${_}_file = '$tmp/$_'\n")
  foreach qw(access_token app_secret webhook_verify_token);
$node->start;
$node->safe_psql('postgres', $_)
  foreach 'CREATE ROLE bakery_app LOGIN', 'CREATE ROLE meta_webhook LOGIN',
  'CREATE DATABASE app OWNER bakery_app';
$node->safe_psql('app', q{CREATE ROLE whatsapp NOLOGIN; CREATE SCHEMA whatsapp; CREATE EXTENSION whatsapp_shared SCHEMA whatsapp;
	ALTER DATABASE app SET search_path = "$user", public, whatsapp});
$node->safe_psql(
	'app', q{
	SELECT wa_grant('bakery_app', 'sender'), wa_grant('meta_webhook', 'webhook');
	SELECT wa_assign_phone('trigal', '100000000000001'), wa_assign_phone('rosca', '100000000000010');
});
$node->command_ok(
	[
		'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('app') . ' user=bakery_app',
		'-f', "$root/demo/schema.sql", '-f', "$root/demo/data.sql"
	],
	'the application owns its tables');

# ---- the programs ------------------------------------------------------------------

my @programs = grep { $_->{lang} =~ /^(?:python|js|bash)$/ } blocks("$root/docs/applications.md");
is(join(' ', map { $_->{lang} } @programs), 'python js bash python', 'the examples are there');
my ($sqlalchemy, $node_postgres, $shell, $receiver) = map {
	my ($block, $file) = ($programs[$_], "$tmp/example$_");
	open(my $out, '>:encoding(UTF-8)', $file) or die "could not write $file: $!";
	print $out $block->{text};
	close $out or die "could not write $file: $!";
	$file;
} 0 .. 3;

# Debian's modules belong to Debian's interpreter.
my $python = '/usr/bin/python3';

# A program that does not exist makes IPC::Run die.
sub can_run { return eval { IPC::Run::run([@_], '<', \undef, '>', \my $out, '2>', \my $err) } }

sub run_example
{
	my (@command) = @_;
	my ($out, $err) = ('', '');
	local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)} = ($node->host, $node->port, 'bakery_app', 'app');
	my $ok = IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	diag($out, $err) unless $ok;
	return ($ok, $out);
}

sub status_becomes
{
	my ($key, $status) = @_;
	return $node->poll_query_until('app',
		"SELECT status = '$status' FROM whatsapp_messages WHERE reference = '$key' OR idempotency_key = '$key'");
}

SKIP:
{
	skip 'python3-sqlalchemy and python3-psycopg2 are not installed', 4
	  unless can_run($python, '-c', 'import sqlalchemy, psycopg2');
	local $ENV{DATABASE_URL} =
	  'postgresql+psycopg2://bakery_app@/app?host=' . $node->host . '&port=' . $node->port;
	my ($ok, $out) = run_example($python, $sqlalchemy);

	ok($ok, 'the SQLAlchemy example runs');
	like(
		$out,
		qr/^enqueued as message \d+\nrefused: 22023 invalid recipient phone number\n\w+ - \S.*\n\z/,
		'and says what it did');
	ok(status_becomes('TRI-3001', 'accepted'), 'its message is sent');
	is($node->safe_psql('app', "SELECT count(*) FROM purchase_orders WHERE order_number = 'ROS-3001'"),
		'0', 'the refused order is not stored');
}

# Where node-postgres is: NODE_PATH, Debian's place, or npm's.
sub find_node_postgres
{
	return 0 unless can_run('node', '--version');
	my $there = "$tmp/npm/node_modules";
	$ENV{NODE_PATH} = join ':', grep { defined } $ENV{NODE_PATH}, '/usr/share/nodejs', $there;
	return 1 if can_run('node', '-e', 'require("pg")');
	mkdir "$tmp/npm";
	can_run('timeout', '60', 'npm', 'install', '--silent', '--no-audit', '--no-fund', '--ignore-scripts',
		'--prefix', "$tmp/npm", 'pg@8');
	return can_run('node', '-e', 'require("pg")');
}

SKIP:
{
	local $ENV{NODE_PATH} = $ENV{NODE_PATH};
	skip 'neither is node-postgres installed nor can npm get it', 4 unless find_node_postgres();
	my ($ok, $out) = run_example('node', $node_postgres);

	ok($ok, 'the node-postgres example runs');
	like(
		$out,
		qr/^enqueued as message \d+\nrefused: 22023 invalid recipient phone number\ncancelled - \S.*\n\z/,
		'and says what it did');
	ok(status_becomes('TRI-3002', 'cancelled'), 'its message is cancelled');
	is($node->safe_psql('app', "SELECT count(*) FROM purchase_orders WHERE order_number = 'ROS-3002'"),
		'0', 'the refused order is not stored');
}

{
	my ($ok, $out) = run_example('bash', $shell);

	ok($ok, 'the psql example runs');
	like($out, qr/^enqueued as message \d+\n\w+ - \S.*\n\z/, 'and says what it did');
	ok(status_becomes('shell:TRI-3003', 'accepted'), 'its message is sent');
}

# ---- receiving webhooks --------------------------------------------------------------

SKIP:
{
	skip 'python3-psycopg is not installed', 6 unless can_run($python, '-c', 'import psycopg');
	local $ENV{WEBHOOK_DATABASE} = $node->connstr('app') . ' user=meta_webhook';
	my ($out, $err) = ('', '');
	my $receiving = IPC::Run::start([ $python, $receiver ], '<', \undef, '>', \$out, '2>', \$err);
	my $timer = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);

	$timer->start;
	until ($out =~ /\n/ || $timer->is_expired)
	{
		$receiving->pump_nb;
		last unless $receiving->pumpable;
		select undef, undef, undef, 0.05;
	}
	like($out, qr{^listening on http://127\.0\.0\.1:\d+$}m, 'the webhook receiver starts')
	  or diag($err);
	my ($url) = $out =~ m{(http://\S+)};

	$simulator->config(webhook_url => $url);
	is($simulator->handshake->{ok} ? 1 : 0, 1, 'the handshake succeeds');
	$simulator->config(verify_token => 'ANOTHER');
	is($simulator->handshake->{ok} ? 1 : 0, 0, 'and with another token it does not');

	$node->safe_psql('app',
		q{SELECT wa_enqueue_message('trigal', '+34600000102', 'pedido_compra', '["a", "b", "c", "d"]', reference => 'read')});
	ok(status_becomes('read', 'read'), 'reports reach the tables until a message is read');

	$simulator->config(app_secret => 'ANOTHER', webhook_retry_ms => 50);
	$node->safe_psql('app',
		q{SELECT wa_enqueue_message('trigal', '+34600000102', 'pedido_compra', '["a", "b", "c", "d"]', reference => 'forged')});
	$timer->start;
	until ($err =~ /" 403 / || $timer->is_expired)
	{
		$receiving->pump_nb;
		last unless $receiving->pumpable;
		select undef, undef, undef, 0.05;
	}
	like($err, qr/" 403 /, 'what is signed otherwise is refused');
	is( $node->safe_psql('app', q{SELECT status FROM whatsapp_messages WHERE reference = 'forged'}),
		'accepted', 'and changes nothing');
	$receiving->signal('KILL');
	$receiving->finish;
}

$node->stop;
done_testing();
