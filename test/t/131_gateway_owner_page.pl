# The page of a tenant, in a browser, with a sender and the simulator behind it:
# test/browser/owner.mjs says what it must do, and asks here for what happens
# elsewhere.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Compress::Zlib qw(compress crc32);
use Digest::SHA qw(hmac_sha256_hex);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaBrowser qw(browser_wanted run_browser);
use WaDelivery qw(deliver_webhooks new_delivery);
use WaGateway;

plan skip_all => 'WA_BROWSER=no' unless browser_wanted();

my ($node, $sim) = new_delivery('owner_page', tenants => 3, simulator => ['--webhook-pull']);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# t1 is a bakery with a history, t2 has none yet, t3's platform has paused it; t4 has no number.
sql(<<'SQL');
UPDATE whatsapp_phone_numbers SET verified_name = 'Panadería Alba', display_phone_number = '+34 600 00 00 01'
    WHERE phone_number_id = '100000000000001';
UPDATE whatsapp_phone_numbers SET verified_name = 'Horno Trigal', display_phone_number = '+34 600 00 00 02'
    WHERE phone_number_id = '100000000000002';
SELECT wa_register_template('pedido_compra', l,
    '[{"type": "BODY", "text": "{{1}} te pide {{2}} para el {{3}}.", "example": {"body_text": [["Alba", "50 kg de harina", "lunes"]]}},
      {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Confirmar"}]}]')
    FROM unnest('{es,en_GB}'::text[]) AS l;
SELECT wa_configure_tenant('t4', is_new => true);
SELECT wa_pause('tenant', 't3');

CREATE FUNCTION history(ago interval, state text, order_number text, recipient text, kg text, day text, code integer DEFAULT NULL)
RETURNS bigint LANGUAGE sql AS $$
    WITH m AS (
        INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, template_name, template_language,
            payload, status, attempts, reference, error_code, created_at, scheduled_at, accepted_at, finished_at)
        VALUES ('t1', '100000000000001', recipient, 'template', 'pedido_compra', 'es', jsonb_build_object('components', jsonb_build_array(
            jsonb_build_object('type', 'body', 'parameters', jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'Panadería Alba'),
                jsonb_build_object('type', 'text', 'text', kg), jsonb_build_object('type', 'text', 'text', day))))),
            state, 1, order_number, code, now() - ago, now() - ago, now() - ago, now() - ago)
        RETURNING id)
    INSERT INTO whatsapp_wamids SELECT 'wamid.of.' || order_number, id FROM m RETURNING message_id
$$;
CREATE FUNCTION heard(ago interval, sender text, words text, order_number text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    SELECT wa_internal_store_inbound('{100000000000001}', ARRAY['wamid.in.' || gen_random_uuid()], '{text}', ARRAY[now() - ago], '{f}',
        ARRAY[sender], '{NULL}'::text[], ARRAY[(jsonb_build_object('type', 'text', 'text', jsonb_build_object('body', words))
            || COALESCE(jsonb_build_object('context', jsonb_build_object('id', 'wamid.of.' || order_number)), '{}'))::text], '{f}')
$$;
SELECT wa_internal_store_contacts('{34600000101,34600000102,34600000103}', array_fill(NULL::text, '{3}'), array_fill(NULL::text, '{3}'),
    '{Harinas Molino,Lácteos Sierra,Huevos Corral}', array_fill(NULL::text, '{3}'), array_fill(now(), '{3}'));
SELECT history('3 days', 'read', 'ALB-2038', '+34600000102', '12 l de nata', 'viernes');
SELECT heard('2 days 20 hours', '+34600000102', 'Recibido, gracias', 'ALB-2038');
SELECT history('1 day', 'failed', 'ALB-2040', '+34600000104', '30 kg de azúcar', 'jueves', 131026);
SELECT history('3 hours', 'delivered', 'ALB-2041', '+34600000103', '20 docenas de huevos', 'martes');
SELECT history('2 hours', 'read', 'ALB-2042', '+34600000101', '50 kg de harina de fuerza y 10 kg de centeno', 'lunes 30 de noviembre');
SELECT heard('50 minutes', '+34600000101', 'Confirmado. El centeno os lo llevo el martes, ¿os va bien?', 'ALB-2042');
SQL

sub ingest
{
	my $body = '{"object": "whatsapp_business_account", "entry": [{"id": "3", "changes": [' . $_[0] . ']}]}';

	sql("SELECT wa_webhook_ingest(convert_to('$body', 'UTF8'), 'sha256=" . hmac_sha256_hex($body, 'SIMULATOR_APP_SECRET') . "')");
	return;
}

# Files of t3's customers: a picture, a voice message (silence), what means harm, and one that was not fetched.
sub chunk { my ($type, $bytes) = @_; return pack('N', length $bytes) . $type . $bytes . pack 'N', crc32($type . $bytes) }
my $rows = join '', map { my $y = $_; "\0" . join '', map { pack 'C3', 200 - $y / 3, 140 + $_ / 8, 60 + $y / 2 } 1 .. 320 } 1 .. 240;
my $png = "\x89PNG\r\n\x1a\n" . chunk('IHDR', pack 'NNC5', 320, 240, 8, 2, 0, 0, 0) . chunk('IDAT', compress($rows)) . chunk('IEND', '');
my $mp3 = ("\xff\xfb\x90\x64" . "\0" x 413) x 80;
sql(<<'SQL');
CREATE FUNCTION sent_file(ago interval, sender text, type text, mime text, said jsonb, bytes bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    SELECT s.inbound_id INTO id FROM wa_internal_store_inbound('{100000000000003}', ARRAY['wamid.in.' || gen_random_uuid()], ARRAY[type], ARRAY[now() - ago], '{f}',
        ARRAY[sender], '{NULL}'::text[], ARRAY[jsonb_build_object('type', type, type, jsonb_build_object('id', '1', 'mime_type', mime) || said)::text], '{f}') AS s;
    IF bytes IS NOT NULL THEN
        INSERT INTO whatsapp_inbound_media (inbound_id, tenant_id, phone_number_id, media_id, status, ended_at, mime_type, size, sha256)
            VALUES (id, 't3', '100000000000003', '1', 'fetched', now(), mime, length(bytes), sha256(bytes));
        INSERT INTO whatsapp_inbound_media_pieces VALUES (id, 0, bytes);
    END IF;
    RETURN id;
END
$$;
SQL
sub sent_file
{
	my ($ago, $sender, $type, $mime, $said, $bytes) = @_;
	return sql("SELECT sent_file('$ago', '$sender', '$type', '$mime', '$said', " . (defined $bytes ? "'\\x" . unpack('H*', $bytes) . "'" : 'NULL') . ')');
}
sql("UPDATE whatsapp_phone_assignments SET assigned_at = now() - interval '1 year'");
sent_file('40 minutes', '+34600000101', 'image', 'image/png', '{"caption": "Así ha llegado la harina"}', $png);
sent_file('39 minutes', '+34600000101', 'audio', 'audio/mpeg', '{"voice": true}', $mp3);
sent_file('38 minutes', '+34600000101', 'document', 'text/html', '{"filename": "carta.html"}', '<script>document.title = "evil"</script>');
my $unfetched = sent_file('37 minutes', '+34600000102', 'image', 'image/png', '{}', undef);
sql("SELECT wa_internal_store_inbound('{100000000000003}', '{wamid.bsuid}', '{text}', ARRAY[now() - interval '30 minutes'], '{f}', '{NULL}'::text[], '{ES.9081726354}',"
	  . " ARRAY['{\"type\": \"text\", \"text\": {\"body\": \"¿Me apuntas dos hogazas?\"}}'], '{f}')");

my $gateway = WaGateway->start($node, arguments => [ '--frame-ancestors' => 'https://panaderias.example' ]);

sub link_of
{
	my ($tenant) = @_;
	my $link = sql("SELECT wa_tenant_link('$tenant')");

	$ENV{ 'WA_LINK_' . uc $tenant } = $link;
	return $link;
}
link_of($_) foreach qw(t1 t2 t3 t4);
link_of('t1') =~ /key=(.*)/;
my $revocable = $1;

sub enabled { return sql("SELECT enabled FROM whatsapp_tenants WHERE tenant_id = 't1'") }

run_browser(
	$gateway,
	'owner.mjs',
	'it is off in the database' => sub { is(enabled(), 'f', 'the database has it: off') },
	'it is on in the database' => sub { is(enabled(), 't', 'the database has it: on') },
	'quiet hours are in the database' => sub {
		is(sql("SELECT quiet_from, quiet_to, language FROM whatsapp_tenants WHERE tenant_id = 't1'"), '22:30:00|06:15:00|en_GB', 'the database has the settings');
	},
	'no quiet hours are in the database' => sub {
		is(sql("SELECT quiet_from IS NULL FROM whatsapp_tenants WHERE tenant_id = 't1'"), 't', 'the database has no quiet hours any more');
	},
	'one test has been sent' => sub {
		ok($node->poll_query_until('postgres',
			"SELECT count(*) = 1 AND bool_and(whatsapp_message_id IS NOT NULL) FROM whatsapp_messages WHERE recipient_phone = '+34600111222'"),
			'one test message has reached the Graph API');
		deliver_webhooks($node, $sim);
	},
	'one answer has been sent' => sub {
		ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 AND bool_and(whatsapp_message_id IS NOT NULL) FROM whatsapp_messages
			WHERE recipient_phone = '+34600000101' AND payload ->> 'body' = 'Sí, el martes nos va bien.' AND reference = 'ALB-2042'}),
			'one answer has reached the Graph API, of the order');
	},
	'a supplier answers' => sub {
		ingest('{"field": "messages", "value": {"metadata": {"phone_number_id": "100000000000001"},'
			  . '"contacts": [{"wa_id": "34600000101", "profile": {"name": "Harinas Molino"}}],'
			  . '"messages": [{"id": "wamid.perfecto", "from": "34600000101", "timestamp": "'
			  . time
			  . '", "type": "text", "text": {"body": "Perfecto, hasta el martes"}}]}}');
	},
	'the file cannot be fetched, and then comes' => sub {
		ok($node->poll_query_until('postgres', "SELECT status = 'failed' FROM whatsapp_inbound_media WHERE inbound_id = $unfetched"), 'it was asked for');
		sql("INSERT INTO whatsapp_inbound_media_pieces SELECT $unfetched, p.from_byte, p.bytes FROM whatsapp_inbound_media_pieces AS p"
			  . " JOIN whatsapp_inbound_media AS m USING (inbound_id) WHERE m.mime_type = 'image/png' AND m.status = 'fetched' LIMIT 1");
		sql("UPDATE whatsapp_inbound_media SET status = 'fetched', size = m.size, sha256 = m.sha256, mime_type = m.mime_type"
			  . " FROM (SELECT * FROM whatsapp_inbound_media WHERE mime_type = 'image/png' AND status = 'fetched') AS m WHERE whatsapp_inbound_media.inbound_id = $unfetched");
	},
	'nothing has been read' => sub {
		is(sql("SELECT count(*) FROM whatsapp_inbound_messages WHERE tenant_id = 't3' AND read_at IS NOT NULL"), '0', 'nothing is marked as read');
	},
	'somebody else writes' => sub {
		sql("SELECT wa_internal_store_inbound('{100000000000003}', '{wamid.late}', '{text}', ARRAY[now()], '{f}', '{+34600000103}', '{NULL}'::text[],"
			  . " ARRAY['{\"type\": \"text\", \"text\": {\"body\": \"¿Abrís mañana?\"}}'], '{f}')");
	},
	'the late message is unread' => sub { is(sql("SELECT read_at IS NULL FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.late'"), 't', 'it is not read yet') },
	'the late message is read' => sub {
		ok($node->poll_query_until('postgres', "SELECT read_at IS NOT NULL FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.late'"), 'it is read');
	},
	'receipts are off in the database' => sub { is(sql("SELECT read_receipts FROM whatsapp_tenants WHERE tenant_id = 't3'"), 'f', 'the database has it: no receipts') },
	'the link expires' => sub { sql("UPDATE whatsapp_tenant_links SET expires_at = now() WHERE tenant_id = 't2'") },
	'the links are revoked' => sub { sql("SELECT wa_revoke_links('t1')"); link_of('t1') },
	'the database goes away' => sub { $node->stop },
	'the database comes back' => sub {
		$node->start;
		$gateway->wait_until_ready;
	});

my @secrets = map { /key=(.*)/ ? $1 : () } @ENV{ grep { /^WA_LINK_/ } keys %ENV };

unlike($gateway->read_file('access.log') . $gateway->stderr, qr/\Q$_\E/, 'no key is in the logs of the gateway') foreach $revocable, @secrets;
unlike(slurp_file($node->logfile), qr/wal_[A-Za-z0-9_-]{20}/, 'nor in that of the server');

done_testing();
