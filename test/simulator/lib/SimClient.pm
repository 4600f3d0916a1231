# SimClient: what the simulator's own tests share: bodies, and a client on a raw
# socket that sees exactly how an exchange ended.
package SimClient;

use strict;
use warnings;

use Errno qw(ECONNRESET EPIPE);
use Exporter qw(import);
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);
use WaLoad qw(patience);

our @EXPORT = qw(NUMBER WABA TOKEN text_message template_message encode decode
  request send_message api raw_open raw_write raw_read message_request);

use constant NUMBER => '100000000000001';
use constant WABA   => '300000000000001';
use constant TOKEN  => 'SIMULATOR_TOKEN';

my $json = JSON::PP->new->utf8->canonical;
my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 0);

sub encode { return $json->encode($_[0]) }
sub decode { return $json->decode($_[0]) }

sub text_message
{
	my (%more) = @_;
	return {
		messaging_product => 'whatsapp',
		to                => '+34600900001',
		type              => 'text',
		text              => { body => 'Hola' },
		%more,
	};
}

# pedido_nuevo with its five parameters.
sub template_message
{
	my (%more) = @_;
	return {
		messaging_product => 'whatsapp',
		to                => '+34600900001',
		type              => 'template',
		template          => {
			name       => 'pedido_nuevo',
			language   => { code => 'es' },
			components => [
				{
					type       => 'body',
					parameters => [ map { { type => 'text', text => $_ } } qw(A B C D E) ]
				}
			],
		},
		%more,
	};
}

# An API call: (status, decoded body or undef, headers).
sub api
{
	my ($sim, $method, $path, %options) = @_;
	my %headers = (Authorization => 'Bearer ' . ($options{token} // TOKEN), %{ $options{headers} // {} });
	delete $headers{Authorization} if exists $options{token} && !defined $options{token};
	my $response = $http->request(
		$method,
		$sim->url . "/v25.0/$path",
		{
			headers => \%headers,
			defined $options{content} ? (content => $options{content}) : ()
		});
	return ($response->{status}, scalar eval { decode($response->{content}) }, $response->{headers});
}

sub send_message
{
	my ($sim, $message, %options) = @_;
	my $number = $options{number} // NUMBER;
	my $edge   = $options{edge}   // 'messages';
	return api($sim, 'POST', "$number/$edge", %options,
		content => ref $message ? encode($message) : $message);
}

# The bytes of a send request.
sub message_request
{
	my ($message, %options) = @_;
	my $body = encode($message);
	return sprintf("POST /v25.0/%s/messages HTTP/1.1\r\nHost: localhost\r\n"
		  . "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
		  . "Content-Length: %d\r\n\r\n%s",
		$options{number} // NUMBER, TOKEN, length $body, $body);
}

sub raw_open
{
	my ($sim) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $sim->port)
	  or die "could not connect: $@";
	$socket->autoflush(1);
	setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);
	return $socket;
}

# True if the peer still took the bytes.
sub raw_write
{
	my ($socket, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $n = syswrite($socket, $bytes);
	return defined $n && $n == length $bytes;
}

# Reads until the answer is whole, the connection ends, or the time is over.
# Returns a hash: bytes, end ("whole", "eof", "reset", "timeout"), status, body.
sub raw_read
{
	my ($socket, $timeout) = @_;
	my %got    = (bytes => '', end => 'timeout');
	my $select = IO::Select->new($socket);
	my $until  = time + ($timeout // patience());
	my $whole;

	while (1)
	{
		if (!defined $got{head} && $got{bytes} =~ m{\A(HTTP/1\.1 (\d+).*?\r\n\r\n)}s)
		{
			@got{qw(head status)} = ($1, $2);
			$whole = length($got{head}) + $1 if $got{head} =~ /^Content-Length: (\d+)/mi;
		}
		if (defined $whole && length $got{bytes} >= $whole)
		{
			$got{end} = 'whole';
			last;
		}
		my $left = $until - time;
		last if $left <= 0 || !$select->can_read($left);
		my $n = sysread($socket, $got{bytes}, 1 << 20, length $got{bytes});
		if (!defined $n)
		{
			$got{end} = $! == ECONNRESET || $! == EPIPE ? 'reset' : "error $!";
			last;
		}
		if ($n == 0)
		{
			$got{end} = 'eof';
			last;
		}
	}
	$got{body} = substr($got{bytes}, length $got{head}) if defined $got{head};
	return \%got;
}

# One send request on a connection of its own.
sub request
{
	my ($sim, $message, $timeout) = @_;
	my $socket = raw_open($sim);
	raw_write($socket, message_request($message));
	return raw_read($socket, $timeout);
}

1;
