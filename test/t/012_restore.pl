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
$node->safe_psql('postgres', q{CREATE DATABASE original; CREATE DATABASE restored; CREATE ROLE app; CREATE ROLE bakery; CREATE ROLE watcher; CREATE ROLE horno_app; CREATE DATABASE data_only});
$node->safe_psql('original', 'CREATE SCHEMA "our messages"; CREATE EXTENSION whatsapp_shared SCHEMA "our messages"');
$node->safe_psql('postgres', q{ALTER DATABASE original SET search_path = "our messages"; ALTER DATABASE restored SET search_path = "our messages"; ALTER DATABASE data_only SET search_path = "our messages"});
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

# A row, at least, in every table; by the functions that write them, where those need no process.
$node->safe_psql(
	'original', <<'SQL');
SELECT wa_internal_know('+34600000011', 'ES.11', NULL, now()), wa_internal_change_identity(NULL, 'ES.11', NULL, '+34600000012', 'ES.12', NULL, now()),
    wa_internal_store_contacts('{34600000015}', '{ES.15}', '{ES.ENT.15}', '{Ana}', '{ana.pan}', ARRAY[now()]),
    wa_opt_out('panaderia', '+34600000013'), wa_opt_out('panaderia', 'ES.12'), wa_opt_in('panaderia', '+34600000014');
SELECT FROM wa_internal_store_inbound('{100000000000001,100000000000001,100000000000001}', '{wamid.in1,wamid.in2,wamid.in3}', '{image,reaction,text}',
    ARRAY[now(), now(), now()], '{false,false,false}', '{+34600000012,+34600000012,NULL}', '{ES.12,NULL,ES.15}',
    ARRAY['{"type": "image", "image": {"id": "11", "mime_type": "image/png", "caption": "foto"}}', '{"type": "reaction", "reaction": {"message_id": "wamid.unknown", "emoji": "x"}}',
        '{"type": "text", "text": {"body": "BAJA"}}'], '{false,false,true}');
SELECT wa_internal_note_handovers('{100000000000001}', '{+34600000015}', '{NULL}', ARRAY[now()], '{true}'), wa_mark_read(min(inbound_id)), wa_fetch_media(min(inbound_id))
    FROM whatsapp_inbound_messages WHERE media_id IS NOT NULL;
SELECT wa_internal_store_inbound_media(inbound_id, 0, '\x89504e47'), wa_internal_inbound_media_fetched(inbound_id, 4, encode(sha256('\x89504e47'), 'hex'), 'image/png')
    FROM whatsapp_inbound_media;
SELECT wa_internal_store_app_messages('smb_message_echoes', '{"metadata": {"phone_number_id": "100000000000001"}, "message_echoes": [{"to": "34600000012",
    "id": "wamid.echo", "type": "text", "text": {"body": "hola"}}]}', now()), wa_internal_account_event('account_review_update', '{"decision": "APPROVED"}', now());
SELECT wa_register_template('aviso', 'es', '[{"type": "BODY", "text": "{{1}}"}]'), wa_tenant_link('panaderia'), wa_grant('horno_app', 'tenant', 'horno'), wa_erase_person('+34600000019');
SELECT wa_enqueue_text('panaderia', '+34600000012', 'hola', fallback_template => 'aviso', fallback_parameters => '["hola"]');
SELECT wa_enqueue_media('panaderia', '+34600000012', 'image', media => wa_upload_media('panaderia', '\x89504e470d0a1a0a', 'image/png'));
CREATE TABLE orders (id integer PRIMARY KEY, tenant text, phone text);
CREATE FUNCTION answered(jsonb) RETURNS void LANGUAGE sql AS '';
SELECT wa_create_notification('orders', 'aviso', 'tenant', 'phone', '["id"]'), wa_on_reply('ORDER:', 'answered(jsonb)');
INSERT INTO whatsapp_parked_events (fingerprint, kind, reason, event) VALUES ('\x01', 'message', 'type_missing', '{"id": "x"}');
INSERT INTO whatsapp_learned_identities (recipient, identity) VALUES ('+5215511112222', '+525511112222');
INSERT INTO whatsapp_early_replies SELECT inbound_id, 'wamid.unknown', now(), now() FROM whatsapp_inbound_messages WHERE message_type = 'reaction' ON CONFLICT DO NOTHING;
INSERT INTO whatsapp_wamids (whatsapp_message_id, message_id) VALUES ('wamid.1', 1);
INSERT INTO whatsapp_attempts (message_id, attempt, outcome) VALUES (1, 1, 'retryable');
INSERT INTO whatsapp_reach VALUES ('+34600000012', 'panaderia', now(), 0);
INSERT INTO whatsapp_webhook_traffic VALUES ('100000000000001', now());
INSERT INTO whatsapp_usage_days VALUES (current_date, 'panaderia', '100000000000001', 'Spain', 'utility', false, 7);
INSERT INTO whatsapp_usage_changes (day, tenant_id, phone_number_id, market, category, free, messages) VALUES (current_date, 'panaderia', '100000000000001', 'Spain', 'utility', false, 1);
INSERT INTO whatsapp_usage_closed (through) VALUES (current_date) ON CONFLICT DO NOTHING;
INSERT INTO whatsapp_late_deliveries VALUES (1);
INSERT INTO whatsapp_sizes VALUES (now(), 1);
SELECT wa_register_node('b', 'https://node-b.example/webhook'), wa_assign_number_to_node('100000000000077', 'b');
INSERT INTO whatsapp_forwards (node, has_words, parts, size, entry) VALUES ('b', true, 1, 2, '{}');
INSERT INTO whatsapp_events (actor, kind, scope) VALUES ('somebody', 'pause', 'tenant');
INSERT INTO whatsapp_notification_failures (notification_id, notification, relation, table_owner, event, sqlstate, message) VALUES ('x', 'x', 'orders', 'app', 'INSERT', '22023', 'x');
SQL

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('original') ], 'pg_dump');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ],
	'restored without an error');

# The rows alone, into an extension that somebody has made there.
my $rows = $node->basedir . '/rows.sql';
$node->safe_psql('data_only', 'CREATE SCHEMA "our messages"; CREATE EXTENSION whatsapp_shared SCHEMA "our messages"; CREATE TABLE orders (id integer PRIMARY KEY, tenant text, phone text)');
$node->command_ok([ 'pg_dump', '--data-only', '-f', $rows, '-d', $node->connstr('original') ], 'pg_dump --data-only');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $rows, '-d', $node->connstr('data_only') ],
	'its rows are loaded without an error');

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

# Every table, row by row, and every sequence.
sub everything
{
	my ($database) = @_;
	return $node->safe_psql($database, <<'SQL');
CREATE FUNCTION pg_temp.everything() RETURNS TABLE (name text, n bigint, hash text) LANGUAGE plpgsql AS $$
DECLARE
    member record;
BEGIN
    FOR member IN
        SELECT c.oid::regclass AS name, c.relname, c.relkind FROM pg_extension AS e, pg_class AS c
        WHERE e.extname = 'whatsapp_shared' AND c.oid = ANY (e.extconfig) AND c.relname NOT IN ('whatsapp_installation', 'whatsapp_events')
        ORDER BY c.relname
    LOOP
        RETURN QUERY EXECUTE format(CASE member.relkind
            WHEN 'S' THEN 'SELECT %L::text, last_value, is_called::text FROM %s'
            ELSE 'SELECT %L::text, count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C")) FROM %s AS t' END, member.relname, member.name);
    END LOOP;
END $$;
SELECT * FROM pg_temp.everything()
UNION ALL SELECT conname, 1, convalidated::text FROM pg_constraint WHERE contype = 'f' AND conname LIKE 'whatsapp%' ORDER BY 1, 2;
SQL
}
my $everything = everything('original');
is(join(' ', $everything =~ /^(\w+)\|0\|$/mg), '', 'no table is empty');
is(everything('restored'), $everything, 'everything is the same after the restore');
is(everything('data_only'), $everything, 'and where the rows alone were loaded');

my $installation = $node->safe_psql('original', 'SELECT i::text FROM whatsapp_installation AS i');
like($node->safe_psql('restored', 'SELECT i::text FROM whatsapp_installation AS i'), qr/^\Q$installation\E$/m, 'the installation has come along');
same_in_both(
	q{SELECT c.relname, a.grantee::regrole, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
		WHERE a.grantee::regrole::text IN ('app', 'bakery', 'watcher')
	  UNION ALL
	  SELECT p.oid::regprocedure::text, a.grantee::regrole, a.privilege_type FROM pg_proc p, aclexplode(p.proacl) a
		WHERE a.grantee::regrole::text IN ('app', 'bakery', 'watcher')
	  ORDER BY 1, 2, 3}, 'rights');

is($node->safe_psql('restored', q{SELECT wa_enqueue_payload('panaderia', '+34600000012', 'text', '{"body": "otra"}')}),
	5, 'numbering goes on where it was');
is($node->safe_psql('restored', q{SET ROLE bakery; SELECT count(*) FROM whatsapp_messages}), 0, "a tenant's role sees nothing");
is($node->safe_psql('restored', q{SET ROLE bakery; SET whatsapp_shared.tenant = 'horno'; SELECT count(*) FROM whatsapp_messages}),
	1, "but its tenant's messages, as before");
is($node->safe_psql('restored', 'SELECT reason FROM wa_explain(2)'), 'clone_not_adopted', 'and the copy knows that it is one');

# What was on the wire is in doubt, and not sent again.
is($node->safe_psql('restored', 'SELECT reason FROM wa_explain(1)'), 'on_the_wire', 'the intent to send has come along');

$node->stop;
done_testing();
