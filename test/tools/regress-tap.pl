#!/usr/bin/env perl
#
# Runs pg_regress or pg_isolation_regress, whose command line is given, and says
# in TAP what became of each test.
#
# Until PostgreSQL 15 they print "test name ... ok", since 16 TAP with the times
# in the names.  Differences are shown as diagnostics.

use strict;
use warnings;

my $outputdir = '.';
foreach my $argument (@ARGV)
{
	$outputdir = $1 if $argument =~ /^--outputdir=(.*)/;
}
unlink "$outputdir/regression.diffs";

my @log;
my $count = 0;
my $bad = 0;

open my $out, '-|', @ARGV or die "$ARGV[0]: $!\n";
while (my $line = <$out>)
{
	my ($name, $ok);

	push @log, $line;
	if ($line =~ /^(?:test |     )(\S+)\s+\.\.\. (ok|FAILED)/)
	{
		($name, $ok) = ($1, $2 eq 'ok');
	}
	elsif ($line =~ /^(ok|not ok) \d+\s+[-+]\s+(\S+)/)
	{
		($name, $ok) = ($2, $1 eq 'ok');
	}
	next unless defined $name;
	$count++;
	$bad++ unless $ok;
	printf "%s %d - %s\n", $ok ? 'ok' : 'not ok', $count, $name;
}
close $out;
my $status = $?;

if ($bad && open my $diffs, '<', "$outputdir/regression.diffs")
{
	print STDERR "# $_" while <$diffs>;
}
elsif ($status != 0 && !$bad)
{
	print STDERR "# $_" foreach @log;
}
print "1..$count\n";
exit($status == 0 ? 0 : 1);
