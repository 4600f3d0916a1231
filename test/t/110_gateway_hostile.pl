# What hostile clients send, and what becomes of it: each case states the status
# that it gets, and whether the connection is closed.  Afterwards everybody else is
# still served, nothing of it is in the log that should not be, and the memory
# has not grown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(hmac_sha256 hmac_sha256_hex);
use IO::Select;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WaGateway;
use WaLoad qw(patience stopwatch wait_until);
use WaTest qw(create_extension new_node);

my $node = new_node('gateway', "whatsapp_shared.databases = ''");
create_extension($node, 'postgres');
$node->safe_psql('postgres', q(INSERT INTO whatsapp_tenants (tenant_id) VALUES ('alba'), ('brisa')));

my $gateway = WaGateway->start($node);
my $admin = '/api/v1/admin/whatsapp';
my $host = 'Host: ' . $gateway->url =~ s{^http://}{}r;
my $bearer = "Authorization: Bearer $WaGateway::TOKEN{admin}";

sub memory_kb
{
	open my $fh, '<', '/proc/' . $gateway->pid . '/status' or die "no status: $!";
	my ($kb) = map { /^VmRSS:\s+(\d+)/ ? $1 : () } <$fh>;
	return $kb;
}

# Sends bytes and reads until the connection is closed, or until as many whole
# responses are there as are wanted.  Returns the statuses and whether it was closed.
sub exchange
{
	my ($bytes, $wanted, $seconds) = @_;
	my $socket = $gateway->connect;
	my ($text, $closed, @statuses) = ('', 0);
	my $until = time + ($seconds // 10);
	local $SIG{PIPE} = 'IGNORE';

	syswrite $socket, $bytes;
	while (@statuses < ($wanted // 99) && !$closed && time < $until)
	{
		IO::Select->new($socket)->can_read($until - time) or last;
		$closed = 1 unless sysread $socket, $text, 65536, length $text;
		while ($text =~ s{\AHTTP/1\.1 (\d+)(.*?\r\n)\r\n}{}s)
		{
			my ($status, $head) = ($1, $2);
			my $length = $head =~ /^Content-Length: (\d+)/mi ? $1 : 0;

			if (length $text < $length)
			{
				$text = "HTTP/1.1 $status$head\r\n$text";
				last;
			}
			substr $text, 0, $length, '';
			push @statuses, $status;

			# It is over if it says so, but see that it is.
			$wanted = 99 if $head =~ /^Connection: close/mi;
		}
	}
	close $socket;
	return (\@statuses, $closed);
}

# Gets this one status, and the connection is closed; what stands behind it is never
# taken for a request.
sub is_closed
{
	my ($status, $bytes, $name) = @_;
	my ($statuses, $closed) = exchange("${bytes}GET /smuggled HTTP/1.1\r\n$host\r\n\r\n");

	is("@$statuses " . ($closed ? 'closed' : 'open'), "$status closed", $name);
	return;
}

# Gets this one status.
sub is_status
{
	my ($status, $bytes, $name) = @_;
	my ($statuses) = exchange($bytes, 1);

	is("@$statuses", $status, $name);
	return;
}

sub head { return join "\r\n", @_, '', '' }

my $memory;

# A first round, so that what is allocated once is.
$gateway->get("$admin/health") foreach 1 .. 20;
exchange(head('GET /healthz HTTP/1.1', $host), 1) foreach 1 .. 20;

$memory = memory_kb();

subtest 'where a request ends' => sub {
	my $post = "POST /healthz HTTP/1.1\r\n$host\r\n";
	my $chunks = "0\r\n\r\n";

	is_closed(400, "${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n$chunks", 'a length and chunks');
	is_closed(400, "${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n$chunks", 'chunks and a length');
	is_closed(400, "${post}Content-Length: 5\r\nContent-Length: 0\r\n\r\n", 'two lengths');
	is_closed(400, "${post}Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 'the same twice');
	is_closed(400, "${post}Content-Length: +5\r\n\r\nabcde", 'a sign');
	is_closed(400, "${post}Content-Length: -5\r\n\r\nabcde", 'less than nothing');
	is_closed(400, "${post}Content-Length: 0x5\r\n\r\nabcde", 'another base');
	is_closed(400, "${post}Content-Length: 5, 5\r\n\r\nabcde", 'a list');
	is_closed(400, "${post}Content-Length:\r\n\r\n", 'nothing');
	is_closed(413, "${post}Content-Length: 99999999999999999999999\r\n\r\n", 'more than a number holds');
	is_closed(400, "${post}Content-Length : 5\r\n\r\nabcde", 'a blank before the colon');
	is_closed(411, "${post}Transfer-Encoding: chunked\r\n\r\n$chunks", 'chunks');
	is_closed(411, "${post}Transfer-Encoding:\tchunked\r\n\r\n$chunks", 'behind a tab');
	is_closed(400, "${post}Transfer-Encoding : chunked\r\n\r\n$chunks", 'a blank before this colon');
	is_closed(400, "${post}Transfer-Encoding\t: chunked\r\n\r\n$chunks", 'a tab');
	is_closed(501, "${post}Transfer-Encoding: xchunked\r\n\r\n$chunks", 'what looks like chunks');
	is_closed(501, "${post}Transfer-Encoding: gzip, chunked\r\n\r\n$chunks", 'two codings');
	is_closed(501, "${post}Transfer-Encoding: identity\r\n\r\n", 'a coding that is none');
	is_closed(400, "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n$chunks", 'two headers');
	is_closed(400, "${post}Transfer-Encoding:\r\n chunked\r\n\r\n$chunks", 'a folded line');
	is_closed(400, "${post}Content-Len: 5\r\n gth\r\n\r\nabcde", 'one that makes another header');
	is_closed(400, "POST /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n$chunks", 'chunks in HTTP/1.0');
	is_closed(400, "POST /healthz HTTP/1.1\r\n$host\nContent-Length: 0\r\n\r\n", 'LF alone');
	is_closed(400, "POST /healthz HTTP/1.1\n$host\n\n", 'everywhere');
	is_closed(400, "${post}X: a\rContent-Length: 5\r\n\r\nabcde", 'CR alone');
	is_closed(400, "${post}X: a\0Content-Length: 5\r\n\r\nabcde", 'NUL in a header');
	is_closed(400, "${post}X Content-Length: 5\r\n\r\nabcde", 'a blank in a name');
	is_closed(400, "${post}Content-Length\r\n\r\n", 'no colon');
	is_closed(400, "${post}: 5\r\n\r\n", 'no name');
	is_closed(400, "POST /healthz HTTP/1.1\r\n $host\r\n\r\n", 'a blank before the first header');
};

subtest 'request lines' => sub {
	is_closed(400, head('GET /healthz'), 'no version');
	is_closed(400, head('GET  /healthz HTTP/1.1', $host), 'two blanks');
	is_closed(400, head("GET\0X /healthz HTTP/1.1", $host), 'NUL in the method');
	is_closed(400, head("GET\t/healthz HTTP/1.1", $host), 'a tab');
	is_closed(400, head("GET /healthz\0/x HTTP/1.1", $host), 'NUL in the target');
	is_closed(400, head('GET /healthz HTTP/1.1 ', $host), 'a blank at the end');
	is_closed(505, head('GET /healthz HTTP/1.2', $host), 'HTTP/1.2');
	is_closed(505, head('GET /healthz HTTP/2.0', $host), 'HTTP/2');
	is_closed(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 'what HTTP/2 begins with');
	is_closed(501, head('TRACE /healthz HTTP/1.1', $host), 'TRACE');
	is_closed(501, head('CONNECT db.internal:5432 HTTP/1.1', $host), 'CONNECT');
	is_closed(501, head('GET' . 'X' x 3000 . ' /healthz HTTP/1.1', $host), 'a method of 3 kB');
	is_closed(400, head('GET /healthz HTTP/1.1'), 'no Host');
	is_closed(400, head('GET /healthz HTTP/1.1', $host, 'Host: evil.example'), 'two');
	is_closed(400, head('GET /healthz HTTP/1.1', 'Host: evil.example/x'), 'one that is a path');
	is_closed(400, head('GET http://evil.example/healthz HTTP/1.1', $host), 'a target of another host');
	is_status(200, head('GET ' . $gateway->url . '/healthz HTTP/1.1', $host), 'a whole URL of this one');
	is_status(200, "\r\n" . head('GET /healthz HTTP/1.1', $host), 'an empty line before it');
	is_status(200, head('GET /healthz HTTP/1.0'), 'HTTP/1.0 without Host');
	is_status(405, head('get /healthz HTTP/1.1', $host), 'methods have cases');
	is_status(405, head('POST /healthz HTTP/1.1', $host, 'Content-Length: 0', "X-HTTP-Method-Override: $_"),
		"POST stays POST, whatever is said of $_")
	  foreach qw(GET DELETE);
	is_status(404, head('GET /nothing HTTP/1.1', $host, 'X-Original-URL: /healthz', 'X-Rewrite-URL: /healthz'),
		'and a path stays a path');
};

subtest 'paths' => sub {
	my @refused = qw(
	  /app/assets/../admin /app/assets/%2e%2e/admin /app/assets/.%2E/admin /app/assets/..%2fadmin
	  /app/assets/..%5cadmin /app/assets/common\\base.css /app//assets /healthz/ //healthz /./healthz
	  /app/assets/common/base.css%00.js /healthz%0d%0aX:y /%c0%ae%c0%ae/healthz /%c0%af /%e0%80%af /%f0%80%80%af
	  /%ed%a0%80 /%f4%90%80%80 /%ff /%c2%85 /%4 /%zz /healthz?a=%00 /healthz?a=%0d%0aX /healthz?a=%c0%af /healthz?%
	  healthz * /<script>);

	is_status(400, head("GET $_ HTTP/1.1", $host), $_) foreach @refused;
	is_status(400, head("GET /caf\xc3\xa9 HTTP/1.1", $host), 'bytes that are not ASCII');
	is_status(400, head('GET /healthz#a HTTP/1.1', $host), 'a fragment');
	is_status(400, head('GET /a b HTTP/1.1', $host), 'a blank');
	is_status(400, head('GET /' . 'a' x 257 . ' HTTP/1.1', $host), 'a long segment');
	is_status(400, head('GET ' . '/a' x 13 . ' HTTP/1.1', $host), 'many segments');
	is_closed(414, head('GET /' . 'a/' x 2100 . ' HTTP/1.1', $host), 'a long target');
	is_closed(414, head('GET /' . 'a' x 20_000 . ' HTTP/1.1', $host), 'one that has no end');
	is_status(404, head('GET /%2568ealthz HTTP/1.1', $host), 'nothing is decoded twice');
	is_status(200, head('GET /%68ealthz HTTP/1.1', $host), 'but once');
};

subtest 'large and many' => sub {
	my $settings = '/api/v1/tenants/alba/notification-settings';

	is_closed(431, head('GET /healthz HTTP/1.1', $host, map { "X-$_: a" } 1 .. 101), 'a hundred headers and one');
	is_closed(431, head('GET /healthz HTTP/1.1', $host, 'X: ' . 'a' x 20_000), 'a header of 20 kB');
	is_closed(431, head('GET /healthz HTTP/1.1', $host, 'X: ' . 'a' x 50_000), 'one of 50 kB');
	is_closed(431, head('GET /healthz HTTP/1.1', $host, map { "X-$_: " . 'a' x 100 } 1 .. 5000), 'half a megabyte of them');
	is_closed(413, head("PUT $settings HTTP/1.1", $host, $bearer, 'Content-Length: 300000'), 'a body that is announced');
	is_closed(413, head("PUT $settings HTTP/1.1", $host, $bearer, 'Content-Length: 99999999999999'), 'one of 100 TB');
	is_closed(417, head('GET /healthz HTTP/1.1', $host, 'Expect: 200-ok'), 'an expectation that nobody has');

	my ($statuses) = exchange(head("PUT $settings HTTP/1.1", $host, 'Expect: 100-continue', 'Content-Length: 10'), 1);
	is("@$statuses", '401', 'who may not, is not told to continue');
	($statuses) = exchange(head("PUT $settings HTTP/1.1", $host, $bearer, 'Content-Type: text/plain',
		'Expect: 100-continue', 'Content-Length: 2') . '{}', 2);
	is("@$statuses", '100 415', 'who may, is');

	($statuses) = exchange(head('GET /healthz HTTP/1.1', $host) x 50, 50);
	is("@$statuses", join(' ', (200) x 50), 'fifty requests in one piece');
	($statuses) = exchange(head('PUT /healthz HTTP/1.1', $host, 'Content-Length: 40') . head('GET /smuggled HTTP/1.1', 'Host: evil.example') =~ s/\A(.{40}).*/$1/sr
		. head('GET /healthz HTTP/1.1', $host), 2);
	is("@$statuses", '405 200', 'what is in a body is no request');

	foreach my $id ('9' x 30, '-1', '0', '1e3', '0x10', "1%27%20OR%20%271%27=%271", '%F0%9F%92%A9')
	{
		my $reply = $gateway->post("$admin/alerts/$id/resolve", {});
		like($reply->{status}, qr/^4(?:04|22)$/, "no alert $id");
	}
};

subtest 'slow clients' => sub {
	my $patient = $gateway;
	$gateway = WaGateway->start($node, arguments => [ '--request-timeout-s' => 2 ]);
	my $kept = $gateway->connect;
	my $healthz = head('GET /healthz HTTP/1.1', $host);
	syswrite $kept, $healthz;
	sysread $kept, my $first, 4096;
	my $begun = stopwatch($gateway);
	my $deadline = time + patience();
	my @slow = map { $gateway->connect } 1 .. 300;
	my $others = 0;
	local $SIG{PIPE} = 'IGNORE';

	# Heads that never end, bodies that never come, and clients that say nothing at all.
	foreach my $i (0 .. $#slow)
	{
		syswrite $slow[$i], "GET /healthz HTTP/1.1\r\n$host\r\n" if $i % 3 == 0;
		syswrite $slow[$i], head('POST /app/admin/whatsapp/session HTTP/1.1', $host, 'Content-Type: application/json', 'Content-Length: 100') if $i % 3 == 1;
	}
	my $open = IO::Select->new(@slow);
	while ($open->count && time < $deadline)
	{
		foreach my $socket ($open->can_read(0.1))
		{
			$open->remove($socket) unless sysread $socket, my $text, 4096;
		}
		syswrite $_, 'X' foreach grep { fileno($_) % 3 } $open->handles;
		my $asked = stopwatch($gateway);
		is($gateway->get('/healthz')->{status}, 200, 'others are served') unless $others++;
		fail('others wait') if $asked->seconds > 1;
	}
	is($open->count, 0, '300 of them are gone');
	cmp_ok($begun->seconds, '<', 8, 'soon after the two seconds that they may take');
	cmp_ok($others, '>', 5, 'meanwhile others were served');

	# Between its requests a connection may rest, but not for ever beyond that.
	syswrite $kept, $healthz;
	sysread $kept, my $second, 4096;
	like($second, qr{^HTTP/1\.1 200 }, 'a connection that is kept open outlasts the time of a request');
	$gateway = WaGateway->start($node, arguments => [ '--request-timeout-s' => 1, '--idle-timeout-s' => 1 ]);
	my $dribbling = $gateway->connect;
	syswrite $dribbling, $healthz;
	sysread $dribbling, $first, 4096;
	$begun = stopwatch($gateway);
	until (IO::Select->new($dribbling)->can_read(0.2) || $begun->seconds > 10) { syswrite $dribbling, 'G' }
	cmp_ok($begun->seconds, '<', 6, 'but not with a byte now and then');
	$gateway = $patient;
};

# As many bodies as are kept at a time, to the last byte, each of which is short and
# never ends.
subtest 'bodies that never end' => sub {
	my $patient = $gateway;
	$gateway = WaGateway->start($node);
	my $login = '/app/admin/whatsapp/session';
	my $begin = head("POST $login HTTP/1.1", $host, 'Content-Type: application/json', 'Content-Length: 70000');
	my @unfinished;
	local $SIG{PIPE} = 'IGNORE';

	foreach my $layer ([ 200, 65_000 ], [ 20, 4000 ], [ 150, 30 ])
	{
		my ($n, $length) = @$layer;
		my @sockets = map { $gateway->connect } 1 .. $n;
		syswrite $_, $begin . ' ' x $length foreach @sockets;
		$gateway->get('/healthz') foreach 1 .. 3;
		push @unfinished, @sockets;
	}
	my @codes = map { $gateway->post($login, { token => $WaGateway::TOKEN{admin} }, token => undef)->{status} } 1 .. 20;
	is_deeply([ grep { $_ != 200 } @codes ], [], 'whoever comes with one that ends is served');
	cmp_ok(scalar(() = IO::Select->new(@unfinished[ 0 .. 49 ])->can_read(1)), '>=', 5, 'others had to go');
	is_deeply([ IO::Select->new(@unfinished[ 100 .. $#unfinished ])->can_read(0) ], [], 'those that began first');
	$gateway = $patient;
};

# ---- who asks ------------------------------------------------------------------------

sub session_of
{
	my ($token, $role, $expiry) = @_;
	my $key = hmac_sha256('wa_gateway session, version 1', $token);
	my $text = "$role.$expiry.00112233445566778899aabbccddeeff";

	return "$text." . hmac_sha256_hex($text, $key);
}

sub status_with
{
	my ($cookie, $method, $path, %headers) = @_;
	return $gateway->request($method, $path, token => undef, headers => { cookie => $cookie, %headers })->{status};
}

my $session = '/api/v1/session';
my $sync = "$admin/phone-numbers/sync";
my $origin = $gateway->url;

subtest 'sessions' => sub {
	my $soon = int(time) + 3600;
	my $login = '/app/admin/whatsapp/session';
	my $reply = $gateway->post($login, { token => $WaGateway::TOKEN{admin} }, token => undef);
	my ($cookie) = ($reply->{headers}{'set-cookie'} // '') =~ /^(wa_admin=[^;]+);/;

	is($reply->{status}, 200, 'a token is exchanged for a cookie');
	like($reply->{headers}{'set-cookie'}, qr/; HttpOnly; SameSite=Strict$/, 'that no script and no other site has');
	like($gateway->raw(head("POST $login HTTP/1.1", 'Host: wa.example', 'Connection: close', 'Content-Type: application/x-www-form-urlencoded',
		'Content-Length: ' . length "token=$WaGateway::TOKEN{admin}") . "token=$WaGateway::TOKEN{admin}"),
		qr/^Set-Cookie: wa_admin=\S+; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure\r$/m, 'nor anybody who listens');
	is(status_with($cookie, GET => $session), 200, 'it is a session');
	is(status_with('wa_admin=' . session_of($WaGateway::TOKEN{admin}, 'admin', $soon), GET => $session), 200,
		'one made by somebody who has the token');
	is(status_with('wa_admin=' . session_of($WaGateway::TOKEN{admin}, 'admin', $soon - 7200), GET => $session), 401, 'one that has expired');
	is(status_with('wa_admin=' . session_of('x' x 32, 'admin', $soon), GET => $session), 401, 'one of another token');
	is(status_with('wa_admin=' . session_of($WaGateway::TOKEN{viewer}, 'admin', $soon), GET => $session), 401, "a viewer's, for an admin");
	is(status_with($cookie =~ s/=admin\./=viewer./r, GET => $session), 401, 'another role');
	is(status_with($cookie =~ s/\.(\d)/'.' . ($1 + 1)/er, GET => $session), 401, 'a later end');
	is(status_with("$cookie; $cookie", GET => $session), 401, 'two cookies, one of which was planted');
	is(status_with('wa_admin=admin', GET => $session), 401, 'a word');
	is($gateway->get($session, token => 'wrong' x 8, headers => { cookie => $cookie })->{status}, 401, 'a wrong token is not helped by a session');

	is(status_with($cookie, POST => $sync, origin => 'https://evil.example'), 403, 'a change from another site');
	is(status_with($cookie, POST => $sync, origin => 'null'), 403, 'from a sandbox');
	is(status_with($cookie, POST => $sync, origin => "$origin.evil.example"), 403, 'from a name that begins so');
	is(status_with($cookie, POST => $sync, origin => $origin, 'sec-fetch-site' => 'cross-site'), 403, 'from what the browser calls another site');
	is(status_with($cookie, POST => $sync), 403, 'from nowhere');
	isnt(status_with($cookie, POST => $sync, origin => $origin), 403, 'from our page');
	isnt($gateway->request(POST => $sync, headers => { origin => 'https://evil.example' })->{status}, 403, 'a token needs no origin');
	is(status_with('wa_admin=' . session_of($WaGateway::TOKEN{viewer}, 'viewer', $soon), POST => $sync, origin => $origin), 403, 'a viewer changes nothing');
	is($gateway->post($login, { token => $WaGateway::TOKEN{admin} }, token => undef, headers => { origin => 'https://evil.example' })->{status},
		403, 'nobody is logged in from another site');
	is($gateway->post($login, { token => $WaGateway::TOKEN{admin}, more => 1 }, token => undef)->{status}, 400, 'nor with something else');
	is($gateway->post($login, { token => [1] }, token => undef)->{status}, 400, 'nor with what is no token');
	is(status_with($cookie, DELETE => $login), 403, 'nor out');
	$reply = $gateway->delete($login, token => undef, headers => { cookie => $cookie, origin => $origin });
	like("$reply->{status} $reply->{headers}{'set-cookie'}", qr/^204 wa_admin=; .*Max-Age=0/, 'but by himself');
};

# Cookies are not counted, however often one asks.
sub session_becomes
{
	my ($status, $cookie, $name) = @_;
	wait_until(sub { status_with($cookie, GET => $session) == $status });
	is(status_with($cookie, GET => $session), $status, $name);
	return;
}

subtest 'tokens that change' => sub {
	my $new = 'another-admin-token-0123456789-0123';
	my $cookie = 'wa_admin=' . session_of($WaGateway::TOKEN{admin}, 'admin', int(time) + 3600);

	$gateway->write_file('admin', "$WaGateway::TOKEN{admin}\n$new\n");
	session_becomes(200, 'wa_admin=' . session_of($new, 'admin', int(time) + 3600), 'sessions of a second token, without a signal');
	is($gateway->get($session, token => $new)->{status}, 200, 'which is valid');
	is($gateway->get($session)->{status}, 200, 'beside the first');
	$gateway->write_file('admin', "short\n");
	$gateway->reload;
	like_soon(qr/admin: has a token that is shorter than 32 characters.*still valid/, 'a file with a mistake is complained of');
	is($gateway->get($session, token => $new)->{status}, 200, 'and does not lock everybody out');
	chmod 0644, $gateway->write_file('admin', "$new\n");
	like_soon(qr/admin: can be read by others/, 'so is one that others can read');
	is(status_with($cookie, GET => $session), 200, 'a session');
	$gateway->write_file('admin', "$new\n");
	$gateway->reload;
	session_becomes(401, $cookie, 'ends with its token');
	is($gateway->get($session)->{status}, 401, 'which is no longer valid');
	$gateway->write_file('admin', "$WaGateway::TOKEN{admin}\n");
	session_becomes(200, $cookie, 'until the token comes back');
};

sub like_soon
{
	my ($pattern, $name) = @_;
	wait_until(sub { $gateway->stderr =~ $pattern });
	like($gateway->stderr, $pattern, $name);
	return;
}

subtest "a tenant's link" => sub {
	my $link = sub {
		my ($tenant) = @_;
		my $url = $node->safe_psql('postgres', "SELECT wa_tenant_link('$tenant')");
		return $url =~ /#key=(wal_[\w-]+)$/ ? $1 : die "no key in $url";
	};
	my $key = $link->('alba');
	my $settings = sub { return "/api/v1/tenants/$_[0]/notification-settings" };
	my $login = '/app/settings/notifications/alba/session';
	my $reply = $gateway->get($settings->('alba'), token => $key);

	is($reply->{status}, 200, 'opens its tenant') or diag $reply->{content};
	is($gateway->get($settings->('brisa'), token => $key)->{status}, 403, 'and no other');
	is($gateway->put($settings->('brisa'), { enabled => JSON::PP::false }, token => $key)->{status}, 403, 'nor changes one');
	is($gateway->get("$admin/tenants", token => $key)->{status}, 401, "it is nothing on the administrators' side");
	is($gateway->get($session, token => $key)->{status}, 401, 'nor a session there');
	is($gateway->get($settings->('alba'), token => substr($key, 0, -1))->{status}, 401, 'not without its end');

	$reply = $gateway->post($login, { key => $key }, token => undef);
	my ($cookie) = ($reply->{headers}{'set-cookie'} // '') =~ /^(wa_owner=[^;]+); .*HttpOnly; SameSite=Strict/;
	is("$reply->{status} $cookie", "200 wa_owner=$key", 'it is exchanged for a cookie');
	is(status_with($cookie, GET => $settings->('alba')), 200, 'which opens the same');
	is(status_with($cookie, GET => $settings->('brisa')), 403, 'and no more');
	is(status_with($cookie, GET => "$admin/tenants"), 401, "nor the administrators' side");
	is(status_with($cookie, PUT => $settings->('alba'), origin => 'https://evil.example'), 403, 'no change from another site');
	is($gateway->request(POST => '/app/settings/notifications/alba', token => undef, content => 'enabled=off',
		headers => { cookie => $cookie, origin => 'https://evil.example', 'content-type' => 'application/x-www-form-urlencoded' })->{status},
		403, "nor by another site's form");
	is($gateway->post('/app/settings/notifications/brisa/session', { key => $key }, token => undef)->{status}, 403, "no cookie on another's page");
	is($gateway->post($login, { key => 'wal_' . 'x' x 43 }, token => undef)->{headers}{'set-cookie'}, undef, 'nor for a key that nobody has');

	$node->safe_psql('postgres', q(SELECT wa_revoke_links('alba')));
	is($gateway->get($settings->('alba'), token => $key)->{status}, 401, 'revoked, it ends');
	is(status_with($cookie, GET => $settings->('alba')), 401, 'and its cookie');
	my $other = $link->('alba');
	$node->safe_psql('postgres', q(UPDATE whatsapp_tenant_links SET created_at = created_at - interval '1 day', expires_at = clock_timestamp() WHERE revoked_at IS NULL));
	is($gateway->get($settings->('alba'), token => $other)->{status}, 401, 'one that has expired');
};

subtest 'who fails too often' => sub {
	my $kept = $gateway;
	my %user = ('x-remote-user' => 'ana@example.org');
	$gateway = WaGateway->start($node, arguments => [ '--trusted-user-header' => 'X-Remote-User' ]);
	my $status = sub {
		my ($token, $from) = @_;
		return $gateway->get($session, token => $token, headers => { 'x-forwarded-for' => $from })->{status};
	};

	# Ten, and one more for each six seconds that this takes.
	my $ten_times = sub {
		my ($try, $name) = @_;
		my ($begun, $n) = (time, 0);

		$n++ while $n < 100 && $try->($n) == 401;
		ok($n >= 10 && $n <= 10 + (time - $begun) / 6, "$name: ten times") or diag "$n times";
		is($try->($n), 429, "$name: and then no more");
	};

	$ten_times->(sub { $status->("wrong-$_[0]", '203.0.113.7') }, 'an address');
	is($status->('admin', '203.0.113.7'), 200, 'a program with a valid token is not held up by those at its address');
	my $reply = $gateway->post('/app/admin/whatsapp/session', { token => $WaGateway::TOKEN{admin} }, token => undef,
		headers => { 'x-forwarded-for' => '203.0.113.7' });
	is($reply->{status}, 429, 'a login waits');
	like($reply->{headers}{'retry-after'} // '', qr/^[1-6]$/, 'but soon');
	is($status->('wrong', '203.0.113.8'), 401, 'other addresses do not');
	is($status->('wrong', '203.0.113.8, 203.0.113.7'), 429, 'the last address counts, not what a client puts before it');
	is_status(429, head("GET $session HTTP/1.1", $host, 'Authorization: Bearer wrong', 'X-Forwarded-For: 203.0.113.8', 'X-Forwarded-For: 203.0.113.7'),
		'nor in a header before the one that the proxy adds');
	$ten_times->(sub { $status->("wrong-$_[0]", "2001:db8::$_[0]") }, 'all of a network of 64 bits');
	is($gateway->get($session, token => undef, headers => { cookie => 'wa_admin=x', 'x-forwarded-for' => '203.0.113.9' })->{status}, 401, 'a wrong cookie')
	  foreach 1 .. 12;
	is($status->('wrong', '203.0.113.9'), 401, 'is not counted');
	my $link = 'wal_' . 'x' x 43;
	$ten_times->(sub { $status->($link, '203.0.113.10') }, 'a link');
	is($status->('wrong', '203.0.113.10'), 401, 'links are counted apart from tokens');

	is_deeply($gateway->get($session, token => undef, headers => {%user})->{json}, { role => 'viewer', name => 'ana@example.org' }, 'whom a proxy on this machine names');
	is_status(401, head("GET $session HTTP/1.1", $host, 'X-Remote-User: ana', 'X-Remote-User: eva'), 'unless it names two');
	is_status(401, head("GET $session HTTP/1.1", $host, 'X-Remote-User:'), 'or nobody');
	is($gateway->post($sync, {}, token => undef, headers => { %user, origin => 'https://evil.example' })->{status}, 403, 'and changes come from our page');
	my %clients = map { $_->{client} => 1 } $gateway->access_log;
	ok($clients{'203.0.113.7'} && $clients{'2001:db8::1'}, 'the log has the clients');
	$gateway = $kept;
	is($gateway->get($session, token => undef, headers => {%user})->{status}, 401, 'where no header is trusted, none is');
};

# ---- afterwards ------------------------------------------------------------------------

subtest 'afterwards' => sub {
	my $before = memory_kb();
	my $bad = "POST /healthz HTTP/1.1\r\n$host\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";

	exchange($bad) foreach 1 .. 300;
	exchange(head("GET /$_ HTTP/1.1", $host, 'X: ' . 'a' x 11_000), 1) foreach 1 .. 300;
	cmp_ok(memory_kb() - $before, '<', 1024, 'the memory has not grown by what is repeated');
	cmp_ok(memory_kb() - $memory, '<', 4096, 'nor much by all of the above');
	note('memory at the beginning, before the repetition, at the end: ', join ' ', $memory, $before, memory_kb());
	is($gateway->get("$admin/health")->{status}, 200, 'a normal client is served');
	like($gateway->stop, qr/^0$/, 'it ends in good order');

	my $log = $gateway->read_file('access.log') . $gateway->stderr;
	cmp_ok(length $log, '>', 10_000, 'there is a log');
	unlike($log, qr/smuggled/, 'no request was smuggled');
	unlike($log, qr/[A-Z]{100}/, 'nor is it what a stranger makes it');
	unlike($log, qr/\Q$_\E/, 'a secret is not in the log') foreach values %WaGateway::TOKEN, 'wa_admin', 'wrong-', 'wal_';
	unlike($log, qr/[\x00-\x09\x0b-\x1f\x7f]/, 'nor a control character');
};

$node->stop;
done_testing();
