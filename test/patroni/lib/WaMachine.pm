# A machine of the drill: a network namespace with an address on the bridge, and in it the
# services that somebody has started, each in a PID namespace.  So it can be reset, cut off,
# frozen, and lose single processes, and nothing of it survives the drill.
#
#   my $machine = WaMachine->new('node1', '10.77.0.1', $directory);
#   $machine->start('etcd', {ETCD_NAME => 'node1'}, 'etcd');
#   $machine->cut_off('10.77.0.2', '10.77.0.3');    # hears these no more, nor they it
#   $machine->reset;                                # every process is gone at once
package WaMachine;

use strict;
use warnings;

use File::Basename qw(dirname);
use POSIX ();
use Time::HiRes qw(sleep time);

my $init = dirname(__FILE__) . '/../init.pl';

sub run
{
	my (@command) = @_;
	system(@command) == 0 or die "@command: failed ($?)";
	return;
}

# Starts a process of the drill itself; its output goes to the file.
sub spawn
{
	my ($file, @command) = @_;
	my $pid = fork;
	die "fork: $!" unless defined $pid;
	return $pid if $pid;
	open(STDIN, '<', '/dev/null') or POSIX::_exit(127);
	open(STDOUT, '>>', $file) or POSIX::_exit(127);
	open(STDERR, '>&', \*STDOUT) or POSIX::_exit(127);
	exec { $command[0] } @command or POSIX::_exit(127);
}

# The bridge of all machines; the drill's own address is on it, too.
sub make_bridge
{
	my ($address) = @_;
	run(qw(ip link set lo up));
	run(qw(ip link add bridge type bridge));
	run('ip', 'address', 'add', "$address/24", 'dev', 'bridge');
	run(qw(ip link set bridge up));
	return;
}

sub new
{
	my ($class, $name, $address, $dir) = @_;
	my $self = bless { name => $name, address => $address, dir => $dir, service => {} }, $class;
	my $ours = readlink '/proc/self/ns/net';

	# It keeps the namespace, whatever becomes of the machine's processes.
	$self->{keeper} = spawn('/dev/null', qw(unshare -n sleep infinity));
	sleep 0.01 while (readlink("/proc/$self->{keeper}/ns/net") // $ours) eq $ours;
	run('ip', 'link', 'add', "to-$name", 'type', 'veth', 'peer', 'name', 'eth0', 'netns', $self->{keeper});
	run('ip', 'link', 'set', "to-$name", 'master', 'bridge', 'up');
	$self->inside(qw(ip link set lo up));
	$self->inside('ip', 'address', 'add', "$address/24", 'dev', 'eth0');
	$self->inside(qw(ip link set eth0 up));
	return $self;
}

sub name { return $_[0]->{name} }
sub address { return $_[0]->{address} }
sub dir { return $_[0]->{dir} }

sub _enter { return ('nsenter', '-t', $_[0]->{keeper}, '-n', '--') }

sub inside
{
	my ($self, @command) = @_;
	return run($self->_enter, @command);
}

sub nft
{
	my ($self, $rules) = @_;
	open(my $nft, '|-', $self->_enter, 'nft', '-f', '-') or die "nft: $!";
	print $nft $rules;
	close $nft or die "nft took no notice of: $rules";
	return;
}

# Connections from here to this port of the loopback interface end there instead: senders
# speak plain HTTP to the machine itself only.
sub forward
{
	my ($self, $port, $to) = @_;
	$self->inside(qw(sysctl -q -w net.ipv4.conf.all.route_localnet=1));
	return $self->nft(<<"NFT");
table ip forwarding {
	chain to {
		type nat hook output priority -100;
		ip daddr 127.0.0.1 tcp dport $port dnat to $to
	}
	chain from {
		type nat hook postrouting priority 100;
		oifname "eth0" ip saddr 127.0.0.0/8 masquerade
	}
}
NFT
}

sub cut_off
{
	my ($self, @others) = @_;
	my $others = join ', ', @others;
	return $self->nft(<<"NFT");
table inet cut {
	chain in {
		type filter hook input priority 0;
		ip saddr { $others } drop
	}
	chain out {
		type filter hook output priority 0;
		ip daddr { $others } drop
	}
}
NFT
}

sub join_again { return $_[0]->inside(qw(nft delete table inet cut)) }

# A service, as the user postgres.  Its log is NAME.log.
sub start
{
	my ($self, $service, $environment, @command) = @_;
	my @environment = map { "$_=$environment->{$_}" } sort keys %$environment;

	$self->{service}{$service} = spawn(
		"$self->{dir}/$service.log",
		$self->_enter, qw(unshare -p -m --fork --kill-child --mount-proc),
		'perl', $init, '--stay',
		qw(setpriv --reuid=postgres --regid=postgres --init-groups),
		qw(env -i PATH=/usr/bin:/bin LANG=C.UTF-8), "HOME=$self->{dir}", @environment, @command);
	return;
}

sub _read
{
	my ($file) = @_;
	open(my $fh, '<', $file) or return '';
	local $/;
	return scalar <$fh> // '';
}

sub _children { return map { split ' ', _read($_) } glob "/proc/$_[0]/task/*/children" }

sub _descendants { return map { ($_, _descendants($_)) } map { _children($_) } @_ }

sub is_down { return !%{ $_[0]->{service} } }

# All processes of it, but for the one that waits for the namespace.
sub processes { return _descendants(values %{ $_[0]->{service} }) }

# Those of Patroni itself and the postmaster.
sub patroni_and_postmaster
{
	my ($self) = @_;
	my @found;
	foreach my $pid ($self->processes)
	{
		my $command = _read("/proc/$pid/cmdline") =~ tr/\0/ /r;
		push @found, $pid if $command =~ m{^\S*python3\S* /usr/bin/patroni } || $command =~ m{^\S*/bin/postgres -D };
	}
	return @found;
}

# As when the power fails and comes back: the disk stays.
sub reset
{
	my ($self) = @_;
	foreach my $service (keys %{ $self->{service} })
	{
		my $pid = delete $self->{service}{$service};
		kill 'KILL', _children($pid), $pid;
		waitpid $pid, 0;
	}
	return;
}

# ---- the watchdog ------------------------------------------------------------------------
#
# Patroni's driver "testing" writes to a named pipe what the other one tells the kernel: a
# time in seconds, a byte at each renewal of the leader's key, a V when it lets go.  What
# the kernel would do then, this does.  A frozen machine's watchdog is frozen, too.

sub make_watchdog
{
	my ($self) = @_;
	my $file = "$self->{dir}/watchdog";
	POSIX::mkfifo($file, 0600) or die "$file: $!";
	chown((getpwnam 'postgres')[2, 3], $file) or die "$file: $!";
	open($self->{watchdog}, '+<', $file) or die "$file: $!";
	return $file;
}

# To be called often; returns whether it has just reset the machine.
sub watch
{
	my ($self) = @_;
	return 0 unless $self->{watchdog};
	while (1)
	{
		my ($ready, $text) = ('', '');
		vec($ready, fileno $self->{watchdog}, 1) = 1;
		last unless select $ready, undef, undef, 0;
		sysread $self->{watchdog}, $text, 4096;
		next if $self->{held};
		$self->{timeout} = $1 if $text =~ /Ctimeout=(\d+)/;
		$self->{expires} = $text =~ /V[^1C]*\z/ ? undef : time + ($self->{timeout} // 60);
	}
	return 0 unless defined $self->{expires} && time > $self->{expires};
	$self->{expires} = undef;
	$self->reset;
	return 1;
}

sub hold_watchdog
{
	my ($self) = @_;
	$self->{left} = $self->{expires} - time if defined $self->{expires};
	$self->{expires} = undef;
	$self->{held} = 1;
	return;
}

sub go_on_with_watchdog
{
	my ($self) = @_;
	$self->{expires} = time + delete $self->{left} if defined $self->{left};
	$self->{held} = 0;
	return;
}

1;
