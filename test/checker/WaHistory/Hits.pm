# How often each kind of fault has really met something.  A schedule that names
# a fault proves nothing if there was never a request on the wire when it came.
package WaHistory::Hits;

use strict;
use warnings;

sub new
{
	my ($class) = @_;
	return bless { happened => {}, hit => {} }, $class;
}

# The kind was tried, and met so many requests, messages or statuses.
sub add
{
	my ($self, $kind, $hit) = @_;

	$self->{happened}{$kind}++;
	$self->{hit}{$kind} += $hit;
	return;
}

# The same, for what is counted as it happens.
sub met
{
	my ($self, $kind, $hit) = @_;

	$self->{hit}{$kind} += $hit // 1;
	return;
}

# kind => how much it has met, for all kinds that were tried.
sub counts
{
	my ($self) = @_;
	return (map { $_ => $self->{hit}{$_} // 0 } keys %{ $self->{happened} }), %{ $self->{hit} };
}

# Counts of several histories, added up: "answer 12, body 3, ...".
sub summary
{
	my (@histories) = @_;
	my %sum;

	foreach my $hits (@histories)
	{
		my %counts = $hits->counts;
		$sum{$_} += $counts{$_} foreach keys %counts;
	}
	return \%sum;
}

1;
