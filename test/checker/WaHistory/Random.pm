# Random numbers that depend on the seed alone: not on Perl's version, nor on who
# else calls rand().
package WaHistory::Random;

use strict;
use warnings;

sub new
{
	my ($class, $seed) = @_;
	# The minimal standard generator; zero would be a fixed point.
	my $self = bless { state => $seed % 2147483646 + 1 }, $class;

	$self->below(2) for 1 .. 10;    # small seeds begin alike
	return $self;
}

# An integer from 0, less than $n.
sub below
{
	my ($self, $n) = @_;
	$self->{state} = $self->{state} * 48271 % 2147483647;
	return int($self->{state} / 2147483647 * $n);
}

# From $least to $most, both included.
sub between
{
	my ($self, $least, $most) = @_;
	return $least + $self->below($most - $least + 1);
}

# True in so many of a hundred cases.
sub percent
{
	my ($self, $n) = @_;
	return $self->below(100) < $n;
}

sub pick
{
	my ($self, @from) = @_;
	return $from[ $self->below(scalar @from) ];
}

sub shuffle
{
	my ($self, @list) = @_;

	for (my $i = $#list; $i > 0; $i--)
	{
		my $j = $self->below($i + 1);
		@list[ $i, $j ] = @list[ $j, $i ];
	}
	return @list;
}

1;
