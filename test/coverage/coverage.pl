# Which lines of C the suites before this one have run: a table of the rooms of src/,
# and pages below build/coverage.  At least $least percent of all of them.
#
# WA_MEASURED names the suites that were run, for the head of the table.

use strict;
use warnings;

use JSON::PP qw(decode_json);
use Test::More;

my $least = 90;
my $out = 'build/coverage';

mkdir $out or die "$out: $!" unless -d $out;
my @gcovr = (
	'gcovr', '--root', '.', '--filter', 'src/', '--exclude-unreachable-branches', '--gcov-ignore-parse-errors', '--json-summary',
	"$out/summary.json", '--html-details', "$out/index.html", '--txt', "$out/files.txt", 'src', 'test/unit');
is(system(@gcovr), 0, 'gcovr reads the counters') or BAIL_OUT('there is nothing to report');

open my $fh, '<', "$out/summary.json" or die "$out/summary.json: $!";
my $summary = decode_json(do { local $/; <$fh> });
close $fh;

# The room of a file is its folder; the sender's and the programs' inner rooms are rooms.
my %rooms;
foreach my $file (@{ $summary->{files} })
{
	my $room = $file->{filename} =~ s{^src/}{}r =~ s{/?[^/]*$}{}r;

	foreach my $sum ($rooms{ $room || '.' } //= [ 0, 0 ], $rooms{''} //= [ 0, 0 ])
	{
		$sum->[0] += $file->{line_total};
		$sum->[1] += $file->{line_covered};
	}
}
my $total = delete $rooms{''};

sub line { return sprintf "%-24s %7d %7d %7.1f %%\n", $_[0], $_[1], $_[2], 100 * $_[2] / ($_[1] || 1) }

my $table = "lines of C, run by: " . ($ENV{WA_MEASURED} // 'something') . "\n\n";
$table .= sprintf "%-24s %7s %7s %9s\n", qw(src/ lines run share);
$table .= line($_, @{ $rooms{$_} }) foreach sort keys %rooms;
$table .= line('all', @$total);
open $fh, '>', "$out/rooms.txt" or die "$out/rooms.txt: $!";
print $fh $table;
close $fh or die "$out/rooms.txt: $!";
diag($table);

# A library that has not been measured would make every figure better.
my %measured = map { $_->{filename} => 1 } @{ $summary->{files} };
is_deeply([ grep { !$measured{$_} } split /\n/, `find src -name '*.c'` ], [], 'every C file is measured');

cmp_ok(100 * $total->[1], '>=', $least * $total->[0], "at least $least % of the lines were run");

done_testing();
