# A dump of everything, restored into another schema's database: data,
# sequences, rights and what a tenant's own role may see.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension new_node);

my $node = new_node('restore', "whatsapp_shared.databases = ''");
$node->safe_psql('postgres', q{CREATE DATABASE original; CREATE DATABASE restored; CREATE ROLE app; CREATE ROLE bakery; CREATE ROLE watcher});
$node->safe_psql('original', 'CREATE SCHEMA "our messages"; CREATE EXTENSION whatsapp_shared SCHEMA "our messages"');
$node->safe_psql('postgres', q{ALTER DATABASE original SET search_path = "our messages"; ALTER DATABASE restored SET search_path = "our messages"});
$node->safe_psql(
	'original', q{
	SELECT wa_grant('app', 'sender'), wa_grant('bakery', 'tenant'), wa_grant('watcher', 'monitor'), wa_grant('watcher', 'admin');
	SELECT wa_revoke('watcher', 'admin');
	SELECT FROM wa_assign_phone('panaderia', '100000000000001', '+34 600 00 00 01');
	SELECT FROM wa_configure_tenant('horno', quiet_from => '22:00', quiet_to => '06:00', is_new => true);
	SELECT wa_pause('tenant', 'horno', 'holidays');
	SELECT wa_internal_alert('warning', 'test', 'number', '1', 'look at this');
	SELECT wa_enqueue_payload(t, '+34600000001', 'text', '{"body": "hola"}') FROM unnest('{panaderia,horno}'::text[]) AS t;
	INSERT INTO whatsapp_leases (sender, pid, generation, message_ids, attempts) VALUES (0, 1, 1, '{1}', '{1}')});

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('original') ], 'pg_dump');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ],
	'restored without an error');

# The same answer in both databases, and not an empty one.
sub same_in_both
{
	my ($query, $name) = @_;
	my $before = $node->safe_psql('original', $query);

	isnt($before, '', "$name: there is something to compare");
	is($node->safe_psql('restored', $query), $before, "$name: the same after the restore");
	return;
}

foreach my $table (
	qw(tenants phone_numbers phone_assignments messages queue leases pauses alerts))
{
	same_in_both("SELECT t::text FROM whatsapp_$table AS t ORDER BY 1", "whatsapp_$table");
}
my $installation = $node->safe_psql('original', 'SELECT i::text FROM whatsapp_installation AS i');
like($node->safe_psql('restored', 'SELECT i::text FROM whatsapp_installation AS i'), qr/^\Q$installation\E$/m, 'the installation has come along');
same_in_both(
	q{SELECT c.relname, a.grantee::regrole, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
		WHERE a.grantee::regrole::text IN ('app', 'bakery', 'watcher')
	  UNION ALL
	  SELECT p.oid::regprocedure::text, a.grantee::regrole, a.privilege_type FROM pg_proc p, aclexplode(p.proacl) a
		WHERE a.grantee::regrole::text IN ('app', 'bakery', 'watcher')
	  ORDER BY 1, 2, 3}, 'rights');

is($node->safe_psql('restored', q{SELECT wa_enqueue_payload('panaderia', '+34600000002', 'text', '{"body": "otra"}')}),
	3, 'numbering goes on where it was');
is($node->safe_psql('restored', q{SET ROLE bakery; SELECT count(*) FROM whatsapp_messages}), 0, "a tenant's role sees nothing");
is($node->safe_psql('restored', q{SET ROLE bakery; SET whatsapp_shared.tenant = 'horno'; SELECT count(*) FROM whatsapp_messages}),
	1, "but its tenant's messages, as before");
is($node->safe_psql('restored', 'SELECT reason FROM wa_explain(2)'), 'clone_not_adopted', 'and the copy knows that it is one');

# What was on the wire is in doubt, and not sent again.
is($node->safe_psql('restored', 'SELECT reason FROM wa_explain(1)'), 'on_the_wire', 'the intent to send has come along');

$node->stop;
done_testing();
