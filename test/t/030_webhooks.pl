# wa_webhook_ingest() as the gateway calls it: secrets and their rotation, a
# role that may do nothing else, several sessions at once, large bodies, and
# databases in another encoding.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256_hex);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension fails_like logged_nothing_bad new_node set_and_reload);

my $node = new_node('webhooks', "whatsapp_shared.databases = ''", 'deadlock_timeout = 100ms');
create_extension($node, 'postgres');

# SQL that hands a body in, signed by another program than ours.
sub ingest
{
	my ($body, $secret) = @_;
	my $bytes = encode_base64($body, '');

	return "wa_webhook_ingest(decode('$bytes', 'base64'), 'sha256=" . hmac_sha256_hex($body, $secret) . "')";
}

sub envelope
{
	my (@statuses) = @_;
	return '{"object":"whatsapp_business_account","entry":[{"id":"3","changes":[{"field":"messages","value":'
	  . '{"metadata":{"phone_number_id":"100000000000001"},"statuses":['
	  . join(',', @statuses)
	  . ']}}]}]}';
}

my $installation = $node->safe_psql('postgres', 'SELECT installation_id FROM whatsapp_installation');

sub status
{
	my ($id, $word, $time) = @_;
	return qq({"id":"wamid.$id","status":"$word","timestamp":"$time","recipient_id":"34600000001",)
	  . qq("biz_opaque_callback_data":"wa1:$installation:$id:1"});
}

my $empty = envelope();
my $total = q{ ->> 'applied'};

# ---- secrets ------------------------------------------------------------------

fails_like($node, 'postgres', 'SELECT ' . ingest($empty, 'any'), '55000',
	qr/parameter "whatsapp_shared.app_secret" is not set/, 'without a secret nothing is accepted');
fails_like($node, 'postgres', q{SELECT wa_webhook_challenge('subscribe', 'a', '1')}, '55000',
	qr/parameter "whatsapp_shared.webhook_verify_token" is not set/, 'nor is a handshake');

# New sessions have the new secrets when this returns.
sub use_secrets
{
	my ($secrets) = @_;
	my $before = $node->safe_psql('postgres', 'SELECT pg_conf_load_time()');

	set_and_reload($node, app_secret => $secrets);
	$node->poll_query_until('postgres', "SELECT pg_conf_load_time() > '$before'") or die 'no reload';
	return;
}

use_secrets('old-secret');
fails_like($node, 'postgres', 'SELECT ' . ingest($empty, 'new-secret'), '28000',
	qr/invalid webhook signature/, 'a secret that is not known');
use_secrets('new-secret, old-secret');
is($node->safe_psql('postgres', 'SELECT ' . ingest($empty, 'new-secret') . $total), '0', 'the new secret');
is($node->safe_psql('postgres', 'SELECT ' . ingest($empty, 'old-secret') . $total), '0', 'during a rotation both are accepted');
use_secrets('new-secret');
fails_like($node, 'postgres', 'SELECT ' . ingest($empty, 'old-secret'), '28000', qr/invalid webhook signature/, 'and then only the new one');

# ---- the gateway's role ----------------------------------------------------------

$node->safe_psql('postgres', q{
	CREATE ROLE gateway LOGIN;
	SELECT wa_grant('gateway', 'webhook');
	CREATE SCHEMA trap AUTHORIZATION gateway;
	INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
	INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, attempts, whatsapp_message_id, accepted_at, finished_at)
		SELECT 'panaderia', '100000000000001', '+34600000001', 'text', '{}', 'accepted', 1, 'wamid.' || n, clock_timestamp(), clock_timestamp() FROM generate_series(1, 1000) n;
	INSERT INTO whatsapp_wamids SELECT whatsapp_message_id, id FROM whatsapp_messages});

my $as_gateway = 'SET ROLE gateway; ';
is($node->safe_psql('postgres', $as_gateway . 'SELECT ' . ingest(envelope(status(1, 'sent', 1764000000)), 'new-secret') . $total),
	'1', 'the gateway hands webhooks in');
fails_like($node, 'postgres', $as_gateway . 'SELECT status FROM whatsapp_messages', '42501', qr/permission denied/, 'and reads nothing');
fails_like($node, 'postgres', $as_gateway . 'SELECT wa_internal_rematch()', '42501', qr/permission denied/, 'nor does it call anything else');

# Operators and functions of its own, in front of ours.
$node->safe_psql('postgres', q{
	SET ROLE gateway;
	CREATE FUNCTION trap.trap(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
	CREATE FUNCTION trap.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
	CREATE OPERATOR trap.= (FUNCTION = trap.trap, LEFTARG = bigint, RIGHTARG = bigint);
	CREATE OPERATOR trap.= (FUNCTION = trap.trap, LEFTARG = text, RIGHTARG = text)});
is( $node->safe_psql('postgres',
		$as_gateway
		  . 'SET search_path = trap, public, pg_catalog; SELECT '
		  . ingest(envelope(status(1, 'delivered', 1764000001), status(2, 'read', 1764000001), '{}'), 'new-secret')
		  . $total),
	'2',
	'and cannot put its own code in place of ours');

# ---- sessions side by side ---------------------------------------------------------

# Each client takes the statuses of all messages in an order of its own.
my @bodies;
foreach my $n (1 .. 24)
{
	my ($word, $time) = @{ [ [ 'sent', 1764000000 ], [ 'delivered', 1764000001 ], [ 'read', 1764000002 ] ]->[ $n % 3 ] };
	my @ids = sort { (($a * 7919 + $n * 104729) % 1009) <=> (($b * 7919 + $n * 104729) % 1009) } 1 .. 200;
	push @bodies, ingest(envelope(map { status($_, $word, $time) } @ids), 'new-secret');
}
my $n = 0;
$node->pgbench(
	'--no-vacuum --client=6 --transactions=12',
	0,
	[qr{processed: 72/72}],
	[qr{^$}],
	'six sessions take in statuses of the same messages',
	{ map { sprintf('030_body_%02d', $n++) => "SELECT $_;" } @bodies });
$node->safe_psql('postgres', "SELECT $_") foreach @bodies[ 0 .. 2 ];
is( $node->safe_psql('postgres', q{SELECT status, count(*), count(*) FILTER (WHERE (sent_at, delivered_at, read_at)
		= (to_timestamp(1764000000), to_timestamp(1764000001), to_timestamp(1764000002))) FROM whatsapp_messages WHERE id <= 200 GROUP BY 1}),
	'read|200|199',
	'and all of them are read, at the right times');

# A session that waits for another's row merges with what that one has written.
my $first = $node->background_psql('postgres');
my $second = $node->background_psql('postgres');
$first->query_safe('BEGIN; SELECT ' . ingest(envelope(status(300, 'delivered', 1764000005)), 'new-secret'));
$second->query_until(qr/started/, '\echo started' . "\nSELECT " . ingest(envelope(status(300, 'sent', 1764000004)), 'new-secret') . ";\n");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'});
$first->query_safe('COMMIT');
$second->quit;
$first->quit;
is( $node->safe_psql('postgres', q{SELECT status, EXTRACT(epoch FROM sent_at)::bigint, EXTRACT(epoch FROM delivered_at)::bigint FROM whatsapp_messages WHERE id = 300}),
	'delivered|1764000004|1764000005',
	'two that meet at one row lose nothing');

# ---- as much as Meta sends -------------------------------------------------------

my $padding = 'x' x 2900;
my @many = map { status($_, 'read', 1764000009) =~ s/}$/,"padding":"$padding"}/r } 1 .. 1000;
my $large = envelope(@many);
cmp_ok(length $large, '>', 3_000_000, 'a thousand statuses in three megabytes');
$node->safe_psql('postgres', 'CREATE TABLE large (body bytea, signature text)');
append_to_file($node->basedir . '/large.sql', 'INSERT INTO large SELECT ' . (ingest($large, 'new-secret') =~ s/^wa_webhook_ingest\((.*)\)$/$1/sr) . ";\n");
$node->command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', $node->basedir . '/large.sql' ], 'are stored');
is($node->safe_psql('postgres', "SELECT wa_webhook_ingest(body, signature) $total FROM large"), '800', 'and taken in');
is($node->safe_psql('postgres', "SELECT wa_webhook_ingest(body, signature) ->> 'duplicate' FROM large"), '1000', 'once');
is($node->safe_psql('postgres', q{SELECT status, count(*) FROM whatsapp_messages GROUP BY 1}), 'read|1000', 'all are read');

# ---- another encoding ---------------------------------------------------------------

$node->safe_psql('postgres', q{CREATE DATABASE latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
create_extension($node, 'latin1');
fails_like($node, 'latin1', 'SELECT ' . ingest($empty, 'new-secret'), '0A000',
	qr/webhooks need a database with the encoding UTF8/, 'a database that cannot store what customers write says so');

logged_nothing_bad($node, 'nothing else went wrong, no deadlock among it',
	qr/is not set|invalid webhook signature|permission denied|encoding UTF8/);
done_testing();
