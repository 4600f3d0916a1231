# Files of customers: fetched once, whole, and beside the messages; through servers that
# hang, lie and send too much, and through the death of the process that fetches them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled deliver_webhooks);
use WaTest qw(sender_pids set_and_reload logged_nothing_bad);

my ($node, $sim) = new_delivery(
	'inbound_media',
	simulator => ['--webhook-pull'],
	settings => [
		'restart_after_crash = on', "whatsapp_shared.max_attempts = 3", "whatsapp_shared.request_timeout = '20s'",
		"whatsapp_shared.fetch_media_max_size = '1500kB'", "whatsapp_shared.retry_delay = '1h'"
	]);
my $http = HTTP::Tiny->new(timeout => 30);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A file that Meta has, as from a customer; its id and its bytes.
sub at_meta
{
	my ($seed, $size) = @_;
	my $bytes = "%PDF-1.7 $seed\r\n\0\xff" . chr(65 + length $seed) x ($size // 5000);
	my $boundary = 'b-b-b';
	my $form = join '',
	  map { "--$boundary\r\nContent-Disposition: form-data; name=\"$_->[0]\"$_->[1]\r\n\r\n$_->[2]\r\n" } (
		[ 'messaging_product', '', 'whatsapp' ],
		[ 'type', '', 'application/pdf' ],
		[ 'file', "; filename=\"f.pdf\"\r\nContent-Type: application/pdf", $bytes ]);
	my $response = $http->post(
		$sim->url . '/v25.0/100000000000001/media',
		{
			headers => {
				Authorization => 'Bearer SIMULATOR_TOKEN',
				'Content-Type' => "multipart/form-data; boundary=$boundary"
			},
			content => "$form--$boundary--\r\n"
		});
	return (JSON::PP::decode_json($response->{content})->{id}, $bytes);
}

# A customer's message with a file, to a tenant's number, as webhooks store it.
sub came
{
	my ($tenant, $media) = @_;
	return sql("INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone,"
		  . " message_type, payload, sent_at, media_id, mime_type) VALUES ('wamid.$tenant.$media', 't$tenant',"
		  . " '10000000000000$tenant', '+34600112233', 'document', '{}', now(), '$media', 'application/pdf') RETURNING inbound_id");
}

sub fetch { return sql("SELECT wa_fetch_media($_[0])") }
sub hurry { return sql("UPDATE whatsapp_inbound_media SET next_attempt_at = now() WHERE status = 'wanted'; SELECT wa_internal_wake_due(now())") }

sub becomes
{
	my ($inbound, $condition, $what) = @_;
	return wait_for($node, "SELECT $condition FROM whatsapp_inbound_media WHERE inbound_id = $inbound", $what)
	  || diag(sql("SELECT to_jsonb(m) FROM whatsapp_inbound_media AS m WHERE inbound_id = $inbound"));
}

sub is_stored
{
	my ($inbound, $bytes, $what) = @_;
	becomes($inbound, "status = 'fetched'", $what);
	is(sql("SELECT encode(content, 'hex') FROM wa_media_content($inbound)"), unpack('H*', $bytes), '... byte by byte');
	return;
}

# ---- after COMMIT, by setting and on request ----

my ($id, $bytes) = at_meta('asked');
my $asked = came(1, $id);
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe("SELECT wa_fetch_media($asked)");
wait_status($node, enqueue($node, 't1', '+34600112299'), 'accepted', 'while the transaction is open the number sends');
is(sql('SELECT count(*) FROM whatsapp_inbound_media'), 0, 'and nothing is fetched');
$session->query_safe('COMMIT');
$session->quit;
is_stored($asked, $bytes, 'it is after COMMIT');

sql('ALTER DATABASE postgres SET whatsapp_shared.fetch_media = on');
($id, $bytes) = at_meta('by setting');
$sim->inbound(number => '100000000000001', from => '+34600112233', type => 'document',
	document => { id => $id, mime_type => 'application/pdf', filename => 'pedido.pdf' });
deliver_webhooks($node, $sim);
my $by_setting = sql("SELECT inbound_id FROM whatsapp_inbound_messages WHERE media_id = '$id'");
is_stored($by_setting, $bytes, 'with the setting the webhook is enough');

# A dead process has left two pieces of other bytes, the second beyond where the first begins now.
($id, $bytes) = at_meta('in pieces', 1_300_001);
my $in_pieces = came(1, $id);
sql("INSERT INTO whatsapp_inbound_media (inbound_id, phone_number_id, media_id, next_attempt_at) VALUES ($in_pieces, '100000000000001', '$id', 'infinity');"
	  . " INSERT INTO whatsapp_inbound_media_pieces VALUES ($in_pieces, 0, 'old'), ($in_pieces, 3, 'old')");
hurry();
is_stored($in_pieces, $bytes, 'a large one is stored in pieces, whatever an attempt before has left');
is(sql("SELECT string_agg(from_byte::text, ' ' ORDER BY from_byte) FROM whatsapp_inbound_media_pieces WHERE inbound_id = $in_pieces"), '0 524288 1048576', '... one in each turn of the sender');

# ---- what must not be stored, and what is tried again ----

my @bad = (
	[ 'other bytes than announced', { reply => 'corrupt' }, qr/SHA-256/ ],
	[ 'more than announced', { reply => 'oversized', bytes => 100_000 }, qr/bytes came in place of/ ],
	[ 'more than the limit', { reply => 'oversized', bytes => 2_000_000 }, qr/too large/ ],
	[ 'an address that has expired', { code => 100, status => 404 }, qr/HTTP status 404/ ],
	[ 'a page of a proxy', { reply => 'html' }, qr/HTTP status 502/ ],
	[ 'half of it', { cut => 'answer', bytes => 1000 }, qr/./ ]);
for my $case (@bad)
{
	my ($what, $fault, $reason) = @$case;
	($id, $bytes) = at_meta($what);
	my $inbound = came(1, $id);
	$sim->faults({ match => { edge => 'content' }, times => 1, %$fault });
	fetch($inbound);
	becomes($inbound, "status = 'wanted' AND attempts = 1 AND reason IS NOT NULL", "$what: it is not stored");
	like(sql("SELECT reason FROM whatsapp_inbound_media WHERE inbound_id = $inbound"), $reason, '... and the row says why');
	hurry();
	is_stored($inbound, $bytes, '... it is by the next attempt');
}
$sim->faults();
($id) = at_meta('large', 1600 * 1024);
my $large = came(1, $id);
fetch($large);
becomes($large, "status = 'skipped' AND size > 1600000 AND reason ~ 'max_size'", 'what is announced as too large is not begun');
my $unknown = came(1, '123456789');
fetch($unknown);
becomes($unknown, "status = 'failed' AND attempts = 1", 'what Meta does not have is not asked for again');
my $forged = came(1, '1/../2');
fetch($forged);
becomes($forged, "status = 'failed'", 'an ID that is none goes into no address');

# ---- what hangs delays nobody ----

$sim->faults({ match => { edge => 'content' }, reply => 'hang', times => 1 });
($id, $bytes) = at_meta('hangs');
my $hangs = came(1, $id);
fetch($hangs);
wait_for($node, "SELECT attempts = 1 FROM whatsapp_inbound_media WHERE inbound_id = $hangs", 'a file hangs');
my ($next_id, $next_bytes) = at_meta('behind');
my $behind = came(1, $next_id);
fetch($behind);
wait_status($node, enqueue($node, 't1', '+34600112211'), 'accepted', 'messages of the same number go on');
wait_status($node, enqueue($node, 't2', '+34600112211'), 'accepted', 'and of another');
my ($other_id, $other_bytes) = at_meta('other');
my $other = came(2, $other_id);
fetch($other);
is_stored($other, $other_bytes, 'and so do files of another');
is(sql("SELECT attempts FROM whatsapp_inbound_media WHERE inbound_id = $behind"), 0, 'the number that hangs has one of two places');

# ---- kill -9 in the middle ----

my ($pid) = sender_pids($node, 'postgres');
kill 'KILL', $pid;
$node->poll_query_until('postgres', "SELECT count(*) = 1 AND bool_and(pid <> $pid) FROM wa_stats() WHERE pid IS NOT NULL");
$sim->release;
hurry();
is_stored($hangs, $bytes, 'after kill -9 it is fetched again');
is_stored($behind, $next_bytes, 'and what was behind it');
is(sql("SELECT attempts >= 2 FROM whatsapp_inbound_media WHERE inbound_id = $hangs"), 't', 'by another attempt, and stored once');

# ---- what comes by drops is given up ----

set_and_reload($node, request_timeout => '1s');
($id, $bytes) = at_meta('slow');
my $slow = came(1, $id);
$sim->faults({ match => { edge => 'content' }, reply => 'slow', bytes => 1, interval_ms => 50, times => 1 });
fetch($slow);
becomes($slow, "status = 'wanted' AND attempts = 1 AND reason IS NOT NULL", 'a file that comes by drops is given up');
hurry();
is_stored($slow, $bytes, 'and fetched by the next attempt');

settled($node, 'no message was in the way of any of it');
$node->stop;
done_testing();
