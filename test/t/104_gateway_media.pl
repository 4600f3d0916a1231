# Files of customers through the gateway: whole and in parts, to who may see them, as
# files and nothing else; with little memory, however large they are; and cut off when
# the link is revoked, the file erased or the client gone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(sha256_hex);
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaGateway;
use WaLoad qw(wait_until);
use WaTest qw(create_extension new_node);

my $node = new_node('gateway_media');
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(<<'SQL');
SELECT wa_assign_phone('alba', '100000000000001'), wa_assign_phone('trigal', '100000000000002');
CREATE FUNCTION came(tenant text, mime text, name text, bytes bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone, message_type, payload, sent_at, media_id, mime_type, filename)
        VALUES ('wamid.' || gen_random_uuid(), tenant, '100000000000001', '+34600112233', 'document', '{}', now(), '1', mime, name) RETURNING inbound_id INTO id;
    IF bytes IS NOT NULL THEN
        INSERT INTO whatsapp_inbound_media (inbound_id, tenant_id, phone_number_id, media_id, status, ended_at, mime_type, size, sha256)
            VALUES (id, tenant, '100000000000001', '1', 'fetched', now(), mime, length(bytes), sha256(bytes));
        INSERT INTO whatsapp_inbound_media_pieces SELECT id, n, substr(bytes, n + 1, 100000) FROM generate_series(0, length(bytes), 100000) AS n;
    END IF;
    RETURN id;
END
$$;
SQL

my $gateway = WaGateway->start($node);
my ($key) = sql("SELECT wa_tenant_link('alba')") =~ /key=(.*)/;
my %link = (token => $key);

# More than one piece, and not a multiple of one.
my $size = 300_001;
my $bytes = join '', map { pack 'N', $_ * 2654435761 % 4294967296 } 0 .. $size / 4;
$bytes = substr $bytes, 0, $size;
my $file = "$PostgreSQL::Test::Utils::tmp_check/file";
open my $fh, '>', $file or die "$file: $!";
binmode $fh;
print $fh $bytes;
close $fh;

sub came
{
	my ($tenant, $mime, $name, $content) = @_;
	return sql("SELECT came('$tenant', '$mime', '$name', $content)");
}
my $pdf = came('alba', 'application/pdf', 'pedido nº 7.pdf', "pg_read_binary_file('$file')");
my $photo = came('alba', 'image/jpeg', '', "'\\xffd8ffe0'");
my $html = came('alba', 'text/html', 'carta.html', "convert_to('<script>alert(1)</script>', 'UTF8')");
my $svg = came('alba', 'image/svg+xml', 'logo.svg', "convert_to('<svg onload=\"alert(1)\"/>', 'UTF8')");
my $voice = came('alba', 'audio/ogg; codecs=opus', '', "convert_to('OggS', 'UTF8')");
my $waiting = came('alba', 'image/jpeg', '', 'NULL');
my $other = came('trigal', 'image/jpeg', '', "'\\xffd8ffe0'");

sub address { return "/api/v1/tenants/alba/inbound/$_[0]/media" }
sub get { my ($id, %options) = @_; return $gateway->get(address($id), %link, %options) }

# ---- whole ----

my $reply = get($pdf);
is($reply->{status}, 200, 'a file comes') or diag(substr($reply->{content}, 0, 300), $gateway->stderr, sql("SELECT inbound_id, tenant_id, media_id FROM whatsapp_inbound_messages"));
is(sha256_hex($reply->{content}), sha256_hex($bytes), 'byte by byte');
my %headers = %{ $reply->{headers} };
is($headers{'content-length'}, $size, 'with its length');
is($headers{'content-type'}, 'application/pdf', 'its type');
is($headers{'content-disposition'}, q{attachment; filename="pedido n_ 7.pdf"; filename*=UTF-8''pedido%20n%C2%BA%207.pdf}, 'and its name');
my $etag = $headers{etag};
is($etag, '"' . sha256_hex($bytes) . '"', 'a tag that is strong');
is($headers{'x-content-type-options'}, 'nosniff', 'it is not guessed at');
is($headers{'cache-control'}, 'private, no-cache', 'kept by the browser alone, and asked about');
is($headers{'cross-origin-resource-policy'}, 'same-origin', 'not embedded elsewhere');
like($headers{'content-security-policy'}, qr/^sandbox; default-src 'none'; .*frame-ancestors 'none'$/, 'and as a page it can do nothing');
is($headers{'content-encoding'}, undef, 'what is compressed is not compressed');

foreach my $case ([ $photo, 'image/jpeg', qr/^inline; filename="whatsapp-$photo\.jpg"/ ], [ $voice, 'audio/ogg', qr/^inline; filename="whatsapp-$voice\.ogg"/ ],
	[ $html, 'application/octet-stream', qr/^attachment; filename="carta\.html\.bin"/ ], [ $svg, 'application/octet-stream', qr/^attachment; filename="logo\.svg\.bin"/ ])
{
	my ($id, $type, $disposition) = @$case;
	$reply = get($id);
	is($reply->{headers}{'content-type'}, $type, "$type for what it is worth");
	like($reply->{headers}{'content-disposition'}, $disposition, '... under a name that fits');
}

$reply = $gateway->request('HEAD', address($pdf), %link);
is("$reply->{status} $reply->{headers}{'content-length'} " . length($reply->{content} // ""), "200 $size 0", 'HEAD says the length and sends nothing');
is($reply->{headers}{etag}, $etag, 'with the tag');
$reply = get($pdf, headers => { 'if-none-match' => $etag });
is("$reply->{status} " . length($reply->{content} // ""), '304 0', 'who has it is told so');
is(get($pdf, headers => { 'if-none-match' => $etag, range => 'bytes=0-3' })->{status}, 304, 'also who asks for a part');

# ---- in parts ----

foreach my $case (
	[ 'bytes=0-3', 0, 4 ], [ 'bytes=4-', 4, $size - 4 ], [ 'bytes=-5', $size - 5, 5 ], [ "bytes=131070-131073", 131_070, 4 ], [ "bytes=262144-", 262_144, $size - 262_144 ],
	[ "bytes=0-99999999", 0, $size ], [ 'bytes=-99999999', 0, $size ], [ 'BYTES= 10-10 ', 10, 1 ])
{
	my ($range, $first, $length) = @$case;
	$reply = get($pdf, headers => { range => $range });
	is("$reply->{status} $reply->{headers}{'content-range'}", sprintf('206 bytes %d-%d/%d', $first, $first + $length - 1, $size), "$range: a part");
	ok($reply->{content} eq substr($bytes, $first, $length), '... those bytes');
}
foreach my $range ('bytes=5-3', 'bytes=0-1,5-6', 'bytes=', 'bytes=-', 'items=0-1', 'bytes=a-b', 'bytes=0-1x', 'bytes=9999999999999999999-')
{
	is(get($pdf, headers => { range => $range })->{status}, 200, "$range: all of it");
}
foreach my $range ("bytes=$size-", 'bytes=999999999999-', 'bytes=-0')
{
	$reply = get($pdf, headers => { range => $range });
	is("$reply->{status} $reply->{headers}{'content-range'} $reply->{json}{field}", "416 bytes */$size Range", "$range: there is no such part");
}
is(get($pdf, headers => { range => 'bytes=0-3', 'if-range' => $etag })->{status}, 206, 'a part of the same file');
$reply = get($pdf, headers => { range => 'bytes=7-9', 'if-range' => '"other"' });
ok($reply->{status} == 200 && $reply->{content} eq $bytes, 'of another one, all of it');
is(get($pdf, headers => { range => 'bytes=0-3', 'if-range' => 'Sun, 29 Nov 2026 08:00:00 GMT' })->{status}, 200, 'by its date nothing is known');

# ---- who may, and what is said while there is none ----

is(get($other)->{status}, 404, 'another tenant\'s is not there');
is($gateway->get("/api/v1/tenants/trigal/inbound/$other/media", %link)->{status}, 403, 'nor at its own address');
is(get($pdf, token => undef)->{status}, 401, 'a stranger gets none');
is($gateway->get("/api/v1/admin/whatsapp/inbound/$other/media", %link)->{status}, 401, 'a link opens nothing of the administration');
is($gateway->get("/api/v1/admin/whatsapp/inbound/$other/media", token => $_)->{status}, 200, "which sees all: $_") foreach qw(admin viewer);
is(get("${pdf}x")->{status}, 404, 'a number is a number');
is(get($pdf, headers => { cookie => "wa_owner=$key", 'sec-fetch-site' => 'cross-site' }, token => undef)->{status}, 200, 'the cookie is enough to look');
is($gateway->request('POST', address($waiting), token => undef, headers => { cookie => "wa_owner=$key", 'sec-fetch-site' => 'cross-site', origin => 'https://evil.example' })->{status},
	403, 'and not to ask for it from another site');

$reply = get($waiting);
is("$reply->{status} $reply->{json}{reason}", '409 not_fetched', 'one that was not fetched');
is($gateway->request('POST', address($waiting), %link)->{status}, 202, 'is asked for');
$reply = get($waiting);
is("$reply->{status} $reply->{json}{reason}", '409 wanted', 'and comes');

my $read = "/api/v1/tenants/alba/inbound/$photo/read";
foreach my $try ([ 'from another site', { 'sec-fetch-site' => 'cross-site' } ], [ 'from nowhere', {} ], [ 'from a page next door', { 'sec-fetch-site' => 'same-site' } ])
{
	is($gateway->request('POST', $read, token => undef, headers => { cookie => "wa_owner=$key", %{ $try->[1] } })->{status}, 403, "a cookie marks nothing as read $try->[0]");
}
is($gateway->get($read, %link)->{status}, 405, 'nor does looking');
is(sql("SELECT count(*) FROM whatsapp_inbound_messages WHERE read_at IS NOT NULL"), 0, 'nothing is');
$reply = $gateway->request('POST', $read, token => undef, headers => { cookie => "wa_owner=$key", 'sec-fetch-site' => 'same-origin' });
is("$reply->{status} $reply->{json}{told}", '200 1', 'the page itself does');
is($gateway->request('POST', $read, %link)->{json}{told}, 0, 'once');

# ---- large, and slow clients ----

my $large = 12_000_000;
my $film = came('alba', 'video/mp4', 'horno.mp4', "decode(repeat('00112233445566778899', $large / 10), 'hex')");

# A client that has read the head and a bit, and takes no more.
sub stuck
{
	my ($id) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->port, Proto => 'tcp') or die "could not connect: $!";
	setsockopt $socket, SOL_SOCKET, SO_RCVBUF, pack 'i', 65536;
	print $socket 'GET ' . address($id) . " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer $key\r\n\r\n";
	sysread $socket, my $text, 100;
	like($text, qr{^HTTP/1\.1 200 }, 'it begins');
	return $socket;
}
sub rest
{
	my ($socket) = @_;
	my $n = 0;
	while (my $got = sysread $socket, my $text, 1_000_000) { $n += $got }
	return $n;
}
sub memory { my ($kb) = slurp_file('/proc/' . $gateway->pid . '/status') =~ /^VmRSS:\s+(\d+)/m; return $kb }

my $before = memory();
my @stuck = map { stuck($film) } 1 .. 8;
wait_until(sub { return sql("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'wa_gateway%' AND state = 'active' AND pid <> pg_backend_pid()") eq 't' })
  or fail('no connection is busy with clients that take nothing');
cmp_ok(memory() - $before, '<', 8 * 700 + 2000, 'eight clients that stop in the middle cost a piece each');
is(get($photo)->{status}, 200, 'and hold up nobody');
cmp_ok(rest(pop @stuck), '>', $large, 'who goes on gets all of it');
close foreach @stuck;

my $cut = stuck($film);
sql('UPDATE whatsapp_inbound_messages SET revoked_at = now() WHERE inbound_id = ' . $film);
cmp_ok(rest($cut), '<', $large, 'what the customer deletes meanwhile ends at the next piece');
is(get($film)->{status}, 410, 'and is gone');
sql('UPDATE whatsapp_inbound_messages SET revoked_at = NULL WHERE inbound_id = ' . $film);
$cut = stuck($film);
sql("SELECT wa_revoke_links('alba')");
cmp_ok(rest($cut), '<', $large, 'so does what a link has begun that is revoked');
is(get($film)->{status}, 401, 'and it opens nothing any more');

is($gateway->stop, 0, 'the gateway ends well');
done_testing();
