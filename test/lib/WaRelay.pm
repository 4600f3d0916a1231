# A relay in front of a server: it lets each new connection wait, as a distant host
# does, and it can die and come back, with everything that was under way.
#
#   my $relay = WaRelay->start(port => $sim->port, connect_delay => 0.03);
#   $relay->port;
#   $relay->stop;      # every connection is reset or closed, new ones are refused
#   $relay->resume;    # at the same port
#
# One process, which ends with the object.
package WaRelay;

use strict;
use warnings;

use Carp qw(croak);
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket      qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

sub start
{
	my ($class, %options) = @_;
	my $self = bless { port => 0, owner => $$, upstream => $options{port},
		delay => $options{connect_delay} // 0 }, $class;

	$self->resume;
	return $self;
}

sub port { return $_[0]->{port} }

sub resume
{
	my ($self) = @_;
	my $listener = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		LocalPort => $self->{port},
		Listen => 1000,
		ReuseAddr => 1)
	  or croak "could not listen: $!";

	delete $self->{reserved};
	$self->{port} = $listener->sockport;
	$self->{pid} = fork() // croak "could not fork: $!";
	return if $self->{pid};
	$SIG{PIPE} = 'IGNORE';
	eval { _serve($listener, $self->{upstream}, $self->{delay}) };
	POSIX::_exit(0);
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	# Bound, and nobody listens: so that the port is not given to anybody else meanwhile.
	$self->{reserved} = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $self->{port}, Proto => 'tcp', ReuseAddr => 1);
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@, $!);
	$self->stop;
	return;
}

sub _serve
{
	my ($listener, $port, $delay) = @_;
	my $select = IO::Select->new($listener);
	my @waiting;    # [ time, client ]
	my %peer;       # by file number

	while (1)
	{
		my $wait = @waiting ? $waiting[0][0] - time : undef;
		my @ready = defined $wait && $wait <= 0 ? () : $select->can_read($wait);

		while (@waiting && $waiting[0][0] <= time)
		{
			my $client = (shift @waiting)->[1];
			my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or next;
			$server->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
			@peer{ fileno $client, fileno $server } = ($server, $client);
			$select->add($client, $server);
		}
		foreach my $socket (@ready)
		{
			if ($socket == $listener)
			{
				my $client = $listener->accept or next;
				$client->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
				push @waiting, [ time + $delay, $client ];
				next;
			}
			my $peer = $peer{ fileno $socket } or next;
			my $data = '';
			next if sysread($socket, $data, 65536) && _write($peer, $data);
			$select->remove($socket, $peer);
			delete @peer{ fileno $socket, fileno $peer };
			close $_ foreach $socket, $peer;
		}
	}
	return;
}

sub _write
{
	my ($socket, $data) = @_;

	while (length $data)
	{
		my $n = syswrite($socket, $data) or return 0;
		substr($data, 0, $n, '');
	}
	return 1;
}

1;
