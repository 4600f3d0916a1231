# Nobody but the owner of the extension's tables can put code in the place of the
# extension's: a schema that is not safe is refused, default privileges give
# nothing away, and a sender that others could meddle with sends nothing, says
# why, and goes on when it is over.  What runs in a sender is no superuser.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaSimulator;
use WaTest qw(fails_like new_node set_and_reload sender_pids wait_for_senders);

my $sim = WaSimulator->start('--numbers' => 3, '--accept-any-template');
my @settings = ('whatsapp_shared.enabled = on',
	"whatsapp_shared.databases = 'app, shop'",
	"whatsapp_shared.access_token = 'SIMULATOR_TOKEN'",
	"whatsapp_shared.graph_url = '" . $sim->url . "'",
	'whatsapp_shared.sync_interval = 0',
	'client_min_messages = error');
my $node = new_node('ownership', @settings);

$node->safe_psql('postgres', $_) foreach 'CREATE ROLE bob LOGIN', 'CREATE DATABASE app', 'CREATE DATABASE shop OWNER bob';

# ---- where it can be installed -------------------------------------------------------

my $hint = qr/HINT: .*CREATE SCHEMA whatsapp; CREATE EXTENSION whatsapp_shared SCHEMA whatsapp; ALTER DATABASE shop SET search_path = "\$user", public, whatsapp;/;
my $create = 'CREATE EXTENSION whatsapp_shared';

fails_like($node, 'shop', $create, '42501', qr/schema public belongs to role pg_database_owner.*$hint/s,
	'public of a database whose owner is no superuser is refused');
fails_like($node, 'shop', "CREATE SCHEMA theirs AUTHORIZATION bob; $create SCHEMA theirs", '42501', qr/schema theirs belongs to role bob/,
	"and so is another role's schema");
# Before anything is created or called there.
$node->safe_psql('shop', 'CREATE SCHEMA shared; GRANT CREATE, USAGE ON SCHEMA shared TO bob; SET ROLE bob;
	CREATE FUNCTION shared.wa_internal_wake_launcher() RETURNS void LANGUAGE sql AS $$SELECT $$');
fails_like($node, 'shop', "$create SCHEMA shared", '42501',
	qr/role bob may create objects in schema shared.*REVOKE CREATE ON SCHEMA shared FROM bob;/s, 'one in which another role may create objects');
fails_like($node, 'shop', "CREATE SCHEMA open; GRANT CREATE ON SCHEMA open TO PUBLIC; $create SCHEMA open", '42501',
	qr/everybody may create objects/, 'or everybody');
$node->safe_psql('shop', <<'SQL');
CREATE SCHEMA left_over;
GRANT CREATE, USAGE ON SCHEMA left_over TO bob;
SET ROLE bob;
CREATE FUNCTION left_over.wa_internal_at_home(VARIADIC integer[]) RETURNS boolean LANGUAGE sql AS 'SELECT true';
RESET ROLE;
REVOKE CREATE ON SCHEMA left_over FROM bob;
SQL
fails_like($node, 'shop', "$create SCHEMA left_over", '42501', qr/function left_over\.wa_internal_at_home\(integer\[\]\) has the name of one of/,
	'and one with a function of the same name as ours');
is($node->safe_psql('shop', q{SELECT count(*) FROM pg_extension WHERE extname = 'whatsapp_shared'}), '0', 'none of these has left anything');

# ---- default privileges give nothing away ----------------------------------------------

$node->safe_psql('shop', <<"SQL");
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO bob WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO bob;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO bob;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO bob;
CREATE SCHEMA whatsapp;
$create SCHEMA whatsapp;
ALTER DATABASE shop SET search_path = "\$user", public, whatsapp;
SQL
my $members = q{pg_depend AS d JOIN pg_extension AS e ON d.refobjid = e.oid AND e.extname = 'whatsapp_shared' AND d.deptype = 'e'};
is($node->safe_psql('shop', "SELECT count(*) > 10 FROM $members JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'r'"), 't',
	'it is there, in a database of another role, in a schema of its own');
my $acls = <<"SQL";
SELECT pg_describe_object(d.classid, d.objid, 0), a.grantee::regrole, a.privilege_type
FROM $members
    LEFT JOIN pg_class AS c ON c.tableoid = d.classid AND c.oid = d.objid
    LEFT JOIN pg_proc AS p ON p.tableoid = d.classid AND p.oid = d.objid
    LEFT JOIN pg_type AS t ON t.tableoid = d.classid AND t.oid = d.objid,
    aclexplode(COALESCE(c.relacl, p.proacl, t.typacl)) AS a
WHERE a.grantee NOT IN (0, COALESCE(c.relowner, p.proowner, t.typowner), 'pg_monitor'::regrole)
SQL
is($node->safe_psql('shop', $acls), '', 'nobody has got a right on it by default privileges');
fails_like($node, 'shop', 'SET ROLE bob; CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
	CREATE TRIGGER t BEFORE DELETE ON whatsapp.whatsapp_leases FOR EACH ROW EXECUTE FUNCTION public.f()',
	'42501', qr/permission denied/, "so they cannot create triggers on its tables");

# ---- the owner of the database --------------------------------------------------------

# Sends a message; what runs meanwhile is recorded with whom it ran as.
my $phone = 100;
sub enqueue
{
	my ($db) = @_;
	return $node->safe_psql($db, sprintf q{SELECT wa_enqueue_message('t1', '+34600000%03d', 'aviso', '["hola"]')}, ++$phone);
}

sub wait_accepted
{
	my ($db, $id, $name) = @_;
	ok($node->poll_query_until($db, "SELECT status = 'accepted' FROM whatsapp_messages WHERE id = $id"), $name)
	  or diag($node->safe_psql($db, "SELECT * FROM wa_health(); SELECT * FROM wa_explain($id)"));
	return;
}

sub prepare
{
	my ($db, $number) = @_;
	$node->safe_psql($db, <<"SQL");
SELECT wa_assign_phone('t1', '$number');
CREATE SCHEMA seen;
CREATE TABLE seen.by (what text, who name);
GRANT USAGE ON SCHEMA seen TO PUBLIC;
GRANT INSERT ON seen.by TO PUBLIC;
CREATE FUNCTION seen.note(what text) RETURNS boolean LANGUAGE plpgsql AS
	'BEGIN INSERT INTO seen.by VALUES (what, current_user); RETURN false; END';
SQL
	return;
}

prepare('shop', '100000000000001');
wait_for_senders($node, 'shop', 1);
wait_accepted('shop', enqueue('shop'), 'it sends');

fails_like($node, 'shop', 'SET ROLE bob; ALTER SCHEMA whatsapp RENAME TO mine', '42501', qr/must be owner of schema/, "the database's owner cannot rename its schema");
fails_like($node, 'shop', 'SET ROLE bob; DROP SCHEMA whatsapp CASCADE', '42501', qr/must be owner of schema/, 'nor drop it');
fails_like($node, 'shop', 'SET ROLE bob; CREATE FUNCTION whatsapp.wa_internal_accepted_text(bigint, text) RETURNS text LANGUAGE sql AS $$SELECT $$',
	'42501', qr/permission denied for schema/, 'nor create anything in it');

$node->safe_psql('shop', <<'SQL');
SET ROLE bob;
ALTER SCHEMA public RENAME TO former;
CREATE SCHEMA public;
CREATE VIEW public.whatsapp_pauses AS SELECT 'account'::text AS scope, ''::text AS key WHERE seen.note('view');
CREATE FUNCTION public.wa_internal_accepted_text(bigint, text) RETURNS text LANGUAGE sql AS $$SELECT seen.note('overload')::text$$;
SQL
$node->reload;
wait_accepted('shop', enqueue('shop'), 'what he creates in a schema of his own disturbs nobody');
is($node->safe_psql('shop', 'SELECT * FROM seen.by'), '', 'and is not run');

# ---- what runs in a sender -------------------------------------------------------------

# As superusers may do: it is theirs, and runs as the owner of the tables all the same.
$node->safe_psql('shop', <<'SQL');
CREATE FUNCTION seen.trigger() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    command text;
BEGIN
    PERFORM seen.note('superuser') FROM pg_roles WHERE rolname = current_user AND rolsuper;
    PERFORM seen.note('trigger');
    FOREACH command IN ARRAY '{RESET ROLE,SET ROLE postgres,RESET SESSION AUTHORIZATION,ALTER ROLE whatsapp SUPERUSER}'::text[] LOOP
        BEGIN
            EXECUTE command;
            PERFORM seen.note(command);
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER seen AFTER UPDATE ON whatsapp_messages FOR EACH ROW EXECUTE FUNCTION seen.trigger();
SQL
wait_accepted('shop', enqueue('shop'), 'a trigger of a superuser is allowed');
is($node->safe_psql('shop', 'SELECT DISTINCT what, who FROM seen.by'), 'trigger|whatsapp', 'it runs as whatsapp, and gets no further');
$node->safe_psql('shop', 'DROP TRIGGER seen ON whatsapp_messages; TRUNCATE seen.by');

# ---- a sender that others could meddle with ------------------------------------------------

# A superuser makes a mistake, and bob uses it; then the sender would have something
# to do.  It says once why it does nothing, and goes on when the mistake has been
# undone; nothing of bob's has been run by then.  A reload, where there is one, makes
# the launcher start a sender anew at once.
sub refused
{
	my ($db, $what, $problem, %step) = @_;
	my $offset = -s $node->logfile;
	my ($id, %count);

	$node->safe_psql($db, $step{mistake});
	$node->safe_psql($db, "SET ROLE bob; $step{attack}");
	$node->safe_psql($db, $step{regret}) if $step{regret};
	$id = enqueue($db) unless $step{no_enqueue};
	$node->reload unless $step{no_reload};

	ok($node->wait_for_log(qr/no messages are sent from database "$db": $problem/, $offset), "$what: the sender refuses");
	if ($id)
	{
		is($node->safe_psql($db, q{SELECT state FROM wa_health() WHERE item = 'ownership'}), 'error', "$what: health says it");
		is($node->safe_psql($db, "SELECT reason FROM wa_explain($id)"), 'ownership', "$what: and why the message waits");
	}
	$node->safe_psql($db, $step{remedy});
	wait_accepted($db, $id // enqueue($db), "$what: it goes on when that is over");
	$count{$_}++ foreach slurp_file($node->logfile, $offset) =~ /no messages are sent from (.*)/g;
	is_deeply([ grep { $count{$_} > 1 } sort keys %count ], [], "$what: the log says it once");
	is($node->safe_psql($db, 'SELECT * FROM seen.by'), '', "$what: nothing of bob's was run");
	$node->reload;
	return;
}

sub attacks
{
	my ($db, $schema, $owner) = @_;

	$node->safe_psql($db, "GRANT USAGE ON SCHEMA $schema TO bob; GRANT CREATE, USAGE ON SCHEMA seen TO bob");
	refused($db, 'a hostile overload', "role bob may create objects in schema $schema",
		mistake => "GRANT CREATE ON SCHEMA $schema TO bob",
		attack => qq{CREATE FUNCTION $schema.wa_internal_accepted_text(bigint, text) RETURNS text LANGUAGE sql AS
			\$\$SELECT seen.note('overload')::text\$\$},
		no_reload => 1,
		remedy => "DROP FUNCTION $schema.wa_internal_accepted_text(bigint, text); REVOKE CREATE ON SCHEMA $schema FROM bob");
	refused($db, 'an overload with fewer arguments', "function $schema.wa_internal_credentials_present\\(\\) has the name of one of",
		mistake => "GRANT CREATE ON SCHEMA $schema TO bob",
		attack => qq{CREATE FUNCTION $schema.wa_internal_credentials_present() RETURNS boolean LANGUAGE sql AS
			\$\$SELECT seen.note('fewer arguments')\$\$},
		regret => "REVOKE CREATE ON SCHEMA $schema FROM bob",
		remedy => "DROP FUNCTION $schema.wa_internal_credentials_present()");
	refused($db, 'a trigger', "role bob may create triggers on table $schema.whatsapp_messages",
		mistake => "GRANT TRIGGER ON $schema.whatsapp_messages TO bob",
		attack => qq{CREATE OR REPLACE FUNCTION seen.fired() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN PERFORM seen.note('trigger'); RETURN NULL; END\$\$;
			CREATE TRIGGER hostile AFTER UPDATE ON $schema.whatsapp_messages FOR EACH ROW EXECUTE FUNCTION seen.fired()},
		no_reload => 1,
		remedy => "DROP TRIGGER hostile ON $schema.whatsapp_messages; REVOKE TRIGGER ON $schema.whatsapp_messages FROM bob");
	refused($db, 'a trigger left behind', "trigger hostile on table $schema.whatsapp_messages calls",
		mistake => "GRANT TRIGGER ON $schema.whatsapp_messages TO bob",
		attack => qq{CREATE OR REPLACE FUNCTION seen.hit(bigint) RETURNS boolean LANGUAGE sql AS \$\$SELECT seen.note('condition')\$\$;
			CREATE TRIGGER hostile AFTER UPDATE ON $schema.whatsapp_messages FOR EACH ROW WHEN (seen.hit(NEW.id)) EXECUTE FUNCTION seen.fired()},
		regret => "REVOKE TRIGGER ON $schema.whatsapp_messages FROM bob",
		remedy => "DROP TRIGGER hostile ON $schema.whatsapp_messages");
	refused($db, 'a function of another role', "function $schema.wa_internal_at_home\\(\\) belongs to role bob",
		mistake => "ALTER FUNCTION $schema.wa_internal_at_home() OWNER TO bob",
		attack => "ALTER FUNCTION $schema.wa_internal_at_home() SET search_path = seen, pg_catalog",
		no_enqueue => 1,
		remedy => "ALTER FUNCTION $schema.wa_internal_at_home() SET search_path = pg_catalog, pg_temp;
			ALTER FUNCTION $schema.wa_internal_at_home() OWNER TO $owner");
	return;
}

# Another schema takes the name of ours.
my $shadow = q{CREATE VIEW %1$s.whatsapp_pauses AS SELECT 'account'::text AS scope, ''::text AS key WHERE seen.note('view');
	CREATE FUNCTION %1$s.wa_internal_at_home() RETURNS boolean LANGUAGE sql AS $$SELECT seen.note('function')$$};

attacks('shop', 'whatsapp', 'whatsapp');
refused('shop', 'a renamed schema', 'schema mine belongs to role bob',
	mistake => 'ALTER SCHEMA whatsapp OWNER TO bob',
	attack => 'ALTER SCHEMA whatsapp RENAME TO mine; CREATE SCHEMA whatsapp; ' . sprintf($shadow, 'whatsapp'),
	no_enqueue => 1,
	remedy => 'DROP SCHEMA whatsapp CASCADE; ALTER SCHEMA mine RENAME TO whatsapp; ALTER SCHEMA whatsapp OWNER TO postgres');

refused('shop', 'an owner who is no superuser any more', 'schema whatsapp belongs to role admin',
	mistake => 'CREATE ROLE admin SUPERUSER; ALTER SCHEMA whatsapp OWNER TO admin; SELECT wa_pause(\'account\'), wa_resume(\'account\');
		ALTER ROLE admin NOSUPERUSER',
	attack => 'SELECT',
	no_reload => 1,
	remedy => 'ALTER SCHEMA whatsapp OWNER TO postgres');

$node->safe_psql('app', $create);
prepare('app', '100000000000002');
wait_accepted('app', enqueue('app'), 'public of a database of a superuser is safe');
refused('app', 'a database given to another role', 'schema public belongs to role pg_database_owner',
	mistake => 'ALTER DATABASE app OWNER TO bob',
	attack => 'SELECT',
	no_reload => 1,
	remedy => 'ALTER DATABASE app OWNER TO postgres');
refused('app', 'and its schema renamed', 'schema former belongs to role pg_database_owner',
	mistake => 'ALTER DATABASE app OWNER TO bob',
	attack => 'ALTER SCHEMA public RENAME TO former; CREATE SCHEMA public; ' . sprintf($shadow, 'public'),
	no_enqueue => 1,
	remedy => 'DROP SCHEMA public CASCADE; ALTER SCHEMA former RENAME TO public; ALTER DATABASE app OWNER TO postgres');

# ---- dump and restore --------------------------------------------------------------------

my $dump = $node->basedir . '/dump.sql';
$node->safe_psql('postgres', 'CREATE DATABASE copy OWNER bob');
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('shop') ], 'pg_dump');
unlike(slurp_file($dump), qr/^(?:GRANT|REVOKE)\b.*\b(?:FUNCTION|TABLE|SEQUENCE) whatsapp\./m,
	'takes no right of the owner for one that somebody has given');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy') ],
	'it is restored into a database of another role');
is($node->safe_psql('copy', q{SELECT state FROM whatsapp.wa_health() WHERE item = 'ownership'}), 'ok', 'where it is safe');
is($node->safe_psql('copy', $acls), '', 'default privileges give nothing away');
is($node->safe_psql('copy', 'SELECT count(*) FROM whatsapp.whatsapp_messages'), $node->safe_psql('shop', 'SELECT count(*) FROM whatsapp_messages'),
	'with its messages');
$node->command_ok([ 'pg_dump', '--role=whatsapp', '--schema=whatsapp', '--extension=whatsapp_shared', '-f', "$dump.own", '-d', $node->connstr('shop') ],
	'its owner can dump all of it');
like(slurp_file("$dump.own"), qr/^COPY whatsapp\.whatsapp_messages /m, 'with the messages');
$node->stop;

# ---- without the role, where it would be a superuser's rights ----------------------------

$node = new_node('ownership_superuser', 'superuser', @settings);
$node->safe_psql('postgres', $_) foreach 'CREATE ROLE bob LOGIN', 'CREATE DATABASE app';
my ($status, undef, $stderr) = $node->psql('app', "SET client_min_messages = warning; $create");
is($status, 0, 'it can be installed without the role');
like($stderr, qr/WARNING:  the senders will have the rights of role postgres, a superuser\nHINT: .*CREATE ROLE whatsapp NOLOGIN/, 'with a warning');
prepare('app', '100000000000003');
wait_accepted('app', enqueue('app'), 'and sends');
attacks('app', 'public', 'postgres');

# A role of that name that can log in was not made for this, and gets nothing.
$node->safe_psql('postgres', $_) foreach 'CREATE ROLE whatsapp LOGIN', 'CREATE DATABASE other';
$node->safe_psql('other', $create);
is($node->safe_psql('other', q{SELECT relowner::regrole FROM pg_class WHERE relname = 'whatsapp_messages'}), 'postgres',
	'a role whatsapp that can log in is left alone');

$node->stop;
done_testing();
