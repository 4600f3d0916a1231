# Copies of rows: whatever has brought them, what was not written here is not sent
# from here, and the place that they came from does not notice.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaCopies qw(enqueue_some doubt is_silent is_at_home sent_once);
use WaDelivery qw(new_delivery enqueue wait_for wait_status);
use WaTest qw(new_node create_extension fails_like set_and_reload wait_for_senders);

my ($node, $sim) = new_delivery('original',
	settings => [ 'wal_level = logical', 'max_wal_senders = 8', 'max_replication_slots = 8' ]);

# A server of its own whose sender runs, with the extension or without.
sub new_server
{
	my ($name, $create) = @_;
	my $server = new_node($name, 'whatsapp_shared.enabled = on', "whatsapp_shared.access_token = 'SIMULATOR_TOKEN'",
		"whatsapp_shared.graph_url = '" . $sim->url . "'", 'whatsapp_shared.sync_interval = 0',
		'client_min_messages = warning', 'wal_level = logical');
	if ($create)
	{
		create_extension($server, 'postgres');
		wait_for_senders($server, 'postgres', 1);
	}
	return $server;
}

my $dir = $node->basedir;
my $publisher = $node->connstr . ' dbname=postgres';

# ---- a dump, whole --------------------------------------------------------------------

my @ids = enqueue_some($node);
$node->command_ok([ 'pg_dump', '-Fd', '-f', "$dir/dump", '-d', $node->connstr('postgres') ], 'pg_dump');
my $copy = new_server('dump');
$copy->command_ok([ 'pg_restore', '--exit-on-error', '-d', $copy->connstr('postgres'), "$dir/dump" ], 'pg_restore');
is_silent($copy, qr/The data of another installation was loaded into it/, 'a restored dump');
is_at_home($node, 'the original sends meanwhile', @ids);
sent_once($sim, 'dump', @ids);
$copy->stop;

# In parallel, onto a server that sends: what comes first may be the queue.  (And rows
# may come before those that they refer to, which pg_restore reports and goes on.)
@ids = enqueue_some($node, 60);
$node->command_ok([ 'pg_dump', '-Fd', '-f', "$dir/parallel", '-d', $node->connstr('postgres') ], 'pg_dump');
$copy = new_server('parallel');
restore_anyhow('-j', 4, '-d', $copy->connstr('postgres'), "$dir/parallel");
is_silent($copy, qr/The data of another installation was loaded into it/, 'a dump restored in parallel');
is_at_home($node, 'the original sends meanwhile', @ids);
sent_once($sim, 'parallel', @ids);
$copy->stop;

# ---- a dump in two parts ------------------------------------------------------------------

@ids = enqueue_some($node);
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/whole", '-d', $node->connstr('postgres') ], 'pg_dump');
$copy = new_server('two_parts');
$copy->command_ok([ 'pg_restore', '--schema-only', '-d', $copy->connstr('postgres'), "$dir/whole" ], 'the schema');
wait_for_senders($copy, 'postgres', 1);
restore_anyhow('--data-only', '--disable-triggers', '-d', $copy->connstr('postgres'), "$dir/whole");
is($copy->safe_psql('postgres', 'SELECT count(*) FROM whatsapp_queue'), scalar @ids, 'the queue is there');
is_silent($copy, qr/The data of another installation was loaded into it/, 'data that was loaded without triggers');
is_at_home($node, 'the original sends meanwhile', @ids);
sent_once($sim, 'two parts', @ids);
$copy->stop;

# ---- single tables ---------------------------------------------------------------------------

# Messages and queue alone do not leave the doubt behind, with triggers or without.
foreach my $triggers ([], ['--disable-triggers'])
{
	my $how = @$triggers ? 'without triggers' : 'with triggers';
	@ids = enqueue_some($node);
	$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/whole", '-d', $node->connstr('postgres') ], 'pg_dump');
	$copy = new_server('single_' . @$triggers, 1);
	is_at_home_alone($copy);
	$copy->command_ok([ 'pg_restore', '--data-only', @$triggers, '-t', 'whatsapp_messages', '-t', 'whatsapp_queue',
			'-d', $copy->connstr('postgres'), "$dir/whole" ], "messages and queue, $how");
	is_silent($copy, @$triggers ? qr/The triggers of whatsapp_queue were disabled/ : qr/Rows were loaded into its table whatsapp_queue/,
		"single tables, $how");
	is_at_home($node, 'the original sends meanwhile', @ids);
	sent_once($sim, "single tables, $how", @ids);
	$copy->safe_psql('postgres', 'DELETE FROM whatsapp_queue');
	is($copy->safe_psql('postgres', 'SELECT wa_adopt()'), 't', 'it can be adopted');
	is(doubt($copy), '', 'and the doubt is gone');
	$copy->stop;
}

# The row that says whose data it is makes nobody believe that he is at home, nor the original that it is not.
my $row = $node->safe_psql('postgres', 'COPY whatsapp_installation TO stdout');
my $home = $node->safe_psql('postgres', 'COPY whatsapp_home TO stdout');
$copy = new_server('rows', 1);
$copy->safe_psql('postgres', "COPY whatsapp_installation FROM stdin;\n$row\n\\.\nCOPY whatsapp_home FROM stdin;\n$home\n\\.\n");
is_silent($copy, qr/The data of another installation was loaded into it/, 'the rows of another installation');
$node->safe_psql('postgres', "COPY whatsapp_installation FROM stdin;\n$row\n\\.\n");
is_at_home($node, 'its own row again changes nothing for the original');
$copy->stop;

# ---- the same cluster --------------------------------------------------------------------------

@ids = enqueue_some($node);
$node->safe_psql('template1', 'CREATE DATABASE template_copy TEMPLATE postgres');
$node->append_conf('postgresql.conf', "whatsapp_shared.databases = 'postgres, template_copy'");
$node->reload;
wait_for_senders($node, 'template_copy', 1);
is_silent($node, qr/It is a copy of another database of this cluster/, 'CREATE DATABASE ... TEMPLATE', 'template_copy');
is_at_home($node, 'the original sends meanwhile', @ids);
sent_once($sim, 'template', @ids);

# Two that both send, each for its own numbers: the same number in both is an error in both.
my $shared = q{SELECT state || ': ' || detail FROM wa_health() WHERE item = 'number 100000000000001'};
is($node->safe_psql('postgres', $shared), '', 'a silent copy holds no numbers');
$node->safe_psql('template_copy', 'DELETE FROM whatsapp_queue; SELECT wa_adopt(new_identity => true)');
foreach my $db ('postgres', 'template_copy')
{
	my ($other) = grep { $_ ne $db } 'postgres', 'template_copy';
	$node->poll_query_until($db, "SELECT EXISTS (SELECT FROM wa_health() WHERE item = 'number 100000000000001')");
	is($node->safe_psql($db, $shared), qq{error: Database "$other" of this server has it, too.}, "a number in two databases is an error in $db");
}
$node->safe_psql('template_copy', q{SELECT FROM wa_unassign_phone('t1')});
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM wa_health() WHERE item = 'number 100000000000001')}),
	'until one of them gives it back');
$node->safe_psql('postgres', 'DROP DATABASE template_copy');

# ---- a subscriber -----------------------------------------------------------------------------------

@ids = enqueue_some($node);
$node->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
$copy = new_server('subscriber', 1);
is_at_home_alone($copy);
$copy->safe_psql('postgres', 'CREATE TABLE transition (message_id bigint, old text, new text)');
$copy->safe_psql('postgres', q{CREATE SUBSCRIPTION everything CONNECTION '} . $publisher . q{' PUBLICATION everything});
$copy->wait_for_subscription_sync($node, 'everything');
wait_for($copy, "SELECT count(*) = " . @ids . " FROM whatsapp_queue", 'the queue has come');
is_silent($copy, qr/The data of another installation was loaded into it/, 'a subscriber of all tables');
fails_like($copy, 'postgres', 'SELECT wa_adopt()', '55000', qr/cannot adopt this database.*A subscription fills its table whatsapp_/s,
	'it cannot be adopted while the subscription is there');
is_at_home($node, 'the publisher sends meanwhile', @ids);
sent_once($sim, 'subscriber', @ids);
wait_for($copy, 'SELECT count(*) = 0 FROM whatsapp_queue WHERE message_id IN (' . join(', ', @ids) . ')', 'what is sent goes from the queue of both');
$copy->safe_psql('postgres', 'DROP SUBSCRIPTION everything');
isnt(doubt($copy), '', 'without the subscription it is in doubt, too');
$copy->stop;

# Only the queue's rows, and none of what was there before.
@ids = enqueue_some($node);
$node->safe_psql('postgres', 'CREATE PUBLICATION partly FOR TABLE whatsapp_messages, whatsapp_queue');
$copy = new_server('partly', 1);
$copy->safe_psql('postgres', q{CREATE SUBSCRIPTION partly CONNECTION '} . $publisher . q{' PUBLICATION partly WITH (copy_data = false)});
push @ids, enqueue_some($node);
wait_for($copy, 'SELECT count(*) = 5 FROM whatsapp_queue', 'new rows come');
$copy->safe_psql('postgres', 'DROP SUBSCRIPTION partly');
is_silent($copy, qr/Rows were loaded into its table whatsapp_queue/, 'a former subscriber of two tables');
is_at_home($node, 'the publisher sends meanwhile', @ids);
sent_once($sim, 'subscriber of two tables', @ids);
$copy->stop;

$node->stop;
done_testing();

# Some rows are there already, or come too early: the rest is restored all the same.
sub restore_anyhow
{
	my (@arguments) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pg_restore', @arguments ], '>', \$out, '2>', \$err);
	like($err, qr/^pg_restore: warning: errors ignored on restore: \d+\n\z|^\z/m, "pg_restore @arguments[0 .. 1]");
	return;
}

sub is_at_home_alone
{
	my ($server) = @_;
	is(doubt($server), '', $server->name . ' is at home before that');
	return;
}
