# The gateway's side of HTTP: what it answers by itself, whatever the functions
# in the database say.  Three of these are replaced by some that show what they
# were given.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(sha256_hex);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaGateway;
use WaLoad qw(stopwatch wait_until);
use WaTest qw(create_extension new_node);

my $node = new_node('gateway', "whatsapp_shared.databases = ''");
my $admin = '/api/v1/admin/whatsapp';

# In a schema whose name must be quoted.
$node->safe_psql('postgres', 'CREATE SCHEMA "Wa x" AUTHORIZATION whatsapp');
create_extension($node, 'postgres', 'SCHEMA "Wa x"');

# Each route has its function, and each function its route.
{
	my $routes = slurp_file("$FindBin::RealBin/../../src/bin/gateway/routes.c");
	my ($table) = $routes =~ /^static const GwRoute routes\[\] = \{\n(.*?)^\};/ms;
	my %routed = map { $_ => 1 } $table =~ /"([a-z_]+)"/g;
	my $functions = $node->safe_psql('postgres', <<'SQL');
SELECT substr(p.proname, 12) FROM pg_proc AS p
WHERE p.proname ~ '^wa_gateway_' AND oidvectortypes(p.proargtypes) = 'jsonb' AND p.proargnames = '{request,status,body,paging}'
ORDER BY 1
SQL
	cmp_ok(scalar keys %routed, '>', 30, 'there are routes');
	is_deeply([ sort keys %routed ], [ split /\n/, $functions ], 'each has its function, and the other way round');
}

# A function of the gateway that does this instead.
sub replace_function
{
	my ($name, $body) = @_;
	$node->safe_psql('postgres', <<"SQL");
CREATE OR REPLACE FUNCTION "Wa x".wa_gateway_$name(request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS \$function\$
BEGIN
$body
END\$function\$;
GRANT EXECUTE ON FUNCTION "Wa x".wa_gateway_$name(jsonb) TO PUBLIC;
SQL
	return;
}

my $echo = 'status := 200; body := request;';
replace_function($_, $echo) foreach qw(summary set_notification_settings diagnose enqueue);

# A list with pages.
replace_function('messages', <<'SQL');
	status := 200;
	SELECT jsonb_agg(jsonb_build_object('id', i, 'text', repeat('abc ', 20))) INTO body FROM generate_series(1, 50) AS i;
	paging := '{"next": "a b/é&1", "total": 1234}';
SQL

# Does what its argument says.
replace_function('timeline', <<'SQL');
	IF request->'query' ? 'raise' THEN
		RAISE EXCEPTION USING ERRCODE = request->'query'->>'raise', MESSAGE = 'a message', HINT = 'a hint',
			COLUMN = coalesce(request->'query'->>'column', '');
	END IF;
	PERFORM pg_sleep((request->'query'->>'sleep')::float8);
	status := (request->'query'->>'status')::integer;
	body := (request->'query'->>'body')::jsonb;
SQL

my $gateway = WaGateway->start($node,
	arguments => [ '--allow-origin' => 'https://shop.example', '--pool-size' => 2, '--statement-timeout-ms' => 1500 ]);

sub header { return $_[0]->{headers}{ lc $_[1] } // '' }

subtest 'a request as the function sees it' => sub {
	my $reply = $gateway->get("$admin/summary?a=1&b=x%20%C3%A9+y&c");

	is($reply->{status}, 200, 'an answer');
	is(header($reply, 'content-type'), 'application/json', 'it is JSON');
	is_deeply(
		$reply->{json},
		{
			actor => { role => 'admin', name => 'token', key_sha256 => undef },
			path => {},
			query => { a => '1', b => "x \x{e9} y", c => '' },
			body => undef,
			idempotency_key => undef
		},
		'decoded');

	$reply = $gateway->put('/api/v1/tenants/caf%C3%A9%20%22x%22/notification-settings', { enabled => JSON::PP::true });
	is($reply->{json}{path}{tenant_id}, "caf\x{e9} \"x\"", 'path arguments are decoded');
	is_deeply($reply->{json}{body}, { enabled => JSON::PP::true }, 'with its body');

	$reply = $gateway->request('PUT', '/api/v1/tenants/t/notification-settings',
		content => '{"n": 123456789012.123456789012345678}', headers => { 'content-type' => 'application/json; charset=utf-8' });
	like($reply->{content}, qr/123456789012\.123456789012345678/, 'numbers stay as precise as they came');

	$reply = $gateway->post('/api/v1/messages', { x => 1 }, headers => { 'idempotency-key' => 'k 1' });
	is($reply->{json}{idempotency_key}, 'k 1', 'the key of a request');

	my $key = 'wal_' . 'k' x 43;
	$reply = $gateway->put('/api/v1/tenants/t/notification-settings', {}, token => $key);
	is_deeply($reply->{json}{actor}, { role => 'tenant', name => 'link', key_sha256 => sha256_hex($key) }, "a tenant's link is for SQL to judge");
};

subtest 'refusals' => sub {
	my $settings = '/api/v1/tenants/t/notification-settings';
	my $json = { 'content-type' => 'application/json' };
	my @cases = (
		[ 404, 'no such address', GET => '/nope' ],
		[ 404, 'nor one below a page', GET => "$admin/summary/x" ],
		[ 405, 'another method', POST => "$admin/summary" ],
		[ 405, 'one that nobody knows', BREW => "$admin/summary" ],
		[ 401, 'no token', GET => "$admin/summary", token => undef ],
		[ 401, 'a wrong token', GET => "$admin/summary", token => 'wrong-token-0123456789' ],
		[ 401, "a tenant's link for the administrators' side", GET => "$admin/summary", token => 'wal_' . 'k' x 43 ],
		[ 403, 'a viewer who changes', PUT => $settings, body => {}, token => 'viewer' ],
		[ 403, 'a viewer where only the admin may', POST => "$admin/pauses", body => {}, token => 'viewer' ],
		[ 400, 'not JSON', PUT => $settings, content => '{"a": }', headers => $json ],
		[ 400, 'not an object', PUT => $settings, content => '[1]', headers => $json ],
		[ 400, 'a member twice', PUT => $settings, content => '{"a": 1, "a": 2}', headers => $json ],
		[ 400, 'not UTF-8', PUT => $settings, content => "{\"a\": \"\xff\"}", headers => $json ],
		[ 400, 'NUL in a text', PUT => $settings, content => '{"a": "\u0000"}', headers => $json ],
		[ 400, 'too deep', PUT => $settings, content => '{"a":' . '[' x 5000 . ']' x 5000 . '}', headers => $json ],
		[ 415, 'a compressed one', PUT => $settings, content => '{}', headers => { %$json, 'content-encoding' => 'gzip' } ],
		[ 415, 'another type', PUT => $settings, content => 'a=1', headers => { 'content-type' => 'text/plain' } ],
		[ 415, 'a form, where none is taken', PUT => $settings, content => 'a=1', headers => { 'content-type' => 'application/x-www-form-urlencoded' } ],
		[ 413, 'too long', PUT => $settings, content => '{"a": "' . 'x' x 300_000 . '"}', headers => $json ],
		[ 400, 'an argument twice', GET => "$admin/summary?a=1&a=2" ],
		[ 400, 'an argument that is not UTF-8', GET => "$admin/summary?a=%ff" ],
		[ 400, 'an argument with NUL', GET => "$admin/summary?a=%00" ],
		[ 400, 'forty arguments', GET => "$admin/summary?" . join '&', map { "a$_=1" } 1 .. 40 ],
		[ 400, 'a path with an encoded slash', GET => '/api/v1/tenants/a%2fb/notification-settings' ],
		[ 400, 'a key that is missing', POST => '/api/v1/messages', body => {} ],
		[ 400, 'a key that is too long', POST => '/api/v1/messages', body => {}, headers => { 'idempotency-key' => 'k' x 300 } ],
	);

	foreach my $case (@cases)
	{
		my ($status, $name, $method, $path, %options) = @$case;
		my $reply = $gateway->request($method, $path, %options);

		is($reply->{status}, $status, "$status: $name") or diag $reply->{content};
		is(header($reply, 'content-type'), 'application/problem+json', "$name: a problem document");
		is($reply->{json}{status}, $status, "$name: its status");
		is($reply->{json}{request_id}, header($reply, 'x-request-id'), "$name: its request id");
	}

	# A refusal does not end the connection, whether there is a body or not.
	my $answers = $gateway->raw(
		"PUT $settings HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"
		  . "GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
		  . "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	is(join(' ', $answers =~ m{HTTP/1\.1 (\d+)}g), '401 404 200', 'the connection goes on after a refusal');

	my $reply = $gateway->request('PUT', $settings, content => "{\n  \"a\": }", headers => $json);
	like($reply->{json}{detail}, qr/line 2, column 8/, 'where the JSON is wrong');
	is($gateway->get("$admin/summary?a=1&a=2")->{json}{field}, 'a', 'which argument is wrong');
	is($gateway->post('/api/v1/messages', {})->{json}{field}, 'Idempotency-Key', 'which header is missing');
	is(header($gateway->post("$admin/summary", {}), 'allow'), 'GET, HEAD, OPTIONS', 'what the address takes');
	is(header($gateway->post("$admin/messages/1", {}), 'allow'), 'GET, HEAD, OPTIONS', 'the same with an argument');
	like(header($gateway->get("$admin/summary", token => undef), 'www-authenticate'), qr/^Bearer/, 'how to authenticate');
};

subtest 'what the function says' => sub {
	is($gateway->get("$admin/timeline?status=200&body=%5B%5D")->{content}, '[]', 'a list');
	is($gateway->get("$admin/timeline?status=204")->{status}, 204, 'nothing');

	my $reply = $gateway->get("$admin/timeline?status=409&body=" . '%7B%22detail%22%3A%22taken%22%2C%22holder%22%3A%7B%22tenant_id%22%3A%22alba%22%7D%2C%22status%22%3A1%7D');
	is($reply->{status}, 409, 'a refusal');
	is_deeply(
		$reply->{json},
		{
			type => 'about:blank', title => 'Conflict', status => 409, detail => 'taken',
			holder => { tenant_id => 'alba' }, request_id => header($reply, 'x-request-id')
		},
		'its members are in the problem document');

	my %expected = (
		22023 => 422, '22P02' => 422, 23514 => 422, 23502 => 422, P0002 => 404, '02000' => 404, 23505 => 409, 42704 => 422, 22004 => 422, 53400 => 409,
		55000 => 409, 55006 => 409, 42501 => 403, 28000 => 401, 54000 => 413, '0A000' => 501, 40001 => 503,
		'40P01' => 503, '55P03' => 503, 53300 => 503, '57P01' => 503, '08006' => 503, XX000 => 500, 42804 => 500);
	foreach my $state (sort keys %expected)
	{
		$reply = $gateway->get("$admin/timeline?raise=$state");
		is($reply->{status}, $expected{$state}, "$state is $expected{$state}");
		if ($expected{$state} < 500 || $expected{$state} == 501)
		{
			is("$reply->{json}{detail} $reply->{json}{hint}", 'a message a hint', "$state: what it says");
		}
		else
		{
			unlike($reply->{content}, qr/a message|a hint/, "$state: nothing of what it says");
		}
		like(header($reply, 'retry-after'), $expected{$state} == 503 ? qr/^[1-4]$/ : qr/^$/, "$state: when to come again");
	}
	is($gateway->get("$admin/timeline?raise=22023&column=limit")->{status}, 422, 'a wrong value');
	$reply = $gateway->get("$admin/timeline?raise=22023&column=raise");
	is("$reply->{status} $reply->{json}{field}", '400 raise', 'of an argument of the query');
	like($gateway->stderr, qr/^wa_gateway: request \w+: ERROR XX000: a message$/m, 'what is nobody\'s business is in the log');

	my $began = stopwatch($gateway, $node);
	is($gateway->get("$admin/timeline?sleep=20&status=200")->{status}, 503, 'a statement that takes too long');
	cmp_ok($began->seconds, '<', 5, 'is ended');
};

subtest 'lists' => sub {
	my $reply = $gateway->get("$admin/messages?limit=50&cursor=zzz&q=%22a%20b%22");

	is(header($reply, 'x-total-count'), 1234, 'how many there are');
	is(header($reply, 'link'), "<$admin/messages?limit=50&q=%22a%20b%22&cursor=a%20b%2F%C3%A9%261>; rel=\"next\"", 'where the next page is');

	my $etag = header($reply, 'etag');
	like($etag, qr{^W/"[0-9a-f]{32}"$}, 'an entity tag');
	foreach my $have ($etag, "\"x,y\", $etag", '*', $etag =~ s/^W\///r)
	{
		my $again = $gateway->get("$admin/messages", headers => { 'if-none-match' => $have });
		is($again->{status}, 304, "nothing new for who has $have");
		is($again->{content} // '', '', 'no body');
		is(header($again, 'etag'), $etag, 'the tag');
	}
	is($gateway->get("$admin/messages", headers => { 'if-none-match' => 'W/"other"' })->{status}, 200, 'all of it for who has another');
	is($gateway->post("$admin/messages/retry", {}, headers => { 'if-none-match' => '*' })->{status} == 304, '', 'a change is never 304');

	foreach my $accept ('gzip', 'br, GZIP;q=0.5', '*')
	{
		my $zipped = $gateway->get("$admin/messages", headers => { 'accept-encoding' => $accept });
		is(header($zipped, 'content-encoding'), 'gzip', "$accept: compressed");
		cmp_ok(length $zipped->{content}, '<', length($reply->{content}) / 5, 'which pays');
		like(header($zipped, 'vary'), qr/\bAccept-Encoding\b/, 'and caches are told');
	}
	foreach my $accept ('identity', 'gzip;q=0', 'gzip;q=0.0, *;q=1', 'deflate')
	{
		is($gateway->get("$admin/messages", headers => { 'accept-encoding' => $accept })->{content}, $reply->{content}, "$accept: not compressed");
	}
	is(header($gateway->get("$admin/summary", headers => { 'accept-encoding' => 'gzip' }), 'content-encoding'), '', 'what is short is not');
};

subtest 'HEAD, OPTIONS and other sites' => sub {
	my $get = $gateway->get("$admin/messages");
	my $head = $gateway->head("$admin/messages");

	is("$head->{status} $head->{content}", '200 ', 'HEAD has no body');
	is(header($head, 'content-length'), length $get->{content}, 'but its length');
	is(header($head, 'etag'), header($get, 'etag'), 'and its tag');

	my $reply = $gateway->options("$admin/pauses", token => undef);
	is($reply->{status}, 204, 'OPTIONS needs no token');
	is(header($reply, 'allow'), 'GET, HEAD, POST, DELETE, OPTIONS', 'and says what there is');

	my %preflight = (origin => 'https://shop.example', 'access-control-request-method' => 'DELETE');
	$reply = $gateway->options("$admin/pauses", token => undef, headers => \%preflight);
	is(header($reply, 'access-control-allow-origin'), 'https://shop.example', 'a site that is allowed');
	like(header($reply, 'access-control-allow-methods'), qr/DELETE/, 'its methods');
	like(header($reply, 'access-control-allow-headers'), qr/Authorization.*Idempotency-Key/, 'its headers');
	is(header($reply, 'access-control-allow-credentials'), '', 'but never with cookies');

	$reply = $gateway->options("$admin/pauses", token => undef, headers => { %preflight, origin => 'https://evil.example' });
	is(header($reply, 'access-control-allow-origin'), '', 'another site');
	is(header($reply, 'access-control-allow-methods'), '', 'gets nothing');
	like(header($reply, 'vary'), qr/\bOrigin\b/, 'and caches keep them apart');

	foreach my $case ([ "$admin/summary", 'admin' ], [ "$admin/summary", undef ], [ '/nope', undef ])
	{
		my ($path, $token) = @$case;
		$reply = $gateway->get($path, token => $token, headers => { origin => 'https://shop.example' });
		is(header($reply, 'access-control-allow-origin'), 'https://shop.example', "its page may read the $reply->{status}");
	}
	like(header($reply, 'access-control-expose-headers'), qr/Link.*X-Total-Count/, 'with the headers that it needs');
};

subtest 'every response' => sub {
	foreach my $path ("$admin/summary", '/nope', '/healthz', '/app/assets/theme.css')
	{
		my $reply = $gateway->get($path);

		is(header($reply, 'x-content-type-options'), 'nosniff', "$path: is what it says");
		is(header($reply, 'referrer-policy'), 'no-referrer', "$path: tells nobody where it was");
		like(header($reply, 'content-security-policy'), qr/default-src 'none'.*frame-ancestors 'none'/, "$path: runs nothing");
		unlike(header($reply, 'content-security-policy'), qr/unsafe/, "$path: nothing unsafe");
		like(header($reply, 'cache-control'), $path =~ /assets/ ? qr/^no-cache$/ : qr/^no-store$/, "$path: is not kept");
		like(header($reply, 'x-request-id'), qr/^[0-9a-f]{24}$/, "$path: has an id");
	}
	is(header($gateway->get('/healthz', headers => { 'x-request-id' => 'trace-1234.5' }), 'x-request-id'), 'trace-1234.5', 'a given id is kept');
	foreach my $bad ('short', 'x' x 37, 'with space in it', "inje\"cted-id")
	{
		isnt(header($gateway->get('/healthz', headers => { 'x-request-id' => $bad }), 'x-request-id'), $bad, "\"$bad\" is not");
	}
};

subtest 'the log' => sub {
	$gateway->get("$admin/messages/7000123?q=%2B34600000104&secret=opensesame", headers => { 'x-request-id' => 'logged-1' });
	$gateway->get("$admin/tenants/+34600000104/diagnose", headers => { 'x-request-id' => 'logged-2' });
	$gateway->get('/nope/+34600000104/600000104/x', headers => { 'x-request-id' => 'logged-3' });
	$gateway->put('/api/v1/tenants/alba/notification-settings', { note => 'body-of-a-request' }, headers => { 'x-request-id' => 'logged-4' }, token => 'wal_' . 's' x 43);
	$gateway->get("$admin/summary", token => 'a-wrong-token-of-somebody', headers => { 'x-request-id' => 'logged-5' });
	$gateway->get('/healthz', headers => { 'x-request-id' => 'logged-6' });

	my %line = map { $_->{request_id} => $_ } $gateway->access_log;
	is($line{'logged-1'}{path}, "$admin/messages/7000123", "a message's id");
	is($line{'logged-2'}{path}, "$admin/tenants/+\x{2026}04/diagnose", 'a phone number is masked');
	is($line{'logged-3'}{path}, "/nope/+\x{2026}04/\x{2026}04/x", 'also where there is nothing');
	is($line{'logged-4'}{path}, '/api/v1/tenants/alba/notification-settings', 'a tenant');
	is("$line{'logged-4'}{role} $line{'logged-4'}{actor}", 'tenant link', 'who it was');
	is("$line{'logged-1'}{role} $line{'logged-1'}{method} $line{'logged-1'}{peer}", 'admin GET 127.0.0.1', 'and how');
	is($line{'logged-5'}{status}, 401, 'with which outcome');
	like($line{'logged-1'}{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'when');
	cmp_ok($line{'logged-1'}{duration_ms}, '>', 0, 'how long it took');

	my $all = $gateway->read_file('access.log') . $gateway->stderr;
	unlike($all, qr/$_/, "no $_ in any log")
	  foreach qw(opensesame 600000104 body-of-a-request a-wrong-token wal_ssss), values %WaGateway::TOKEN;

	rename $gateway->dir . '/access.log', $gateway->dir . '/access.log.1' or die;
	$gateway->reload;
	wait_until(sub { $gateway->get('/healthz'); -e $gateway->dir . '/access.log' });
	$gateway->get('/healthz', headers => { 'x-request-id' => 'after-rotation' });
	$gateway->get('/healthz');
	like($gateway->read_file('access.log'), qr/after-rotation/, 'a new file after SIGHUP');
};

is($gateway->stop, 0, 'it ends well');

done_testing();
