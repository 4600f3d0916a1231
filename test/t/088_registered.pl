# Code that is registered once and run later has the rights of nobody who could
# not have written it: a handler's registrant and the owner of the function, a
# notification's maker and the owner of the table.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256_hex);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension new_node);

my $node = new_node('registered', "whatsapp_shared.databases = ''", "whatsapp_shared.app_secret = 'a-secret'");

create_extension($node, 'postgres');
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA app;
CREATE TABLE app.seen (what text, who name);
GRANT USAGE, CREATE ON SCHEMA app TO PUBLIC;
GRANT INSERT ON app.seen TO PUBLIC;
CREATE FUNCTION app.see(what text) RETURNS void LANGUAGE sql AS 'INSERT INTO app.seen VALUES (what, current_user)';
CREATE ROLE root SUPERUSER;
CREATE ROLE shop;
CREATE ROLE clerk IN ROLE shop;
CREATE ROLE stranger;
GRANT EXECUTE ON FUNCTION wa_on_reply, wa_off_reply TO shop, clerk, stranger;
SELECT wa_grant('shop', 'sender'), wa_grant('clerk', 'sender'), wa_assign_phone('t1', '100000000000001');
SQL

my $pressed = 0;

# A reply with this payload; who has run the handler, or why nobody has.
sub press
{
	my ($payload) = @_;
	my $wamid = 'wamid.R' . ++$pressed;
	my $body = sprintf '{"object": "whatsapp_business_account", "entry": [{"id": "3", "changes": [{"field": "messages",'
	  . ' "value": {"metadata": {"phone_number_id": "100000000000001"}, "messages": [{"from": "34611000001", "id": "%s",'
	  . ' "timestamp": "%d", "type": "button", "button": {"payload": "%s", "text": "Yes"}}]}}]}]}', $wamid, time, $payload;

	$node->safe_psql('postgres',
		"SELECT wa_webhook_ingest(decode('" . encode_base64($body, '') . "', 'base64'), 'sha256=" . hmac_sha256_hex($body, 'a-secret') . "')");
	return $node->safe_psql('postgres', <<"SQL");
WITH ran AS (DELETE FROM app.seen RETURNING who)
SELECT COALESCE((SELECT string_agg(DISTINCT who, ',') FROM ran), split_part(handler_error, E'\\n', 1))
FROM whatsapp_inbound_messages WHERE whatsapp_message_id = '$wamid'
SQL
}

sub as
{
	my ($role, $sql) = @_;
	return $node->safe_psql('postgres', "SET SESSION AUTHORIZATION $role; $sql");
}

sub handler
{
	my ($name, $how) = @_;
	return "CREATE OR REPLACE FUNCTION app.$name(reply jsonb) RETURNS void LANGUAGE sql @{[ $how // '' ]} AS \$\$ SELECT app.see('handler') \$\$";
}

sub error_of
{
	my ($role, $sql) = @_;
	my (undef, undef, $error) = $node->psql('postgres', "SET SESSION AUTHORIZATION $role; $sql");
	return $error;
}

# ---- the owner of a handler ----------------------------------------------------------------

as('shop', handler('confirm') . '; GRANT EXECUTE ON FUNCTION app.confirm TO clerk, stranger');
as('shop', "SELECT wa_on_reply('OWN', 'app.confirm(jsonb)')");
is(press('OWN'), 'shop', 'a handler runs as the role that owns and registered it');
as('root', "SELECT wa_on_reply('ROOT', 'app.confirm(jsonb)')");
is(press('ROOT'), 'shop', 'registered by a superuser, it runs as its owner');
as('clerk', "SELECT wa_on_reply('CLERK', 'app.confirm(jsonb)')");
is(press('CLERK'), 'shop', 'registered by a member of its owner, it runs as its owner');
as('clerk', handler('clerks') . '; GRANT EXECUTE ON FUNCTION app.clerks TO shop');
as('shop', "SELECT wa_on_reply('MEMBER', 'app.clerks(jsonb)')");
is(press('MEMBER'), 'shop', 'and if its owner has the rights of who registers it and more, with those');
like(error_of('stranger', "SELECT wa_on_reply('X', 'app.confirm(jsonb)')"), qr/function app.confirm\(jsonb\) belongs to role "shop"/,
	'a function of somebody else cannot be registered');
as('shop', handler('definer', 'SECURITY DEFINER'));
as('stranger', "SELECT wa_on_reply('DEFINER', 'app.definer(jsonb)')");
is(press('DEFINER'), 'shop', 'unless it is SECURITY DEFINER');
as('shop', 'ALTER FUNCTION app.definer(jsonb) SECURITY INVOKER');
like(press('DEFINER'), qr/42501: neither of the roles "stranger" and "shop" has the rights of the other/, 'and only as long as it is');
as('shop', 'ALTER FUNCTION app.definer(jsonb) SECURITY DEFINER; REVOKE EXECUTE ON FUNCTION app.definer FROM PUBLIC');
like(press('DEFINER'), qr/42501: permission denied for function definer/, 'and as long as the registrant may call it');
as('shop', "GRANT EXECUTE ON FUNCTION app.definer TO stranger");
is(press('DEFINER'), 'shop', 'which comes back with the right');

# ---- who the roles are ---------------------------------------------------------------------

$node->safe_psql('postgres', 'ALTER FUNCTION app.confirm(jsonb) OWNER TO root');
like(press('ROOT'), qr/42501: the handler is not owned by the role "shop"/, 'a handler with another owner is not run');
like($node->safe_psql('postgres', "SELECT handler_error FROM whatsapp_inbound_messages ORDER BY inbound_id DESC LIMIT 1"),
	qr/SELECT wa_on_reply\('ROOT', 'app.confirm\(pg_catalog.jsonb\)'\);/, 'and the row says how to register it again');
is($node->safe_psql('postgres', "SELECT detail || remedy FROM wa_health() WHERE item = 'reply handler ROOT'"),
	"Not run: owner changed.SELECT wa_on_reply('ROOT', 'app.confirm(pg_catalog.jsonb)');", 'as does wa_health()');
is($node->safe_psql('postgres', "SELECT state || ' ' || detail FROM wa_health() WHERE item = 'registered code'"),
	'error 5 reply handlers and 0 notifications, of which 3 are not run.', 'which counts them');
$node->safe_psql('postgres', 'SELECT wa_internal_check_registrations(); SELECT wa_internal_check_registrations()');
is($node->safe_psql('postgres', "SELECT string_agg(key || ' ' || occurrences, ', ' ORDER BY key) FROM whatsapp_alerts WHERE kind = 'registration' AND resolved_at IS NULL"),
	'CLERK 1, OWN 1, ROOT 1', 'an alert is raised for each, once');
$node->safe_psql('postgres', 'ALTER FUNCTION app.confirm(jsonb) OWNER TO shop; SELECT wa_internal_check_registrations()');
is($node->safe_psql('postgres', "SELECT count(*) FROM whatsapp_alerts WHERE kind = 'registration' AND resolved_at IS NULL"), '0', 'and closed when all is well');
is(press('ROOT'), 'shop', 'which it is again');

# The same name in the same schema, by somebody else.
as('clerk', 'DROP FUNCTION app.confirm(jsonb)');
as('stranger', handler('confirm') . '; GRANT EXECUTE ON FUNCTION app.confirm TO shop');
like(press('OWN'), qr/42501: neither of the roles/, 'a function of the same name by another role is not run for the registrant');
like(press('ROOT'), qr/42501: the handler is not owned by the role "shop"/, 'nor for a superuser');

# A role under an old name.
$node->safe_psql('postgres', 'DROP FUNCTION app.confirm(jsonb)');
$node->safe_psql('postgres', 'CREATE ROLE ada SUPERUSER');
as('ada', handler('old') . "; SELECT wa_on_reply('OLD', 'app.old(jsonb)')");
is(press('OLD'), 'ada', 'a handler of a role');
$node->safe_psql('postgres', 'ALTER FUNCTION app.old(jsonb) OWNER TO stranger; DROP ROLE ada; CREATE ROLE ada SUPERUSER');
like(press('OLD'), qr/42501: role "ada" is not the one that registered the handler/, 'is not run as another role of the same name');
$node->safe_psql('postgres', 'DROP ROLE ada');
like(press('OLD'), qr/42704: role "ada", which registered the handler, does not exist/, 'nor as none');
$node->safe_psql('postgres', 'CREATE ROLE ada');
as('stranger', "SELECT wa_on_reply('OLD', 'app.old(jsonb)')");
is(press('OLD'), 'stranger', 'and the new one holds the prefix against nobody');

# ---- the owner of a table ------------------------------------------------------------------

as('shop', 'CREATE TYPE app.note AS (text text)');
as('shop', 'CREATE TABLE app.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)');
as('clerk', "SELECT wa_create_notification('app.orders', 'order', '''t1''', '''+34600000001''', '[\"note\"]', condition => 'note::text <> ''''')");
as('shop', 'INSERT INTO app.orders (note) VALUES (\'x\')');
is($node->safe_psql('postgres', 'SELECT count(*) FROM whatsapp_messages'), '1', 'a notification sends');
as('shop', <<'SQL');
CREATE FUNCTION app.note_text(app.note) RETURNS text LANGUAGE sql AS $$ SELECT app.see('cast'); SELECT ($1).text $$;
CREATE CAST (app.note AS text) WITH FUNCTION app.note_text(app.note) AS IMPLICIT;
CREATE FUNCTION app.is_fine(text) RETURNS boolean LANGUAGE sql AS $$ SELECT app.see('domain'); SELECT true $$;
CREATE DOMAIN app.fine AS text CHECK (app.is_fine(VALUE));
CREATE CAST (app.note AS app.fine) WITH INOUT;
ALTER TABLE app.orders ALTER note TYPE app.note USING ROW(note)::app.note;
INSERT INTO app.orders (note) VALUES (ROW('y'));
SQL
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT who, ',') FROM app.seen WHERE what = 'cast'"), 'shop',
	'a cast that the owner of a table has made does not run as the member who made the notification');
is($node->safe_psql('postgres', 'SELECT count(*) FROM whatsapp_messages'), '2', 'and it sends all the same');
as('shop', 'TRUNCATE app.orders');
$node->safe_psql('postgres', 'TRUNCATE app.seen');

as('clerk', "SELECT wa_drop_notification('app.orders', 'order')");
as('root', "SELECT wa_create_notification('app.orders', 'order', '''t1''', '''+34600000001''', '[\"(note::app.fine)::text\"]')");
as('shop', "INSERT INTO app.orders (note) VALUES (ROW('z'))");
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT who, ',') FROM app.seen"), 'shop', 'nor does the constraint of a domain run as a superuser');

# Neither a table nor a role is what it was by having its name.
$node->safe_psql('postgres', 'ALTER TABLE app.orders OWNER TO stranger; GRANT ALL ON app.orders TO shop');
as('shop', "INSERT INTO app.orders (note) VALUES (ROW('z'))");
is($node->safe_psql('postgres', 'SELECT message FROM whatsapp_notification_failures ORDER BY failure_id DESC LIMIT 1'),
	'table "orders" is not owned by the role "shop" that owned it when this notification was created', 'a table with another owner sends nothing');
is($node->safe_psql('postgres', 'SELECT hint FROM whatsapp_notification_failures ORDER BY failure_id DESC LIMIT 1'),
	"Drop it with wa_drop_notification('app.orders', 'order'), and create it again with wa_create_notification().", 'and the row says what to do');
is($node->safe_psql('postgres', 'SELECT state FROM wa_notifications'), 'owner changed', 'as does the view');
$node->safe_psql('postgres', 'ALTER TABLE app.orders OWNER TO shop; CREATE ROLE bob SUPERUSER');
as('root', "SELECT wa_drop_notification('app.orders', 'order')");
as('bob', "SELECT wa_create_notification('app.orders', 'order', '''t1''', '''+34600000001''', '[\"''x''\"]')");
$node->safe_psql('postgres', 'DROP ROLE bob; CREATE ROLE bob SUPERUSER');
as('shop', "INSERT INTO app.orders (note) VALUES (ROW('z'))");
is($node->safe_psql('postgres', 'SELECT message FROM whatsapp_notification_failures ORDER BY failure_id DESC LIMIT 1'),
	'role "bob" is not the one that created this notification', 'nor does another role of the name that made it');
as('root', "SELECT wa_drop_notification('app.orders', 'order')");
as('shop', "SELECT wa_create_notification('app.orders', 'order', '''t1''', '''+34600000001''', '[\"''x''\"]')");

# ---- a dump --------------------------------------------------------------------------------

# OIDs mean nothing elsewhere: roles are found by name, if they are there.
my $dump = $node->backup_dir . '/dump.sql';
mkdir $node->backup_dir;
as('stranger', "SELECT wa_on_reply('MINE', 'app.old(jsonb)')");
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'the database is dumped');

my $other = new_node('other', "whatsapp_shared.databases = ''");
$other->safe_psql('postgres', 'CREATE ROLE filler' . join('', map { "; CREATE ROLE filler$_" } 1 .. 5));
$other->safe_psql('postgres', 'CREATE ROLE shop; CREATE ROLE clerk; CREATE ROLE root; CREATE ROLE ada');
$other->psql('postgres', "\\i $dump", on_error_stop => 0);
is($other->safe_psql('postgres', 'SELECT owner_oid = \'shop\'::regrole AND registered_by_oid = owner_oid FROM whatsapp_notifications'), 't',
	'restored in another cluster, roles are those of the same names');
is($other->safe_psql('postgres', 'SELECT state FROM wa_notifications'), 'active', 'and a notification goes on');
is($other->safe_psql('postgres', "SELECT registered_by_oid IS NULL FROM whatsapp_reply_handlers WHERE prefix = 'MINE'"), 't', 'a role that is not there is none');
$other->safe_psql('postgres', 'CREATE ROLE stranger SUPERUSER; ALTER FUNCTION app.old(jsonb) OWNER TO stranger');
is($other->safe_psql('postgres', "SELECT problem FROM wa_internal_refused_registrations() WHERE key = 'MINE'"), 'role replaced',
	'nor is one that is created under its name later');

done_testing();
