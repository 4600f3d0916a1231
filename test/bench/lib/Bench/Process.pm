# Processes that the benchmarks start, what they cost, and free ports.
#
# Whatever is started here is ended when the program ends, also by Ctrl-C.
package Bench::Process;

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;
use POSIX       ();
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(start stop run_line cpu_us private_kb context_switches free_ports wait_for);

my %running;
my $main_pid = $$;
my $ticks = POSIX::sysconf(&POSIX::_SC_CLK_TCK);

# Starts a program in a process group of its own; its output goes to $log.
sub start
{
	my ($log, @command) = @_;

	my $pid = fork() // die "could not fork: $!\n";
	if ($pid == 0)
	{
		setpgrp(0, 0);
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $log) or POSIX::_exit(127);
		open(STDERR, '>&', \*STDOUT);
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	$running{$pid} = $command[0];
	return $pid;
}

# Ends it, gently at first.
sub stop
{
	my ($pid, $signal) = @_;

	return unless delete $running{$pid};
	kill($signal // 'TERM', $pid);
	for (1 .. 100)
	{
		return if waitpid($pid, POSIX::WNOHANG) != 0;
		sleep(0.05);
	}
	kill('KILL', $pid);
	waitpid($pid, 0);
	return;
}

# Runs a program that prints one line of key=value pairs; they come back as a
# hash.  What it does not finish in $limit seconds is an error.
sub run_line
{
	my ($limit, $env, @command) = @_;

	my $pid = open(my $out, '-|') // die "could not fork: $!\n";
	if ($pid == 0)
	{
		setpgrp(0, 0);
		$ENV{$_} = $env->{$_} foreach keys %$env;
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	$running{$pid} = $command[0];

	local $SIG{ALRM} = sub { kill('KILL', -$pid); };
	alarm($limit);
	my $line = '';
	while (defined(my $read = <$out>))
	{
		$line = $read if $read =~ /=/;
	}
	close($out);
	my $status = $?;
	alarm(0);
	delete $running{$pid};
	die "\"@command\" failed (status $status): $line\n" if $status != 0;

	my %result = map { split(/=/, $_, 2) } split(' ', $line);
	die "\"@command\" printed nothing\n" unless %result;
	return \%result;
}

# CPU time of a process so far, user and system, in microseconds.
sub cpu_us
{
	my ($pid) = @_;

	open(my $stat, '<', "/proc/$pid/stat") or die "process $pid is gone\n";
	my $line = <$stat>;
	$line =~ s/^.*\) //s;
	my @field = split(' ', $line);
	return ($field[11] + $field[12]) * 1e6 / $ticks;
}

# Memory of the process's own, in kB.  Mappings that can be shared are left out
# altogether: the kernel calls a page of shared buffers private, too, as long
# as no other process has touched it.
sub private_kb
{
	my ($pid) = @_;
	my ($kb, $own) = (0, 0);

	open(my $smaps, '<', "/proc/$pid/smaps") or die "process $pid is gone\n";
	while (my $line = <$smaps>)
	{
		if ($line =~ /^[0-9a-f]+-[0-9a-f]+ \S{3}([ps]) /)
		{
			$own = $1 eq 'p';
		}
		elsif ($own && $line =~ /^Private_(?:Clean|Dirty):\s+(\d+)/)
		{
			$kb += $1;
		}
	}
	return $kb;
}

# How often a process has gone to sleep so far: a wake-up each.
sub context_switches
{
	my ($pid) = @_;

	open(my $status, '<', "/proc/$pid/status") or die "process $pid is gone\n";
	while (my $line = <$status>)
	{
		return $1 if $line =~ /^voluntary_ctxt_switches:\s+(\d+)/;
	}
	die "no context switches of process $pid\n";
}

# The first of $count neighbouring TCP ports on loopback that are free now.
sub free_ports
{
	my ($count) = @_;

	for (1 .. 100)
	{
		my $first = 20000 + int(rand(12000));
		my @sockets = grep { defined } map {
			IO::Socket::INET->new(
				LocalAddr => '127.0.0.1',
				LocalPort => $first + $_,
				Listen => 1,
				ReuseAddr => 1)
		} 0 .. $count - 1;
		return $first if @sockets == $count;
	}
	die "found no free ports\n";
}

# Waits until the code returns true; dies with $what after $limit seconds.
sub wait_for
{
	my ($what, $limit, $code, $interval) = @_;
	my $give_up = time() + $limit;

	until ($code->())
	{
		die "$what: not within $limit s\n" if time() > $give_up;
		sleep($interval // 0.05);
	}
	return;
}

END
{
	if ($$ == $main_pid)
	{
		local $?;
		stop($_) foreach keys %running;
	}
}

# Not die: where something is being destroyed, that would only be a warning.
$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit(130); };
$SIG{PIPE} = 'IGNORE';

1;
