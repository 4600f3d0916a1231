# A role for backups: it can dump everything without being a superuser, and a
# tenant's role gains nothing by asking for the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension new_node);

my $node = new_node('backup_role', "whatsapp_shared.databases = ''");
$node->safe_psql('postgres', q{
	CREATE ROLE site LOGIN;
	CREATE DATABASE app OWNER site;
	CREATE DATABASE restored;
	CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup;
	CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader;
	CREATE ROLE bakery LOGIN});
# The database is not a superuser's: a schema of its own.
$node->safe_psql('app', 'CREATE SCHEMA whatsapp; ALTER DATABASE app SET search_path = whatsapp; ALTER DATABASE restored SET search_path = whatsapp');
create_extension($node, 'app', 'SCHEMA whatsapp');
$node->safe_psql('app', q{
	SELECT FROM wa_assign_phone('panaderia', '100000000000001', '+34 600 00 00 01');
	SELECT FROM wa_configure_tenant('horno', is_new => true);
	SELECT wa_grant('bakery', 'tenant');
	SELECT wa_enqueue_payload(t, '+34600000001', 'text', '{"body": "hola"}') FROM unnest('{panaderia,horno}'::text[]) AS t});

my $dump = $node->basedir . '/dump.sql';

sub dump_as
{
	my ($role, @arguments) = @_;
	my $error = '';
	unlink $dump;
	my $ok = IPC::Run::run([ 'pg_dump', '-U', $role, @arguments, '-f', $dump, '-d', $node->connstr('app') ], '2>', \$error);
	return ($ok, $error);
}

# What is in the dump is what is in the database.
sub holds_everything
{
	my ($name) = @_;
	$node->safe_psql('postgres', 'DROP DATABASE restored');
	$node->safe_psql('postgres', $_) foreach 'CREATE DATABASE restored', 'ALTER DATABASE restored SET search_path = whatsapp';
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], "$name: restored");
	foreach my $query (
		'SELECT string_agg(m::text, chr(10) ORDER BY id) FROM whatsapp_messages AS m',
		'SELECT string_agg(q::text, chr(10) ORDER BY message_id) FROM whatsapp_queue AS q',
		'SELECT string_agg(i::text, chr(10)) FROM whatsapp_installation AS i WHERE created_at < (SELECT max(adopted_at) FROM whatsapp_home)',
		q{SELECT last_value FROM whatsapp_messages_id_seq})
	{
		my $there = $node->safe_psql('app', $query);
		isnt($there, '', "$name: there is something to compare");
		like($node->safe_psql('restored', $query), qr/\Q$there\E/, "$name: $query");
	}
	return;
}

my ($ok, $error) = dump_as('backup');
ok($ok, 'a role with pg_read_all_data and BYPASSRLS dumps the database') or diag($error);
holds_everything('BYPASSRLS');

# Without BYPASSRLS pg_dump refuses, rather than leave something out.
($ok, $error) = dump_as('reader');
ok(!$ok, 'pg_read_all_data is not enough');
like($error, qr/query would be affected by row-level security policy for table "whatsapp_/, 'row-level security is the reason');
($ok, $error) = dump_as('reader', '--enable-row-security');
ok($ok, 'unless pg_dump is told to heed it') or diag($error);
holds_everything('--enable-row-security');

# The owner of the database may use the same role for it.
($ok, $error) = dump_as('site');
ok(!$ok, "the database's owner has no right to our tables");
$node->safe_psql('postgres', 'GRANT backup TO site');
($ok, $error) = dump_as('site', '--role', 'backup');
ok($ok, 'a member of the role dumps with --role') or diag($error);
holds_everything('--role');

# A tenant's own role sees what it saw before.
($ok, $error) = dump_as('bakery', '--enable-row-security');
ok(!$ok, "a tenant's role cannot dump the database");
# pg_dump 18 looks at all sequences at once, and says that a right may be missing.
like($error, qr/permission denied|may lack SELECT privilege/, 'for want of rights');
is($node->safe_psql('app', q{SET ROLE bakery; SET whatsapp_shared.tenant = 'horno'; SELECT string_agg(tenant_id, ',') FROM whatsapp_messages}),
	'horno', "and sees its tenant's messages only");
$node->safe_psql('postgres', 'GRANT pg_read_all_data TO bakery');
is($node->safe_psql('app', q{SET ROLE bakery; SET whatsapp_shared.tenant = 'horno'; SELECT string_agg(tenant_id, ',') FROM whatsapp_messages}),
	'horno', 'also when it may read all data');

$node->stop;
done_testing();
