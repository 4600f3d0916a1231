# The page of a tenant, in a browser, with a sender and the simulator behind it:
# test/browser/owner.mjs says what it must do, and asks here for what happens
# elsewhere.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

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
