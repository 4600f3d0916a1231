#!/usr/bin/env perl
#
# The end of the tests' output, from what harness.pl has written: the suites, the
# slowest programs of the last one, what failed, and the line that counts.
#
#   summary.pl RESULTS
#
# Where only the last lines of the output are kept, they are these; so what failed
# takes few of them: first of all its names, and reasons as far as there is room.

use strict;
use warnings;

my ($room, $slowest, $width) = (15, 5, 160);

die "usage: summary.pl RESULTS\n" unless @ARGV == 1;
open my $results, '<', $ARGV[0] or die "$ARGV[0]: $!\n";

my (@suites, @programs, @failures);
while (my $line = <$results>)
{
	chomp $line;
	if ($line =~ /^suite (\S+) (\d+) (\d+) (\S+)$/)
	{
		push @suites, [ $1, $2, $3, $4 ];
	}
	elsif ($line =~ /^program (\S+) (\S+) (.+)$/)
	{
		push @programs, { suite => $1, seconds => $2, name => $3 };
	}
	elsif ($line =~ /^failed (.+)$/)
	{
		push @failures, [$1];
	}
	elsif ($line =~ /^because (.*)$/)
	{
		push @{ $failures[-1] }, "    $1";
	}
}

printf "\n%-12s %8s %8s %8s\n", qw(suite passed failed seconds);
my ($passed, $failed) = (0, 0);
foreach my $suite (@suites)
{
	printf "%-12s %8d %8d %8.1f\n", @$suite;
	$passed += $suite->[1];
	$failed += $suite->[2];
}

my @slow = sort { $b->{seconds} <=> $a->{seconds} } grep { $_->{suite} eq $suites[-1][0] } @programs;
splice @slow, $slowest if @slow > $slowest;
print "\nslowest of $suites[-1][0]:\n" if @slow;
printf "%8.1f %s\n", $_->{seconds}, $_->{name} foreach @slow;

if (@failures)
{
	my $left = @failures > $room ? $room - 1 : $room;
	my @named = splice @failures, 0, $left;
	$left -= @named;
	print "failed:\n";
	foreach my $failure (@named)
	{
		my ($name, @reasons) = @$failure;

		splice @reasons, $left if @reasons > $left;
		$left -= @reasons;
		print substr($_, 0, $width), "\n" foreach "  $name", @reasons;
	}
	print '  and ', scalar @failures, " more\n" if @failures;
}

print "\n$passed passed, $failed failed\n";
exit($failed ? 1 : 0);
