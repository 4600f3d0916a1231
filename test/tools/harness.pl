#!/usr/bin/env perl
#
# Runs the test programs of one suite, shows what prove(1) would show, and adds
# to a file what summary.pl makes the end of the output of:
#
#   suite NAME PASSED FAILED SECONDS
#   program NAME SECONDS PROGRAM
#   failed PROGRAM: NUMBER - NAME, or how the program ended
#   because WHAT IT WROTE ABOUT THAT
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

# The lines of a program's log, where PostgreSQL::Test::Utils keeps one, without their times.
sub log_lines
{
	my ($program) = @_;
	my ($name) = $program =~ m{([^/]+)\.pl$} or return;
	open my $fh, '<', ($ENV{TESTDIR} // '.') . "/tmp_check/log/regress_log_$name" or return;
	chomp(my @lines = map { s/^\[[\d:.]+\]\([\d.]+s\) //r } <$fh>);
	close $fh;
	return @lines;
}

# What was got and what was expected in a test that failed.
sub diagnostics
{
	my ($number, @lines) = @_;
	my @found;

	shift @lines while @lines && $lines[0] !~ /^not ok $number\b/;
	shift @lines;
	while (@found < 2 && @lines && $lines[0] =~ /^(?:#\s*(.*))?$/)
	{
		push @found, $1 if defined $1 && $1 !~ /^(?:Failed test.*|at \S+ line \d+\.|Structures begin differing at:|)$/;
		shift @lines;
	}
	return @found;
}

# What was wrong with a program: the tests in @not_ok failed, then it ended.
sub failures
{
	my ($program, $parser, @not_ok) = @_;
	my @lines = log_lines($program);
	my @wrong;

	foreach my $test (@not_ok)
	{
		push @wrong, "failed $program: " . join(' ', $test->number, grep { length } $test->description);
		push @wrong, map { "because $_" } diagnostics($test->number, @lines);
	}
	my $signal = $parser->wait & 127;
	my @errors = $parser->parse_errors;
	if ($signal || @errors || !@not_ok)
	{
		push @wrong,
		  "failed $program: "
		  . ($signal ? "ended by signal $signal" : 'exit status ' . $parser->exit)
		  . ' after '
		  . ($parser->tests_run ? 'test ' . $parser->tests_run : 'no test')
		  . (@errors ? ": $errors[0]" : '');
		my @said = grep { /\S/ && !/^(?:#|(?:not )?ok\b|1\.\.)/ } @lines;
		push @wrong, "because $said[-1]" if @said;
	}
	return @wrong;
}

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

sub finish
{
	my ($passed, $failed, @results) = @_;

	open my $fh, '>>', $option{results} or die "$option{results}: $!\n";
	print $fh map { "$_\n" } @results, sprintf('suite %s %d %d %.1f', $option{suite}, $passed, $failed, time - $start);
	close $fh or die "$option{results}: $!\n";
	exit($failed ? 1 : 0);
}

my ($passed, $failed) = (0, 0);
my @results;

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
	my (%not_ok, $bailed);
	$harness->callback(
		made_parser => sub {
			my ($parser, $job) = @_;
			my $tests = $not_ok{ $job->[1] } = [];
			$parser->callback(test => sub { push @$tests, $_[0] unless $_[0]->is_ok });
			$parser->callback(bailout => sub { $bailed = "$job->[1]: it ended all tests: " . $_[0]->explanation });
		});
	my $results = eval { $harness->runtests(@ARGV) };

	# A program has called for the end of all tests; of the others little is known.
	if (!defined $results)
	{
		print $@;
		finish(0, 1, 'failed ' . ($bailed // "$option{suite}: $@") =~ s/\n.*//sr);
	}
	$passed = $results->passed;
	foreach my $program (sort $results->descriptions)
	{
		my ($parser) = $results->parsers($program);
		my $bad = $parser->failed;

		push @results, sprintf('program %s %.1f %s', $option{suite}, $parser->end_time - $parser->start_time, $program);
		next unless $parser->has_problems;
		$failed += $bad || 1;
		push @results, failures($program, $parser, @{ $not_ok{$program} });
		show_logs($program);
	}
}
else
{
	print "There is no test in this suite.\n";
	$failed = 1;
	push @results, "failed $option{suite}: there is no test in this suite";
}

finish($passed, $failed, @results);
