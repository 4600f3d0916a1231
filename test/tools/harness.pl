#!/usr/bin/env perl
#
# Runs the test programs of one suite, shows what prove(1) would show, and adds
# a line "suite passed failed seconds" to a file.
#
#   harness.pl --suite NAME --results FILE [--jobs N] [--exec COMMAND] PROGRAM...
#
# A program that ends badly without having failed a test (it died, its plan
# does not hold) counts as one failed test, and so does a suite without tests.

use strict;
use warnings;

use Getopt::Long;
use TAP::Harness;
use Time::HiRes qw(time);

my %option = (jobs => 1);
GetOptions(\%option, 'suite=s', 'results=s', 'jobs=i', 'exec=s') or exit 2;
die "usage: harness.pl --suite NAME --results FILE PROGRAM...\n"
  unless defined $option{suite} && defined $option{results};

# The ends of what PostgreSQL::Test::Cluster has logged for a test that failed.
sub show_logs
{
	my ($file) = @_;
	my ($name) = $file =~ m{([^/]+)\.pl$} or return;
	return unless defined $ENV{TESTDIR};

	foreach my $log (
		grep { m{/(?:regress_log_)?\Q$name\E} } glob("$ENV{TESTDIR}/tmp_check/log/*"),
		glob("$ENV{TESTDIR}/log/*"))
	{
		open my $fh, '<', $log or next;
		my @lines = <$fh>;
		close $fh;
		splice @lines, 0, -60 if @lines > 60;
		print "---- the end of ", $log =~ s{.*/}{}r, ":\n", @lines;
	}
	return;
}

my $start = time;
my ($passed, $failed) = (0, 0);

if (@ARGV)
{
	my $harness = TAP::Harness->new(
		{
			jobs => $option{jobs},
			timer => 1,
			failures => 1,
			color => 0,
			defined $option{exec} ? (exec => [ split ' ', $option{exec} ]) : ()
		});
	my $results = $harness->runtests(@ARGV);

	$passed = $results->passed;
	foreach my $parser ($results->parsers($results->descriptions))
	{
		my $bad = $parser->failed;

		$bad = 1 if $bad == 0 && $parser->has_problems;
		$failed += $bad;
	}
	foreach my $file ($results->descriptions)
	{
		my ($parser) = $results->parsers($file);
		show_logs($file) if $parser->has_problems;
	}
}
else
{
	print "There is no test in this suite.\n";
	$failed = 1;
}

open my $fh, '>>', $option{results} or die "$option{results}: $!\n";
printf $fh "%s %d %d %.1f\n", $option{suite}, $passed, $failed, time - $start;
close $fh or die "$option{results}: $!\n";
exit($failed ? 1 : 0);
