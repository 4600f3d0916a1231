# Roles that are bound to a tenant: nothing that a session does or inherits shows
# it, or lets it act for, another one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension new_node);

my $node = new_node('tenant_roles', "whatsapp_shared.databases = ''");

create_extension($node, 'postgres');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE bound LOGIN;
CREATE ROLE free LOGIN;
CREATE ROLE other LOGIN;
CREATE ROLE operator LOGIN;
CREATE ROLE reader LOGIN;
SELECT wa_configure_tenant('horno', is_new => true), wa_configure_tenant('panaderia', is_new => true);
SELECT wa_assign_phone('horno', '100000000000001'), wa_assign_phone('panaderia', '100000000000002');
SELECT wa_enqueue_payload(t, '+34600000001', 'reaction', '{"message_id": "wamid.x", "emoji": "👍"}') FROM unnest('{horno,panaderia}'::text[]) AS t;
INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, message_type, payload, sent_at)
    VALUES ('a', 'horno', '1', 'text', '{}', now()), ('b', 'panaderia', '2', 'text', '{}', now());
SELECT wa_grant('free', 'tenant'), wa_grant('operator', 'admin'), wa_grant('other', 'tenant', 'panaderia');
GRANT SELECT ON whatsapp_messages TO reader;
SQL

my $seen = q{SELECT COALESCE(string_agg(DISTINCT tenant_id, ','), 'nothing') FROM whatsapp_messages};

# As the role that has logged in; the last line of what is printed.
sub as
{
	my ($role, $sql) = @_;
	my ($out) = $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]) =~ /([^\n]*)\z/;
	return $out;
}

sub error_of
{
	my ($role, $sql) = @_;
	my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]);
	return $error;
}

# ---- what it sees --------------------------------------------------------------------------

# What a pooler in transaction mode does: the next client has what SET has left.
is(as('free', "BEGIN; SET whatsapp_shared.tenant = 'horno'; COMMIT; $seen"), 'horno', 'SET stays for the next client of a pooler');
is(as('free', "BEGIN; SET LOCAL whatsapp_shared.tenant = 'horno'; COMMIT; $seen"), 'nothing', 'SET LOCAL does not');

$node->safe_psql('postgres', q{SELECT wa_grant('bound', 'tenant', 'horno')});
is(as('bound', $seen), 'horno', 'a bound role needs no setting');
is(as('bound', "SET whatsapp_shared.tenant = 'panaderia'; $seen"), 'horno', 'and none has an effect');
is(as('bound', "SET whatsapp_shared.tenant = 'panaderia'; " . $seen =~ s/messages/inbound_messages/r), 'horno', 'nor on messages from customers');
is(as('reader', $seen), 'horno,panaderia', 'other roles see what their rights say');
is(as('operator', $seen), 'horno,panaderia', 'operators all');
$node->safe_psql('postgres', q{SELECT wa_grant('bound', 'tenant')});
is(as('bound', $seen), 'horno', 'to grant it again changes nothing');

# ---- no way out ----------------------------------------------------------------------------

$node->safe_psql('postgres', 'GRANT reader, free, operator, other TO bound; ALTER ROLE bound NOINHERIT');
is(as('bound', "SET ROLE reader; $seen"), 'horno', 'who has logged in as a bound role stays there after SET ROLE');
is(as('bound', "SET ROLE operator; $seen"), 'horno', 'even as an operator');
is(as('bound', "SET whatsapp_shared.tenant = 'panaderia'; SET ROLE free; $seen"), 'horno', 'and with the setting');
like(error_of('bound', "SET ROLE other; $seen"), qr/42501: the roles of this session are bound to different tenants/, 'two tenants in one session are none');
$node->safe_psql('postgres', 'REVOKE reader, free, operator, other FROM bound; ALTER ROLE bound INHERIT');
is($node->safe_psql('postgres', "SET SESSION AUTHORIZATION reader; $seen"), 'horno,panaderia', 'a reader');
$node->safe_psql('postgres', <<"SQL");
GRANT bound TO reader; ALTER ROLE reader NOINHERIT;
CREATE FUNCTION definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS \$\$ $seen \$\$;
ALTER FUNCTION definer() OWNER TO operator;
SQL
is(as('reader', "SET ROLE bound; $seen"), 'horno', 'SET ROLE to a bound role binds');
is(as('reader', 'SET ROLE bound; SELECT definer()'), 'horno', 'in a SECURITY DEFINER function, too');
$node->safe_psql('postgres', 'ALTER ROLE reader INHERIT');
is(as('reader', $seen), 'horno', 'and so does membership');
$node->safe_psql('postgres', 'GRANT other TO reader');
like(error_of('reader', $seen), qr/42501: the roles of this session are bound to different tenants/, 'which can be to one tenant only');
$node->safe_psql('postgres', q{GRANT EXECUTE ON FUNCTION wa_mark_read(bigint, boolean) TO reader});
my $somebodys = $node->safe_psql('postgres', 'SELECT min(inbound_id) FROM whatsapp_inbound_messages');
like(error_of('reader', "SELECT wa_mark_read($somebodys)"), qr/42704: inbound message $somebodys does not exist/, 'and to whom no message of anybody\'s exists');
$node->safe_psql('postgres', q{REVOKE EXECUTE ON FUNCTION wa_mark_read(bigint, boolean) FROM reader});
$node->safe_psql('postgres', 'REVOKE bound, other FROM reader');
is($node->safe_psql('postgres', $seen), 'horno,panaderia', 'a superuser is bound to none');
$node->safe_psql('postgres', q{SELECT wa_configure_tenant(17, is_new => true); CREATE ROLE numbered; SELECT wa_grant('numbered', 'tenant', 17)});
is($node->safe_psql('postgres', q{SELECT tenant_id FROM whatsapp_tenant_roles WHERE role = 'numbered'}), '17', 'a tenant ID of any type will do');

# ---- what it does --------------------------------------------------------------------------

$node->safe_psql('postgres', q{SELECT wa_grant('bound', 'sender'); GRANT EXECUTE ON FUNCTION wa_diagnose(text) TO bound; CREATE SCHEMA bound AUTHORIZATION bound});
my %calls = (
	wa_enqueue_payload => q{wa_enqueue_payload('%s', '+34600000001', 'reaction', '{"message_id": "wamid.x", "emoji": "👍"}')},
	wa_enqueue_message => q{wa_enqueue_message('%s', '+34600000001', 'x')},
	wa_enqueue_bulk => q{wa_enqueue_bulk('%s', 'x', '["+34600000001"]')},
	wa_upload_media => q{wa_upload_media('%s', 'x', 'text/plain')},
	wa_opt_out => q{wa_opt_out('%s', '+34600000001')},
	wa_opt_in => q{wa_opt_in('%s', '+34600000001')},
	wa_notification_settings => q{wa_notification_settings('%s')},
	wa_diagnose => q{wa_diagnose('%s')},
	wa_explain => q{wa_explain((SELECT id FROM ids WHERE tenant_id = '%s'))},
	wa_cancel_message => q{wa_cancel_message((SELECT id FROM ids WHERE tenant_id = '%s'))});
$node->safe_psql('postgres', 'CREATE TABLE ids AS SELECT min(id) AS id, tenant_id FROM whatsapp_messages GROUP BY 2; GRANT SELECT ON ids TO PUBLIC');
foreach my $name (sort keys %calls)
{
	my $call = sub { return sprintf "SELECT * FROM $calls{$name}", $_[0] };

	is(error_of('bound', $call->('horno')) =~ s/^(?:.*NOTICE|LOCATION|DETAIL|HINT).*\n?//mgr, '', "$name works for its tenant");
	like(error_of('bound', $call->('panaderia')), qr/42501: permission denied for tenant "panaderia"/, 'and for no other');
}
like(error_of('bound', q{SELECT wa_opt_out('nobody', '+34600000001')}), qr/42501: permission denied for tenant "nobody"/, 'nor does it learn which there are');

# By a notification of its own; those of others send by the right of their makers.
as('bound', q{CREATE TABLE orders (tenant text); SELECT wa_create_notification('orders', 'order', 'tenant', '''+34600000001''')});
as('bound', q{INSERT INTO orders VALUES ('horno'), ('panaderia')});
is($node->safe_psql('postgres', q{SELECT string_agg(tenant_id, ',') FROM whatsapp_messages WHERE template_name = 'order'}), 'horno', 'its notification sends for its tenant');
is($node->safe_psql('postgres', q{SELECT message FROM whatsapp_notification_failures}), 'permission denied for tenant "panaderia"', 'and for no other');
$node->safe_psql('postgres', q{CREATE TABLE shared (tenant text); GRANT INSERT ON shared TO bound;
	SELECT wa_create_notification('shared', 'shared', 'tenant', '''+34600000001''')});
as('bound', q{INSERT INTO shared VALUES ('panaderia')});
is($node->safe_psql('postgres', q{SELECT string_agg(tenant_id, ',') FROM whatsapp_messages WHERE template_name = 'shared'}), 'panaderia', 'that of somebody else is for whom it says');

# ---- granting ------------------------------------------------------------------------------

like(error_of('postgres', q{SELECT wa_grant('bound', 'tenant', 'panaderia')}), qr/42710: role "bound" is bound to another tenant/, 'a role has one tenant');
like(error_of('postgres', q{SELECT wa_grant('reader', 'tenant', 'nobody')}), qr/42704: /, 'which exists');
like(error_of('postgres', q{SELECT wa_grant('reader', 'sender', 'horno')}), qr/22023: only the privilege tenant/, 'other privileges have none');
like(error_of('postgres', q{SELECT wa_grant('bound', 'admin')}), qr/55000: a role that is bound to a tenant cannot have the privilege admin/, 'no operator is bound');
like(error_of('postgres', q{SELECT wa_grant('operator', 'tenant', 'horno')}), qr/55000: a role that is bound/, 'nor bound later');
like(error_of('bound', q{DELETE FROM whatsapp_tenant_roles}), qr/42501: permission denied for table/, 'and nobody binds himself');
$node->safe_psql('postgres', q{SELECT wa_revoke('bound', 'tenant'), wa_grant('bound', 'tenant')});
is(as('bound', "SET whatsapp_shared.tenant = 'panaderia'; $seen"), 'panaderia', 'wa_revoke() ends a binding');
$node->safe_psql('postgres', q{SELECT wa_grant('bound', 'tenant', 'horno')});

# ---- once a query --------------------------------------------------------------------------

my $plan = $node->safe_psql('postgres', "EXPLAIN (VERBOSE) $seen", extra_params => [ '-U', 'bound' ]);
my @filters = $plan =~ /Filter: (.*)/g;
is(scalar(grep { /wa_internal_/ } @filters), 0, 'the policy calls nothing for a row');
is(() = $plan =~ /^\s*InitPlan/gm, 2, 'but twice for a query');
is(as('bound', <<"SQL"), 'horno', 'also in parallel workers');
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SET @{[ $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode' ]} = on;
$seen
SQL

# ---- who the role is -----------------------------------------------------------------------

$node->safe_psql('postgres', 'ALTER ROLE bound RENAME TO renamed');
is(as('renamed', "SET whatsapp_shared.tenant = 'panaderia'; $seen"), 'horno', 'a role that is renamed stays bound');
is($node->safe_psql('postgres', q{SELECT item || ': ' || detail FROM wa_health() WHERE item LIKE 'tenant role%'}),
	'tenant role bound: Bound to tenant horno, but not the role that was bound.', 'which wa_health() mentions');
$node->safe_psql('postgres', q{SELECT wa_revoke('renamed', 'tenant'), wa_grant('renamed', 'tenant', 'horno')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM wa_health() WHERE item LIKE 'tenant role%'}), '0', 'until it is bound again');

mkdir $node->backup_dir;
my $dump = $node->backup_dir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'the database is dumped');
my $copy = new_node('copy', "whatsapp_shared.databases = ''");
$copy->safe_psql('postgres', join '; ', map { "CREATE ROLE $_ LOGIN" } qw(free operator reader other renamed));
$copy->psql('postgres', "\\i $dump", on_error_stop => 0);
is($copy->safe_psql('postgres', "SET whatsapp_shared.tenant = 'panaderia'; $seen", extra_params => [ '-U', 'renamed' ]), 'horno', 'and restored where it has another OID');
is($copy->safe_psql('postgres', q{SELECT role_oid = 'renamed'::regrole FROM whatsapp_tenant_roles WHERE role = 'renamed'}), 't', 'which is found by its name');
$copy->safe_psql('postgres', 'UPDATE whatsapp_tenant_roles SET role_oid = 1');
is($copy->safe_psql('postgres', "SET whatsapp_shared.tenant = 'panaderia'; $seen", extra_params => [ '-U', 'renamed' ]), 'horno', 'or not, and its name binds it all the same');

done_testing();
