# Whose rights code runs with: what a caller brings along, in the session or in
# the transaction, never runs as somebody else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t/lib";

use Digest::SHA qw(hmac_sha256_hex);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension new_node);

my $node = new_node('rights', "whatsapp_shared.databases = ''", "whatsapp_shared.app_secret = 'a-secret'");

$node->safe_psql('postgres', 'CREATE SCHEMA wa; CREATE SCHEMA app');
create_extension($node, 'postgres', 'SCHEMA wa');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE app.seen (what text, who name);
GRANT USAGE ON SCHEMA app, wa TO PUBLIC;
GRANT INSERT, SELECT ON app.seen TO PUBLIC;
CREATE FUNCTION app.seen(what text) RETURNS void LANGUAGE sql AS 'INSERT INTO app.seen VALUES (what, current_user)';
SQL

# As a role, in one transaction; returns who has run the given thing meanwhile.
sub who_ran
{
	my ($what, $role, $sql) = @_;

	$node->safe_psql('postgres', "SET SESSION AUTHORIZATION $role; BEGIN; $sql; COMMIT");
	my $who = $node->safe_psql('postgres', "SELECT string_agg(DISTINCT who, ',') FROM app.seen WHERE what = '$what'");
	$node->safe_psql('postgres', 'TRUNCATE app.seen');
	return $who;
}

# ---- by name: operators on the caller's search_path --------------------------------------

# Everything that a statement could compare ids, texts, characters or times with.
my %types = (bigint => 'int8', text => 'text', '"char"' => 'char', timestamptz => 'timestamptz', smallint => 'int2', integer => 'int4');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE sender LOGIN;
SELECT wa.wa_grant('sender', 'sender');
GRANT EXECUTE ON FUNCTION wa.wa_retry_message TO sender;
INSERT INTO wa.whatsapp_tenants (tenant_id) VALUES ('t1');
SELECT wa.wa_assign_phone('t1', '100000000000001');
INSERT INTO wa.whatsapp_windows VALUES ('100000000000001', '+34611000001', now() + interval '1 day');
CREATE SCHEMA evil AUTHORIZATION sender;
SQL
foreach my $type (sort keys %types)
{
	$node->safe_psql('postgres', <<"SQL");
SET SESSION AUTHORIZATION sender;
CREATE FUNCTION evil.same($type, $type) RETURNS boolean LANGUAGE plpgsql AS
	\$\$ BEGIN PERFORM app.seen('operator'); RETURN $types{$type}eq(\$1, \$2); END \$\$;
CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = $type, RIGHTARG = $type);
CREATE FUNCTION evil.differ($type, $type) RETURNS boolean LANGUAGE plpgsql AS
	\$\$ BEGIN PERFORM app.seen('operator'); RETURN $types{$type}ne(\$1, \$2); END \$\$;
CREATE OPERATOR evil.<> (FUNCTION = evil.differ, LEFTARG = $type, RIGHTARG = $type);
SQL
}
my $path = 'SET search_path = evil, pg_catalog, public';
is(who_ran('operator', 'sender', "$path; SELECT 1::bigint = 1::bigint"), 'sender', 'the operators are those that a bare one means');
my $medium = $node->safe_psql('postgres', q{SELECT wa.wa_upload_media('t1', 'x', 'text/plain')});
my $enqueue = "SELECT wa.wa_enqueue_media('t1', '+34611000001', 'document', media => $medium)";
is(who_ran('operator', 'sender', "$path; $enqueue"), '', 'a file is sent without them');
my $id = $node->safe_psql('postgres', 'SELECT max(id) FROM wa.whatsapp_messages');
$node->safe_psql('postgres', "SELECT wa.wa_cancel_message($id)");
is(who_ran('operator', 'sender', "$path; SELECT wa.wa_retry_message($id)"), '', 'and put back with its file');
is($node->safe_psql('postgres', "SELECT status FROM wa.whatsapp_messages WHERE id = $id"), 'queued', 'which has happened');
is(who_ran('operator', 'sender', "SET plan_cache_mode = force_generic_plan; SELECT wa.wa_cancel_message($id); $path; SELECT wa.wa_retry_message($id)"),
	'', 'nor when the path changes after the plans were made');

# ---- pending: deferred triggers of the caller --------------------------------------------

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE handler LOGIN;
CREATE ROLE hook LOGIN;
GRANT CREATE ON SCHEMA app TO handler, hook;
GRANT EXECUTE ON FUNCTION wa.wa_on_reply TO handler;
SELECT wa.wa_grant('hook', 'webhook');
GRANT EXECUTE ON FUNCTION wa.wa_retry_reply TO hook;
SET SESSION AUTHORIZATION handler;
CREATE FUNCTION app.confirm(reply jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM app.seen('handler'); END $$;
SELECT wa.wa_on_reply('CONFIRM', 'app.confirm(jsonb)');
SQL

my $pressed = 0;

sub press
{
	my $body = sprintf '{"object": "whatsapp_business_account", "entry": [{"id": "3", "changes": [{"field": "messages",'
	  . ' "value": {"metadata": {"phone_number_id": "100000000000001"}, "messages": [{"from": "34611000001", "id": "wamid.R%d",'
	  . ' "timestamp": "%d", "type": "button", "button": {"payload": "CONFIRM", "text": "Yes"}}]}}]}]}', ++$pressed, time;

	return "SELECT wa.wa_webhook_ingest(decode('" . encode_base64($body, '') . "', 'base64'), 'sha256=" . hmac_sha256_hex($body, 'a-secret') . "')";
}

$node->safe_psql('postgres', <<'SQL');
SET SESSION AUTHORIZATION hook;
CREATE FUNCTION app.pending() RETURNS trigger LANGUAGE plpgsql AS $$ 
BEGIN
	PERFORM app.seen('pending');
	PERFORM app.seen('pending on ' || current_setting('search_path'));
	RETURN NULL;
END $$;
SQL
my $leave = <<'SQL';
SET search_path = app;
CREATE TEMP TABLE left_over (a int);
CREATE CONSTRAINT TRIGGER pending AFTER INSERT ON left_over DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pending();
INSERT INTO left_over VALUES (1)
SQL
is(who_ran('handler', 'hook', press()), 'handler', 'a handler runs as the role that registered it');
is(who_ran('pending', 'hook', "$leave; " . press()), 'hook', 'a deferred trigger that a webhook finds runs as the caller');
is(who_ran('pending on app', 'hook', "$leave; " . press()), 'hook', "on the caller's search_path");

sub press_among
{
	return press() =~ s/ingest\((decode\(.*?\)), ('.*?')\)/ingest_many(ARRAY[$1], ARRAY[$2])/r;
}
is(who_ran('handler', 'hook', press_among()), 'handler', 'of a webhook among others, too, a handler runs as the role that registered it');
is(who_ran('pending', 'hook', "$leave; " . press_among()), 'hook', 'and a deferred trigger as the caller');
my $reply = $node->safe_psql('postgres', 'SELECT max(inbound_id) FROM wa.whatsapp_inbound_messages');
is(who_ran('pending', 'hook', "$leave; SELECT wa.wa_retry_reply($reply)"), 'hook', 'and so does one that a retry finds');

# Not as the owner of a function that hands webhooks in for others, either.
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE gateway LOGIN;
SELECT wa.wa_grant('gateway', 'webhook');
GRANT CREATE ON SCHEMA app TO gateway;
SET SESSION AUTHORIZATION gateway;
CREATE FUNCTION app.take(body bytea, signature text) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS
	'SELECT wa.wa_webhook_ingest(body, signature)';
SQL
$pressed = 100;
is(who_ran('pending', 'hook', "$leave; " . (press() =~ s/wa\.wa_webhook_ingest/app.take/r)), 'hook', 'nor does one run as the owner of a function between');

# Its failure is the caller's, and not the handler's.
my ($code, undef, $error) = $node->psql('postgres', <<"SQL");
SET SESSION AUTHORIZATION hook;
BEGIN;
CREATE TEMP TABLE orders (id int PRIMARY KEY);
CREATE TEMP TABLE lines (id int REFERENCES orders DEFERRABLE INITIALLY DEFERRED);
INSERT INTO lines VALUES (1);
@{[ press() ]}
SQL
like($error, qr/violates foreign key constraint "lines_id_fkey"/, 'a deferred constraint of the caller fails the call');
is($node->safe_psql('postgres', 'SELECT count(*) FROM wa.whatsapp_inbound_messages WHERE handler_error IS NOT NULL'), '0', 'and no handler');

done_testing();
