# The rate of a number is kept at the server, which counts what arrives in any
# second: also where connections have to be made first, and on a busy machine.
#
# The simulator tells when a message arrived by the kernel's clock, not by when it
# had its turn.  How long sender and simulator were ready to run while others ran
# is known, too, and the rate is measured against the rest of the time.
#
# RATE_ROUNDS=100    that many cold starts instead of one, quiet and busy

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery settled);
use WaLoad qw(stopwatch);
use WaTest qw(wait_for_senders set_and_reload);

my $rounds = $ENV{RATE_ROUNDS} // 1;
my $rate = 80;
my $last = 0;

my ($node, $sim) = new_delivery(
	'rate',
	simulator => [ '--tls', '--enforce-limits', '--delay-ms' => 20, '--connect-delay-ms' => 30 ],
	settings => [ 'whatsapp_shared.enabled = off' ]);

set_and_reload($node, ca_file => $sim->ca_file, enabled => 'on');

# Sends so many, and says what arrived: violations of the rate, and the rate.
sub measure
{
	my ($what, $count) = @_;
	my $watch = stopwatch($sim, wait_for_senders($node, 'postgres', 1));

	$node->safe_psql('postgres', <<"SQL");
SELECT count(wa_enqueue_message('t1', '+346' || lpad(($last + i)::text, 8, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, $count) AS i
SQL
	settled($node, "$count messages of one number are sent, $what");
	my $waited = $watch->waited;
	my @times = sort { $a <=> $b } map { $_->{time} } $sim->requests($last);
	$last += $count;
	my $violations = grep { $times[ $_ + $rate ] - $times[$_] < 1 } 0 .. $#times - $rate;
	my $seconds = $times[-1] - $times[0] - $waited;
	my $reached = $seconds * $rate > $#times ? $#times / $seconds : $rate;
	is(scalar @times, $count, 'each is requested once, so none was refused');
	is($violations, 0, "no second has more than $rate of them, $what");
	cmp_ok($reached, '>=', 0.95 * $rate,
		sprintf('and no less than 95 %% of that are used, %s (%.1f/s, after %.3f s for others)', $what, $reached, $waited));
	return;
}

# Processes that do nothing but use up the machine, one for each of its processors.
sub start_others
{
	my $processors = () = slurp_file('/proc/cpuinfo') =~ /^processor/mg;
	my @pids;

	foreach (1 .. $processors)
	{
		my $pid = fork() // die "could not fork: $!";
		if ($pid == 0)
		{
			my $parent = getppid;
			1 while getppid == $parent;
			POSIX::_exit(0);
		}
		push @pids, $pid;
	}
	return @pids;
}

sub end_others
{
	my (@pids) = @_;

	kill 'KILL', @pids;
	waitpid $_, 0 foreach @pids;
	return;
}

foreach my $busy (0, 1)
{
	my @others = $busy ? start_others() : ();
	my $how = $busy ? ' on a busy machine' : '';

	foreach my $round (1 .. $rounds)
	{
		$node->safe_psql('postgres', 'SELECT wa_worker_restart()');
		measure("with cold connections$how, round $round", 200);
	}
	measure("with warm connections$how", 200);
	end_others(@others);
}

done_testing();
