# The stand-in for the Graph API: nginx as nginx.sh sets it up.
package Bench::Server;

use strict;
use warnings;

use Bench::Process qw(free_ports start wait_for);
use IO::Socket::INET;
use POSIX qw(ceil);

# What is measured against it: how to reach it, and how many requests are in
# flight, for every program the same.  Instant answers need few; at 80 ms a
# thousand are needed to fill two cores.  HTTP/2 puts 100 on a connection.
our @protocols = (
	{ name => 'HTTP/1.1', key => 'h1', offset => 0, in_flight => 64, connections => 64 },
	{
		name => 'HTTP/2 + TLS',
		key => 'h2',
		offset => 2,
		in_flight => 100,
		connections => 1,
		tls => 1,
		h2 => 1
	},
	{
		name => 'HTTP/2 + TLS, answers after 80 ms',
		key => 'h2_80',
		offset => 5,
		in_flight => 1000,
		connections => 10,
		tls => 1,
		h2 => 1,
		slow => 1
	});

sub new
{
	my ($class, $nginx_sh, $dir) = @_;
	my $self = bless { port => free_ports(6), ca_file => "$dir/ca.pem" }, $class;

	mkdir $dir or die "$dir: $!\n";
	start("$dir/nginx.out", $nginx_sh, $dir, $self->{port});
	wait_for(
		'nginx starts',
		20,
		sub {
			IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port} + 5);
		});
	return $self;
}

sub url
{
	my ($self, $protocol) = @_;
	return
		($protocol->{tls} ? 'https' : 'http')
	  . '://127.0.0.1:'
	  . ($self->{port} + $protocol->{offset});
}

# The settings with which so many senders use it.
sub settings
{
	my ($self, $protocol, $senders) = @_;
	my $share = sub { ceil($_[0] / ($senders // 1)) };
	return (
		'whatsapp_shared.graph_url' => $self->url($protocol),
		'whatsapp_shared.ca_file' => $protocol->{tls} ? $self->{ca_file} : undef,
		'whatsapp_shared.max_in_flight' => $share->($protocol->{in_flight}),
		'whatsapp_shared.max_connections' => $share->($protocol->{connections}));
}

1;
