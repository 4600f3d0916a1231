# Time on a machine that has other things to do.
#
#   wait_until(sub { -e $file }) or die;          # a state, however long it takes
#
#   my $watch = stopwatch($gateway, $node);
#   $gateway->get('/readyz');
#   cmp_ok($watch->seconds, '<', 1, 'at once');   # a time, without the time of others
#
# A test that measures must fail when the code waits, and not when the code has to:
# so the watch leaves out how long the test itself and the processes that it is told of
# were ready to run while others ran.  The kernel counts that; where it does not, the
# watch shows what every other one does.
package WaLoad;

use strict;
use warnings;

use Exporter qw(import);
use Scalar::Util qw(blessed);
use Time::HiRes qw(time usleep);

our @EXPORT_OK = qw(patience stopwatch wait_until);

# How long what should happen at once may take.
sub patience { return $ENV{PG_TEST_TIMEOUT_DEFAULT} // 180 }

# Whether the condition has become true, which is all that this waits for.
sub wait_until
{
	my ($condition) = @_;
	my $deadline = time + patience();

	until ($condition->())
	{
		return 0 if time > $deadline;
		usleep(10_000);
	}
	return 1;
}

# Starts: for this process and those of these servers (objects of the tests, or process
# ids) with the children that they have.
sub stopwatch
{
	my (@servers) = @_;
	my $self = bless { servers => \@servers }, __PACKAGE__;

	$self->{waited} = $self->_waits;
	$self->{began} = time;
	return $self;
}

# Seconds since it was started, without those for which they waited for a processor.
sub seconds
{
	my ($self) = @_;
	my $seconds = time - $self->{began} - $self->waited;

	return $seconds > 0 ? $seconds : 0;
}

# Those, alone: on a quiet machine some milliseconds.
sub waited
{
	my ($self) = @_;
	my $now = $self->_waits;
	my $ns = 0;

	$ns += $now->{$_} - ($self->{waited}{$_} // 0) foreach keys %$now;
	return $ns / 1e9;
}

sub _read
{
	my ($file) = @_;
	open my $fh, '<', $file or return '';
	my $text = <$fh> // '';
	close $fh;
	return $text;
}

sub _tree
{
	my (@pids) = @_;
	return map { ($_, _tree(split ' ', _read("/proc/$_/task/$_/children"))) } @pids;
}

sub _pid
{
	my ($server) = @_;
	return $server unless blessed $server;
	return $server->can('pid') ? $server->pid : $server->{_pid};
}

# Nanoseconds, by thread.
sub _waits
{
	my ($self) = @_;
	my %waits;

	foreach my $pid ($$, _tree(grep { defined } map { _pid($_) } @{ $self->{servers} }))
	{
		$waits{$_} = (split ' ', _read("$_/schedstat") || '0 0')[1] foreach glob "/proc/$pid/task/*";
	}
	return \%waits;
}

1;
