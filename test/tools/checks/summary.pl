# A failure of a test is named at the end of the output, whatever it was: a test
# that failed, a program that died, a suite that has none.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;

my $dir = tempdir(CLEANUP => 1);
local $ENV{TESTDIR} = $dir;

sub write_program
{
	my ($name, $text) = @_;

	open my $fh, '>', "$dir/$name" or die "$dir/$name: $!";
	print $fh "\$| = 1;\n$text";
	close $fh or die "$dir/$name: $!";
	return;
}

# Runs these as the suites do; returns the end of the output, with its exit status.
my $runs = 0;

sub end_of_output
{
	my (@programs) = @_;
	my $results = "$dir/results" . ++$runs;
	my @harness = ('test/tools/harness.pl', '--suite', 'tiny', '--jobs', 2, '--results', $results);

	@programs = map { "$dir/$_" } @programs;
	system("perl @harness @programs > $dir/log 2>&1");
	my $output = `perl test/tools/summary.pl $results 2>&1`;
	my $status = $? >> 8;

	$output =~ s{\Q$dir/}{}g;
	$output =~ s/\b\d+\.\d\b/S.S/g;
	$output =~ s/ +/ /g;
	return ($output, $status);
}

write_program('fine.pl', 'print "ok 1 - one\n1..1\n"');
write_program('wrong.pl', <<'PERL');
print "1..3\nok 1 - one\nnot ok 2 - two is two\nok 3 - three\n";
exit 1;
PERL
write_program('dead.pl', 'print "ok 1 - one\n"; die "out of luck\n"');
write_program('killed.pl', 'print "ok 1 - one\n"; kill "KILL", $$; sleep 60');
write_program('bail.pl', 'print "ok 1 - one\nBail out!  no server\n"; sleep 1');
write_program('silent.pl', 'exit 3');
write_program('many.pl', 'print "1..40\n", map { "not ok $_ - number $_\n" } 1 .. 40');

is_deeply([ end_of_output('fine.pl') ], [ <<'END', 0 ], 'nothing failed');

suite passed failed seconds
tiny 1 0 S.S

slowest of tiny:
 S.S fine.pl

1 passed, 0 failed
END

# What the library for tests of servers logs.
mkdir "$dir/tmp_check";
mkdir "$dir/tmp_check/log";
my %log = (
	wrong => <<'LOG',
[10:00:00.000](0.500s) ok 1 - one
[10:00:00.500](0.500s) not ok 2 - two is two
[10:00:00.500](0.000s) 
[10:00:00.500](0.000s) #   Failed test 'two is two'
#   at wrong.pl line 7.
[10:00:00.500](0.000s) #          got: '3'
#     expected: '2'
[10:00:00.500](0.000s) ok 3 - three
LOG
	dead => <<'LOG');
[10:00:00.000](0.500s) ok 1 - one
out of luck
[10:00:00.500](0.500s) # Tests were run but no plan was declared and done_testing() was not seen.
LOG
foreach my $name (sort keys %log)
{
	open my $fh, '>', "$dir/tmp_check/log/regress_log_$name" or die $!;
	print $fh $log{$name};
	close $fh;
}

my ($output, $status) = end_of_output(qw(fine.pl dead.pl killed.pl silent.pl wrong.pl));
is($status, 1, 'failures are the exit status');
my ($failed) = $output =~ /^failed:\n(.*)\z/ms;
is_deeply([ split /\n/, $failed ], [ split /\n/, <<'END' ], 'each failure has its program, number, name and reason');
 dead.pl: exit status 255 after test 1: No plan found in TAP output
 out of luck
 killed.pl: ended by signal 9 after test 1: No plan found in TAP output
 silent.pl: exit status 3 after no test: No plan found in TAP output
 wrong.pl: 2 - two is two
 got: '3'
 expected: '2'

5 passed, 4 failed
END

($output) = end_of_output('many.pl');
like($output, qr/^ many\.pl: 14 - number 14\n and 26 more\n\n0 passed, 40 failed\n\z/m, 'many failures take few lines');
my @last = split /\n/, $output;
cmp_ok(scalar @last - (grep { $last[$_] eq 'slowest of tiny:' } 0 .. $#last)[0], '<=', 24, '... and all fits the end');

($output) = end_of_output(qw(bail.pl fine.pl));
like($output, qr/^failed:\n bail\.pl: it ended all tests: no server\n\n0 passed, 1 failed\n\z/m, 'a program that ends all tests');

($output) = end_of_output();
like($output, qr/^failed:\n tiny: there is no test in this suite\n\n0 passed, 1 failed\n\z/m, 'a suite without tests');

done_testing();
