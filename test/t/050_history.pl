# Histories: hundreds of messages under seeded faults of every kind.  Nothing is
# lost, nothing is sent twice, nothing that was rolled back is sent.
#
# HISTORY_SEEDS="1 2 3"   these seeds instead of the usual ones
# HISTORY_SECONDS=3600    new seeds until the time is over
# HISTORY_MESSAGES, HISTORY_STEPS    the size of each

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../checker", "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Test::More;
use WaHistory;

my %size = (
	messages => $ENV{HISTORY_MESSAGES} // 600,
	steps => $ENV{HISTORY_STEPS} // 8);
my @seeds = split(' ', $ENV{HISTORY_SEEDS} // '9003 9004 9005 9006');
my $seconds = $ENV{HISTORY_SECONDS} // 0;
my $deadline = time + $seconds;
my @hits;

# Not the clock alone: two runs started together should not do the same.
@seeds = (time % 1_000_000 * 1000 + $$ % 1000) if $seconds && !defined $ENV{HISTORY_SEEDS};

while (defined(my $seed = shift @seeds))
{
	my $history = eval { WaHistory::run(seed => $seed, %size) };

	if ($history)
	{
		note($_) foreach $history->{summary}, @{ $history->{steps} };
		push @hits, $history->{hits};
		my @problems = @{ $history->{problems} };
		is(scalar @problems, 0, "history of seed $seed");
		diag($_) foreach splice(@problems, 0, 20);
		diag('and ' . @problems . ' more') if @problems;
	}
	else
	{
		fail("history of seed $seed: $@");
	}
	diag(
		"repeat with HISTORY_SEEDS=$seed HISTORY_MESSAGES=$size{messages} HISTORY_STEPS=$size{steps}"
	) if !$history || @{ $history->{problems} };
	push @seeds, $seed + 1 if $seconds && !@seeds && time < $deadline;
}

# How often each kind of fault has met something; the usual seeds meet all kinds.
my $met = WaHistory::Hits::summary(@hits);
note('faults met: ' . join(', ', map { "$_ $met->{$_}" } sort keys %$met));
is_deeply([ grep { !$met->{$_} } WaHistory::kinds() ], [], 'every kind of fault has met something')
  if !$seconds && !defined $ENV{HISTORY_SEEDS};
done_testing();
