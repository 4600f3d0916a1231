# Medians, and one line of the report.
package Bench::Stat;

use strict;
use warnings;

use Exporter 'import';
use List::Util qw(min max);

our @EXPORT_OK = qw(median ratios spread thousands);

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return undef unless @sorted;
	my $middle = int(@sorted / 2);
	return @sorted % 2 ? $sorted[$middle] : ($sorted[ $middle - 1 ] + $sorted[$middle]) / 2;
}

# The ratio of each round: what was measured together belongs together.
sub ratios
{
	my ($above, $below) = @_;
	return map { $above->[$_] / $below->[$_] } 0 .. $#$above;
}

# "0.71 (0.69–0.74)"
sub spread
{
	my ($format, @values) = @_;
	return sprintf($format, $values[0]) if @values == 1;
	return sprintf("$format ($format–$format)", median(@values), min(@values), max(@values));
}

# 12345.6 -> 12,346
sub thousands
{
	my $text = sprintf('%.0f', $_[0]);
	1 while $text =~ s/^(-?\d+)(\d{3})/$1,$2/;
	return $text;
}

1;
