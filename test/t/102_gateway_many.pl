# Many connections, and what they cost.

use strict;
use warnings;

# Ten thousand connections need as many descriptors, if there may be so many.
BEGIN
{
	exec 'bash', '-c', 'ulimit -n 22000 2> /dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"', 'bash', $^X, (map { "-I$_" } @INC), $0, 'again'
	  unless @ARGV && $ARGV[0] eq 'again';
}

use FindBin;
use lib "$FindBin::RealBin/../lib";

use File::Temp ();
use IO::Select;
use PostgreSQL::Test::Utils;
use Socket;
use Test::More;
use WaGateway;
use WaLoad qw(stopwatch wait_until);

my $dir = File::Temp->newdir;

sub write_secret
{
	umask 077;
	open my $fh, '>', "$dir/secret" or die "secret: $!";
	print $fh "the-secret-of-an-app\n";
	close $fh;
	return "$dir/secret";
}

# No database is needed for this.
my $gateway = WaGateway->start(undef,
	database => 'host=127.0.0.1 port=1', wait => 0, arguments => [ '--app-secret-file' => write_secret(), '--request-timeout-s' => 60, '--access-log' => '' ]);
my $descriptors = `bash -c 'ulimit -n'`;
my $many = $descriptors eq "unlimited\n" || $descriptors > 10_500 ? 10_000 : $descriptors - 500;

# In kB.
sub private_memory
{
	my $sum = 0;

	open my $fh, '<', '/proc/' . $gateway->pid . '/smaps_rollup' or die "smaps_rollup: $!";
	while (my $line = <$fh>)
	{
		$sum += $1 if $line =~ /^Private_\w+:\s+(\d+)/;
	}
	return $sum;
}

# What is open at the other end.
sub descriptors
{
	opendir my $dir, '/proc/' . $gateway->pid . '/fd' or die "fd: $!";
	return scalar(() = readdir $dir);
}

# Without all that a module does for one.
my $address = pack_sockaddr_in($gateway->port, inet_aton('127.0.0.1'));

sub connection
{
	socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
	connect $socket, $address or die "connect: $!";
	return $socket;
}

sub ask
{
	my ($socket) = @_;
	my $answer = '';

	print $socket "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	$socket->flush;
	while ($answer !~ /\r\n\r\n\{.*\}/s)
	{
		sysread $socket, $answer, 4096, length $answer or last;
	}
	return $answer;
}

sub is_closed
{
	my ($socket) = @_;
	return IO::Select->new($socket)->can_read(0) && !sysread($socket, my $byte, 1);
}

my $before = private_memory();
my $open = descriptors();
my @idle = map { connection() } 1 .. $many;
wait_until(sub { descriptors() >= $open + $many });
is(descriptors(), $open + $many, "$many connections on which nothing comes");
cmp_ok((private_memory() - $before) / $many, '<', 1.5, 'cost less than 1.5 kB each');

# Heads that do not end.
my $slow = $many > 2000 ? 1000 : 100;
foreach my $socket (@idle[ 0 .. $slow - 1 ])
{
	print $socket "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ";
	$socket->flush;
}

# Those that have asked something may stay, but not all of them.
my @asked = map { connection() } 1 .. 400;
my @answers = map { ask($_) } @asked;
is(scalar(grep { m{^HTTP/1\.1 200 } } @answers), 400, 'who asks is answered');
is(scalar(grep { /^Connection: close\r$/m } @answers), 400 - 256, 'some are told that this was their last request');
wait_until(sub { (grep { is_closed($_) } @asked[ 256 .. 399 ]) >= 144 });
is(scalar(grep { is_closed($_) } @asked[ 256 .. 399 ]), 144, 'and closed');
is(scalar(grep { m{^HTTP/1\.1 200 } } map { ask($_) } @asked[ 0 .. 255 ]), 256, 'the others go on');
cmp_ok(private_memory(), '<', 32 * 1024, 'all of it together is less than 32 MB');

my $began = stopwatch($gateway);
is($gateway->get('/healthz')->{status}, 200, 'a newcomer is served');
cmp_ok($began->seconds, '<', 0.5, 'at once');

# Places become free.
close $_ foreach @asked;
wait_until(sub { descriptors() <= $open + $many + 20 });
unlike(ask($gateway->connect), qr/^Connection: close\r$/m, 'when others have left, it may stay');
diag sprintf '%d connections, %d with half a head, 256 kept open: %d kB', $many, $slow, private_memory();

# Bodies that are begun and not finished are not kept beyond all bounds, and those
# who send the most have to go.
sub begin_webhook
{
	my ($length, $sent) = @_;
	my $socket = connection();

	print $socket "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Hub-Signature-256: sha256="
	  . ('0' x 64) . "\r\nContent-Length: $length\r\n\r\n" . ('x' x $sent);
	$socket->flush;
	return $socket;
}
local $SIG{PIPE} = 'IGNORE';
close $_ foreach @idle;
my @large = map { begin_webhook(3_000_000, 2_900_000) } 1 .. 8;
wait_until(sub { (grep { is_closed($_) } @large) >= 4 });
is(scalar(grep { is_closed($_) } @large), 4, 'of eight large bodies that are not finished four are kept');
cmp_ok(private_memory(), '<', 32 * 1024, 'that is still less than 32 MB');

# 1.8 MB more than there is room for, if all four are to be kept.
my @small = map { begin_webhook(60_001, 60_000) } 1 .. 30;
my $judged = 0;
foreach my $socket (@small)
{
	my $answer = '';

	print $socket 'x';
	$socket->flush;
	sysread $socket, $answer, 4096;
	$judged++ if $answer =~ m{^HTTP/1\.1 401 };
}
is($judged, 30, 'short ones are read, and judged');

is($gateway->stop, 0, 'the end');
done_testing();
