# The HTTP server that the programs share, by a small program that uses all of it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Fcntl qw(F_SETFD);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::IP;
use SimClient qw(raw_open raw_write raw_read);
use Test::More;
use Time::HiRes qw(time);
use WaLoad qw(patience wait_until);

my $dir = "$FindBin::Bin/httpd";
system('make', '-s', '-C', $dir) == 0 or BAIL_OUT('the program does not compile');

# One run of the program.  raw_open() asks for the port.
package Probe
{
	sub start
	{
		my ($class, $deadline_ms, @listeners) = @_;
		my $self = bless { addresses => [] }, $class;

		$self->{pid} = open $self->{out}, '-|', "$dir/httpd_probe", $deadline_ms, @listeners
		  or die "httpd_probe: $!";
		foreach (@listeners)
		{
			my $line = readline($self->{out}) // die 'httpd_probe ended';
			push @{ $self->{addresses} }, $line =~ /^listening on (\S+)$/;
		}
		return $self;
	}

	sub port { return $_[0]{addresses}[ $_[0]{which} // 0 ] =~ s/.*://r }

	# Waits for the end: (what it still printed, its status).
	sub finish
	{
		my ($self) = @_;
		my $rest = join '', readline $self->{out};

		close $self->{out};
		return ($rest, $?);
	}
}

my $probe = Probe->start(0, '127.0.0.1:0');

sub http
{
	my ($method, $path, $body, @headers) = @_;
	return join "\r\n", "$method $path HTTP/1.1", 'Host: x', @headers,
	  defined $body ? 'Content-Length: ' . length $body : (), '', $body // '';
}

# A whole exchange on a connection of its own.
sub get
{
	my ($path, @headers) = @_;
	my $socket = raw_open($probe);

	raw_write($socket, http('GET', $path, undef, @headers));
	return raw_read($socket);
}

sub post
{
	my ($path, $body, @headers) = @_;
	my $socket = raw_open($probe);

	raw_write($socket, http('POST', $path, $body, @headers));
	return raw_read($socket);
}

sub stat_of
{
	my ($name) = @_;
	return get('/stats')->{body} =~ /\b$name (\d+)/ ? $1 : undef;
}

# Waits until a number of /stats is what it should be.
sub stat_becomes
{
	my ($name, $wanted, $test) = @_;
	my $seen;

	wait_until(sub { ($seen = stat_of($name)) == $wanted });
	is($seen, $wanted, $test);
	return;
}

# What comes until this many of them are in it, however it is cut.
sub read_until
{
	my ($socket, $wanted, $times) = @_;
	my $text = '';

	until ((() = $text =~ /$wanted/g) >= $times)
	{
		last unless IO::Select->new($socket)->can_read(patience()) && sysread $socket, $text, 65536, length $text;
	}
	return $text;
}

subtest 'request and response' => sub {
	my $seen = get('/hello', 'X-Name: Ana');
	is($seen->{status}, 200, 'status');
	is($seen->{body}, 'Ana', 'a header of the request');
	like($seen->{head}, qr/^X-Loopback: yes\r$/m, 'a header of the response');
	like($seen->{head}, qr{^Content-Type: text/plain\r$}m, 'content type');
	is(get('/nowhere')->{status}, 404, 'another path');

	my $socket = raw_open($probe);
	raw_write($socket, http('GET', '/hello') x 3);
	is(scalar(() = read_until($socket, qr/hello/, 3) =~ /hello/g), 3, 'pipelined requests');
};

# What the library makes of a head, and whether it had to mend it.
sub head_is
{
	my ($bytes, $wanted, $name) = @_;
	my $socket = raw_open($probe);

	raw_write($socket, $bytes);
	is(raw_read($socket)->{body}, $wanted, $name);
	return;
}

# A malformed one is mended, and that is known; or the library refuses it, as later versions do.
sub malformed
{
	my ($bytes, $wanted, $name) = @_;
	my $socket = raw_open($probe);

	raw_write($socket, $bytes);
	my $seen = raw_read($socket);
	my $refused = ($seen->{status} // 0) == 400 || $seen->{end} =~ /^(?:eof|reset)$/;
	is($refused ? 'refused' : $seen->{body}, $refused ? 'refused' : "mended $wanted", $name);
	return;
}

subtest 'heads' => sub {
	my $host = "HTTP/1.1\r\nHost: x";

	head_is("GET /head?a=%41%2f $host\r\nA:b\r\nC: \t d\r\n\r\n", 'exact GET /head?a=%41%2f: Host=x A=b C=d',
		'as it came, the target not decoded');
	head_is("\r\nGET /head $host\r\n\r\n", 'exact GET /head: Host=x', 'after an empty line');
	my $many = join '', map { "X-$_: " . 'y' x 60 . "\r\n" } 1 .. 90;
	head_is("GET /head $host\r\n$many\r\n", "exact GET /head: Host=x @{[ join ' ', map { qq{X-$_=} . 'y' x 60 } 1 .. 90 ]}",
		'a head for which the buffer grows');
	my $socket = raw_open($probe);
	raw_write($socket, http('POST', '/echo', 'abc') . "GET /head $host\r\n\r\n");
	is(read_until($socket, qr{/head: Host=x}, 1) =~ s/.*\r\n//sr, 'exact GET /head: Host=x', 'one behind a body, in the same bytes');

	malformed("GET /head HTTP/1.1\nHost: x\r\n\r\n", 'GET /head: Host=x', 'LF alone after the request line');
	malformed("GET /head $host\nA: b\r\n\r\n", 'GET /head: Host=x A=b', 'after a header');
	malformed("GET /head $host\n\r\n", 'GET /head: Host=x', 'after the last header');
	malformed("GET /head $host\r\n\n", 'GET /head: Host=x', 'at the end');
	malformed("GET /head\0/x $host\r\n\r\n", 'GET /head: Host=x', 'NUL in the target');
	malformed("GET\0X /head $host\r\n\r\n", 'GET /head: Host=x', 'in the method');
	malformed("GET /head $host\r\nA: b\0c\r\n\r\n", 'GET /head: Host=x A=b', 'in a header');
	malformed("GET  /head $host\r\n\r\n", 'GET /head: Host=x', 'two blanks');
	malformed("GET /head $host\r\nContent-Len: 5\r\n gth\r\n\r\n", 'GET /head: Host=x Content-Length=5',
		'a folded line');
};

subtest 'bodies' => sub {
	is(post('/echo', 'x' x 1000)->{body}, 'x' x 1000, 'as long as allowed');
	is(post('/echo', 'x' x 1001)->{status}, 413, 'longer');
	is(post('/echo', 'x' x 5_000_000)->{end}, 'whole', 'the client of a very long one gets its response');

	my $socket = raw_open($probe);
	raw_write($socket, http('POST', '/echo', 'abc'));
	is(raw_read($socket)->{body}, 'abc', 'a body');
	raw_write($socket, http('POST', '/echo', ''));
	is(raw_read($socket)->{body}, '', 'is not seen by the next request');

	my $seen = post('/echo', '1234567', 'X-Cut: 1');
	is($seen->{end}, 'reset', 'a hook ends the connection within the body');
	$socket = raw_open($probe);
	raw_write($socket, "POST /echo HTTP/1.1\r\nHost: x\r\nX-Refuse: 1\r\nContent-Length: 1000000\r\n\r\n");
	$seen = raw_read($socket);
	is($seen->{status}, 403, 'a hook responds to the head alone');
	like($seen->{head}, qr/^Connection: close\r$/mi, 'and the connection closes');
};

subtest 'waiting' => sub {
	my $start = time;
	is(get('/delay?ms=300')->{body}, 'late', 'a delay');
	cmp_ok(time - $start, '>=', 0.3, 'of that length');

	my @waiting = map { raw_open($probe) } 1 .. 50;
	raw_write($_, http('GET', '/hold')) foreach @waiting;
	stat_becomes(requests => 51, 'fifty requests are held');
	is(get('/hello')->{status}, 200, 'others are served meanwhile');
	get('/release');
	is(scalar(grep { raw_read($_)->{body} eq 'released' } @waiting), 50, 'and finished');

	is(get('/hold?ms=50')->{status}, 504, 'one that expires');
	my $socket = raw_open($probe);
	raw_write($socket, http('GET', '/hold?ms=30000'));
	stat_becomes(requests => 2, 'one that is held with a time limit');
	get('/release');
	is(raw_read($socket)->{body}, 'released', 'is finished before');
	raw_write($socket, http('GET', '/hello'));
	is(raw_read($socket)->{body}, 'hello', 'its connection goes on');

	my $expired = stat_of('expired');
	raw_write($socket, http('GET', '/hold?rest=100&big=1'));
	stat_becomes(requests => 2, 'one whose response will take long');
	get('/release');
	is(get('/hold?ms=100')->{status}, 504, 'while it is being sent, its time limit passes');
	is(stat_of('expired') - $expired, 1, 'which nobody is told of any more');
	is(length raw_read($socket)->{body}, 30_000_000, 'and the response is whole');
};

subtest 'another descriptor in the loop' => sub {
	is(get('/ask')->{body}, 'answered', 'a request that waits for a socket');
	get('/reconnect');
	is(get('/ask')->{body}, 'answered', 'which was closed and got its number again');
	kill USR1 => $probe->{pid};
	stat_becomes(signals => 1, 'a signal');
};

subtest 'ends' => sub {
	my $unsent = stat_of('unsent');
	is(get('/abort')->{end}, 'eof', 'aborted by FIN');
	is(get('/abort?reset=1')->{end}, 'reset', 'aborted by RST');
	is(stat_of('unsent') - $unsent, 2, 'both are reported');

	my $socket = raw_open($probe);
	raw_write($socket, http('GET', '/hold?watch=1'));
	stat_becomes(requests => 2, 'a request is held');
	close $socket;
	stat_becomes(requests => 1, 'its client leaves, which is noticed');

	$socket = raw_open($probe);
	raw_write($socket, http('GET', '/hold'));
	stat_becomes(requests => 2, 'another is held');
	close $socket;
	get('/release');
	stat_becomes(requests => 1, 'its client leaves, which the response finds out');
	is(get('/slow')->{body}, 'abcdefghijkl', 'a body in pieces');
	my $seen = get('/slow?cut=2');
	is($seen->{end}, 'reset', 'a body that is cut');
	stat_becomes(connections => 1, 'no connection is left behind');
};

subtest 'graceful end' => sub {
	my $held    = raw_open($probe);
	my $partial = raw_open($probe);
	my $request = http('POST', '/echo', 'half and half');
	my $kept    = raw_open($probe);
	raw_write($kept, http('GET', '/hello'));
	raw_read($kept);
	raw_write($held, http('GET', '/hold'));
	raw_write($partial, substr $request, 0, -4);
	stat_becomes(requests => 3, 'two requests in flight');

	my $port = $probe->port;
	kill TERM => $probe->{pid};
	ok(wait_until(sub { !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }), 'no new connection');
	raw_write($partial, substr $request, -4);
	my $seen = raw_read($partial);
	is($seen->{body}, 'half and half', 'one that was coming in is served');
	like($seen->{head}, qr/^Connection: close\r$/mi, 'and told that the connection closes');
	raw_write($kept, http('GET', '/release'));
	is(raw_read($kept)->{body}, 'done', 'a kept connection may still ask');
	is(raw_read($held)->{body}, 'released', 'one that was waiting is finished');
	my ($rest, $status) = $probe->finish;
	is($rest, "drained\n", 'then the program hears of it');
	is($status, 0, 'and ends in good order');
};

subtest 'listeners' => sub {
	my $inherited = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', LocalPort => 0) or die $!;
	fcntl $inherited, F_SETFD, 0 or die $!;
	my @more = IO::Socket::IP->new(Listen => 1, LocalAddr => '::1', LocalPort => 0) ? '[::1]:0' : ();
	$probe = Probe->start(0, '127.0.0.1:0', fileno $inherited, @more);
	is($probe->{addresses}[1], '127.0.0.1:' . $inherited->sockport, 'an inherited socket');
	like($probe->{addresses}[2], qr/^\[::1\]:[1-9]\d*$/, 'an address in brackets') if @more;
	close $inherited;
	foreach my $which (0, 1)
	{
		$probe->{which} = $which;
		is(get('/hello')->{body}, 'hello', "listener $which serves");
	}
	kill TERM => $probe->{pid};
	is(($probe->finish)[1], 0, 'all of them end');

	my $output = `$dir/httpd_probe 0 0 </dev/null 2>&1`;
	is($output, "httpd_probe: descriptor 0 cannot be used to listen: Socket operation on non-socket\n", 'no socket');
	my $plain = IO::Socket::INET->new(Proto => 'udp') or die $!;
	fcntl $plain, F_SETFD, 0 or die $!;
	$output = sprintf '%s/httpd_probe 0 %d 2>&1', $dir, fileno $plain;
	like(`$output`, qr/is not a listening socket/, 'a socket that does not listen');
};

# A connection on which the bytes were sent long before the deadline of the next subtest.
sub punctual
{
	my ($bytes) = @_;

	while (1)
	{
		my $began = time;
		my $socket = raw_open($probe);

		raw_write($socket, $bytes);
		return $socket if time - $began < 0.4;
	}
}

subtest 'deadline' => sub {
	$probe = Probe->start(800, '127.0.0.1:0');
	my $idle = raw_open($probe);
	my $slow = raw_open($probe);
	my $drip = raw_open($probe);
	raw_write($slow, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");

	# A byte now and then keeps the connection busy and helps nothing.
	ok(wait_until(sub { !raw_write($drip, 'G') || IO::Select->new($drip)->can_read(0.05) }),
		'a head that comes byte by byte');
	is(raw_read($slow)->{end}, 'eof', 'a body that does not come');
	is(raw_read($idle)->{end}, 'eof', 'a connection without a request');

	# All at once, so that the deadline passes on the program's side only.
	my $kept = punctual(http('GET', '/delay?ms=500') x 2 . http('GET', '/delay?ms=1000') . http('GET', '/hello'));
	my $text = '';
	1 while IO::Select->new($kept)->can_read(patience()) && sysread $kept, $text, 65536, length $text;
	is(scalar(() = $text =~ /late/g), 3, 'it starts anew with each request, and leaves the program as much time as it takes');
	like($text, qr/hello\z/, 'also the last one, and ends a kept connection without a next request');
	my $unsent = stat_of('unsent');
	my $deaf = punctual(http('GET', '/big'));
	stat_becomes(unsent => $unsent + 1, 'a client that does not read its response');
	stat_becomes(connections => 1, 'is disconnected');
	kill TERM => $probe->{pid};
	is(($probe->finish)[1], 0, 'ends in good order');
};

done_testing();
