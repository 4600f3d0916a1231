# What the sanitizers have reported while the suites before this one ran: nothing.
# WA_REPORTS is how their files begin, as log_path has it.

use strict;
use warnings;

use Test::More;

my $path = $ENV{WA_REPORTS} // die "WA_REPORTS is not set\n";
my %report;

foreach my $file (sort glob "$path*")
{
	open my $fh, '<', $file or die "$file: $!";
	my $text = do { local $/; <$fh> };
	close $fh;

	# The same place is one report, however many processes came by.
	foreach my $part (split /(?=^\S+:\d+:\d+: runtime error:)|(?=^==\d+==ERROR)/m, $text)
	{
		my ($what) = $part =~ /^(\S+: runtime error: .*)$/m;
		($what) = $part =~ /^SUMMARY: (.*)$/m unless defined $what;
		next unless defined $what;
		$report{ $what =~ s/0x[0-9a-f]+/0x/gr } //= $part;
	}
}
is(join("\n", sort keys %report), '', 'the sanitizers have nothing to report');
diag($_) foreach map { substr $report{$_}, 0, 6000 } sort keys %report;

done_testing();
