# Where the gateway takes its settings from, where it listens, and the files that
# are part of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use File::Temp ();
use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WaGateway;
use WaLoad qw(patience wait_until);

my $dir = File::Temp->newdir;
my $no_database = 'host=127.0.0.1 port=1';

sub write_file
{
	my ($name, $text) = @_;
	open my $fh, '>', "$dir/$name" or die "$name: $!";
	print $fh $text;
	close $fh;
	return "$dir/$name";
}

# Runs it to its end: what it is refused for.
sub refused
{
	my ($environment, @arguments) = @_;
	my ($out, $err) = ('', '');

	local %ENV = (%ENV, %$environment);
	IPC::Run::run([ 'timeout', '10', WaGateway->binary, @arguments ], '>', \$out, '2>', \$err);
	return ($? >> 8, $err, $out);
}

sub start
{
	my (%options) = @_;
	return WaGateway->start(undef, database => $no_database, wait => 0, %options);
}

sub header { return $_[0]->{headers}{ lc $_[1] } // '' }

subtest 'what is wrong is said, with what was expected' => sub {
	my @cases = (
		[ qr/unknown argument "--nope" \(see --help\)/, {}, '--nope' ],
		[ qr/--pool-size: "many" is not an integer between 1 and 100/, {}, '--pool-size', 'many' ],
		[ qr/--pool-size: "0" is not an integer between/, {}, '--pool-size=0' ],
		[ qr/"--pool-size" requires a value: N/, {}, '--pool-size' ],
		[ qr/WA_GATEWAY_WAIT_MS: "x" is not an integer between 0 and 60000/, { WA_GATEWAY_WAIT_MS => 'x' } ],
		[ qr/\S+bad\.conf, line 2: "nonsense" is not a setting/, {}, '--config', write_file('bad.conf', "# a comment\nnonsense = 1\n") ],
		[ qr/\S+bad2\.conf, line 1: expected "name = value"/, {}, '--config', write_file('bad2.conf', "pool_size 3\n") ],
		[ qr/\S+bad3\.conf, line 1: "-1" is not an integer/, {}, '--config', write_file('bad3.conf', "pool_size = -1\n") ],
		[ qr/could not open ".*none\.conf"/, {}, '--config', "$dir/none.conf" ],
		[ qr/--database: invalid connection option "hots"/, {}, '--database', 'hots=x' ],
		[ qr/--webhook-database: invalid connection option "hots"/, {}, '--webhook-database', 'hots=x' ],
		[ qr{--allow-origin: "https://a/b" is not an origin, http\[s\]://host\[:port\]}, {}, '--allow-origin', 'https://a/b' ],
		[ qr/--frame-ancestors: .* is not an origin/, {}, '--frame-ancestors', "https://a; script-src 'unsafe-inline'" ],
		[ qr/"nowhere" is not HOST:PORT/, {}, '--listen', 'nowhere' ],
		[ qr/there is no address to listen on/, {}, '--listen', '' ],
		[ qr/--tls-cert and --tls-key belong together/, {}, '--tls-cert', '/dev/null' ],
		[ qr/--theme: could not read/, {}, '--theme', "$dir/none.css" ],
	);

	foreach my $case (@cases)
	{
		my ($pattern, $environment, @arguments) = @$case;
		my ($status, $err) = refused($environment, @arguments);

		is($status, 1, "@arguments: refused");
		like($err, qr/^wa_gateway: $pattern/m, 'in these words');
	}
	my (undef, undef, $help) = refused({}, '--help');
	like($help, qr/^  --$_\b/m, "--help has --$_") foreach qw(listen database admin-token-file access-log config version);
	my (undef, undef, $version) = refused({}, '--version');
	like($version, qr/^wa_gateway \(whatsapp_shared\) \d+\.\d+\.\d+$/, '--version');
};

subtest 'the file, the environment, the arguments' => sub {
	my $file = write_file('good.conf', <<'CONF');
# Which sites may call us.
allow_origin = "https://file.example"
  idle-timeout-s=30
theme = ''
CONF
	my $gateway = start(
		arguments => [ '--config' => $file, '--allow-origin=https://argument.example' ],
		environment => { WA_GATEWAY_ALLOW_ORIGIN => 'https://one.example https://two.example' });

	foreach my $site (qw(file argument one two))
	{
		my $reply = $gateway->get('/healthz', headers => { origin => "https://$site.example" });
		is(header($reply, 'access-control-allow-origin'), "https://$site.example", "a list is all of them: $site");
	}
	my $first = write_file('first.css', ':root { --from: file }');
	my $second = write_file('second.css', ':root { --from: environment }');
	my $third = write_file('third.css', ':root { --from: argument }');
	$file = write_file('theme.conf', "theme = '$first'\n");
	my @from = (
		[ file => [ '--config' => $file ], {} ],
		[ environment => [ '--config' => $file ], { WA_GATEWAY_THEME => $second } ],
		[ argument => [ '--theme' => $third ], { WA_GATEWAY_THEME => $second, WA_GATEWAY_CONFIG => $file } ]);
	foreach my $case (@from)
	{
		my ($name, $arguments, $environment) = @$case;
		my $other = start(arguments => $arguments, environment => $environment);
		like($other->get('/app/assets/theme.css', token => undef)->{content}, qr/--from: $name /, "the last word: $name");
	}
};

subtest 'addresses' => sub {
	my $gateway = start(arguments => [ map { ("--$_-listen" => '127.0.0.1:0') } qw(webhook admin metrics) ]);
	my ($everything, $webhook, $admin, $metrics) = $gateway->urls;

	is(scalar $gateway->urls, 4, 'four of them');
	my %expected = (
		'/api/v1/admin/whatsapp/summary' => [ 404, 404, 401, 404 ],
		'/app/admin/whatsapp' => [ 404, 404, 200, 404 ],
		'/healthz' => [ 200, 200, 200, 200 ]);
	foreach my $path (sort keys %expected)
	{
		my @got = map { $gateway->get("$_$path", token => undef)->{status} } $everything, $webhook, $admin, $metrics;
		is_deeply(\@got, $expected{$path}, "$path is where it belongs");
	}
	isnt($gateway->get("$webhook/webhook", token => undef)->{status}, 404, '/webhook on its own');
	is($gateway->get("$admin/webhook", token => undef)->{status}, 404, 'and nowhere else');
	is($gateway->get("$metrics/metrics", token => undef)->{status}, 200, '/metrics without a token, on its own');
	is($gateway->get("$everything/metrics", token => undef)->{status}, 401, 'with one, elsewhere');
};

subtest 'a log that nobody reads' => sub {
	my $gateway = start(arguments => [ '--access-log' => 'stdout' ]);
	my $text = '';
	my @codes = map { $gateway->get('/healthz', token => undef)->{status} } 1 .. 1000;

	is_deeply([ grep { $_ != 200 } @codes ], [], 'a pipe that is full stops nobody');

	# Now somebody reads, and is told what he has missed.
	my $select = IO::Select->new($gateway->{out});
	my $deadline = time + patience();
	while ($text !~ /dropped_lines/ && time < $deadline)
	{
		sysread $gateway->{out}, $text, 65536, length $text while $select->can_read(0);
		$gateway->get('/healthz', token => undef);
		usleep(10_000);
	}
	my ($dropped) = $text =~ /^\{"time":"[^"]*","dropped_lines":(\d+)\}$/m;
	cmp_ok($dropped // 0, '>', 100, 'lines were dropped and counted');
	my @whole = grep { /^\{.*\}$/ } split /\n/, $text;
	is(scalar @whole, scalar(() = $text =~ /\n/g), 'and none was cut');
};

subtest 'errors that nobody reads' => sub {
	my $program = write_file('program', sprintf qq(#!/bin/sh\nexec %s "\$@" 2>>%s/errors\n), WaGateway->binary, $dir);
	mkfifo("$dir/errors", 0600) && chmod(0700, $program) or die "could not set up a pipe: $!";
	open my $errors, '+<', "$dir/errors" or die "errors: $!";
	local $ENV{WA_GATEWAY} = $program;
	my $gateway = start(arguments => [ '--access-log' => 'stderr' ]);

	# The log fills the pipe, and a token file that is none makes a line each time.
	$gateway->get('/healthz', token => undef) foreach 1 .. 1000;
	$gateway->write_file('admin', 'short');
	my $status = 200;
	for (my $i = 0; $i < 50 && $status == 200; $i++)
	{
		$gateway->reload;
		$status = $gateway->get('/healthz', token => undef)->{status};
	}
	is($status, 200, 'a pipe that is full stops nobody');

	sysread $errors, my $text, 1 << 20;
	$gateway->reload;
	like(scalar <$errors>, qr/^wa_gateway: .*admin: has a token that is shorter/, 'who reads again, is told the next one');
};

subtest 'pages' => sub {
	my $theme = write_file('theme.css', ":root { --color: red }\n");
	my $gateway = start(arguments => [ '--theme' => $theme, '--frame-ancestors' => 'https://shop.example', '--frame-ancestors=https://other.example' ]);
	my %type = (html => 'text/html; charset=utf-8', css => 'text/css; charset=utf-8', js => 'text/javascript; charset=utf-8', json => 'application/json', svg => 'image/svg+xml');
	my %size;

	foreach my $file (sort glob "$FindBin::RealBin/../../src/bin/gateway/pages/*/*.*")
	{
		my ($folder, $name, $ending) = $file =~ m{([^/]+)/([^/]+\.(\w+))$};
		my $reply = $gateway->get("/app/assets/$folder/$name", token => undef);

		is($reply->{content}, slurp_file($file), "$folder/$name");
		is(header($reply, 'content-type'), $type{$ending}, "$name: its type");
		is(header($reply, 'cache-control'), 'no-cache', "$name: asked about each time");
		my $zipped = $gateway->get("/app/assets/$folder/$name", token => undef, headers => { 'accept-encoding' => 'gzip' });
		cmp_ok(length $zipped->{content}, '<=', -s $file, "$name: never longer when compressed");
		$size{$folder} += length $zipped->{content};
	}
	cmp_ok($size{common} + ($size{$_} // 0), '<', 150_000, "the $_ page is less than 150 kB") foreach qw(admin owner);

	foreach my $path ('/app/assets/admin/none.js', '/app/assets/admin/index.html/x', '/app/assets/admin', '/app/assets/../main.c', '/app/assets/%2e%2e/main.c')
	{
		like($gateway->get($path, token => undef)->{status}, qr/^40[04]$/, "$path is none of them");
	}

	my $page = $gateway->get('/app/admin/whatsapp', token => undef);
	my $policy = header($page, 'content-security-policy');
	is(header($page, 'content-type'), 'text/html; charset=utf-8', 'a page');
	like($policy, qr/(?:^|; )$_(?:;|$)/, "its policy: $_") foreach "default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'";
	unlike($policy, qr/unsafe|\*|https?:/, 'and nothing that opens it');
	is(header($page, 'x-content-type-options'), 'nosniff', 'nor anything to guess');
	is(header($page, 'cross-origin-opener-policy'), 'same-origin', 'no window of others');
	like(header($page, 'permissions-policy'), qr/camera=\(\)/, 'no camera');
	unlike($page->{content}, qr/<script(?![^>]*\bsrc=)[^>]*>|\bon\w+=|style=/, 'no script stands in it');
	my $again = $gateway->get('/app/admin/whatsapp', token => undef, headers => { 'if-none-match' => header($page, 'etag') });
	is($again->{status}, 304, 'who has it is told so');
	is(header($again, 'content-security-policy'), $policy, 'with the same policy');

	my $owner = $gateway->get('/app/settings/notifications/alba', token => undef);
	if ($owner->{status} == 200)
	{
		like(header($owner, 'content-security-policy'), qr{frame-ancestors https://shop\.example https://other\.example$}, "the owner's page may be embedded");
	}

	is($gateway->get('/app/assets/theme.css', token => undef)->{content}, ":root { --color: red }\n", 'a theme');
	write_file('theme.css', ":root { --color: blue }\n");
	$gateway->reload;
	wait_until(sub { $gateway->get('/app/assets/theme.css', token => undef)->{content} =~ /blue/ });
	is($gateway->get('/app/assets/theme.css', token => undef)->{content}, ":root { --color: blue }\n", 'read again after SIGHUP');
	unlink "$dir/theme.css";
	$gateway->reload;
	is($gateway->get('/app/assets/theme.css', token => undef)->{content}, ":root { --color: blue }\n", 'and kept when it cannot be') for 1 .. 5;
};

done_testing();
