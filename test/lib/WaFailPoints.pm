# Fail points: which calls a test of test/failpoints lets fail, and where they were.
#
#   my $points = WaFailPoints->new($node);
#   $points->arm('sender', 'memory', 17);       # the 17th allocation of the sender from now on
#   my $seen = $points->state;                  # { count => ..., fired => ..., name => ..., where => ... }
#   foreach my $n ($points->choose('enqueue, memory', $count)) { ... }
#   $points->arm('sender', 'memory', 1, $path);  # the first one by this path
#   foreach my $path ($points->choose_of('memory', $points->paths)) { ... }
#
# Of more than FAIL_POINTS_MAX (200; 0: no limit) as many are drawn by FAIL_POINTS_SEED.

package WaFailPoints;

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

sub new
{
	my ($class, $node) = @_;

	if (defined $node)
	{
		$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION public.wa_fail_arm(text, text, integer, bigint DEFAULT 0) RETURNS void LANGUAGE c STRICT AS '$libdir/whatsapp_shared';
CREATE FUNCTION public.wa_fail_state() RETURNS text LANGUAGE c STRICT AS '$libdir/whatsapp_shared';
CREATE FUNCTION public.wa_fail_paths() RETURNS text LANGUAGE c STRICT AS '$libdir/whatsapp_shared';
SQL
	}
	my $seed = $ENV{FAIL_POINTS_SEED} // 20261129;
	srand $seed;
	note "FAIL_POINTS_SEED=$seed";
	return bless { node => $node, max => $ENV{FAIL_POINTS_MAX} // 200 }, $class;
}

# By the session that the test has given, if it has.
sub _ask
{
	my ($self, $query) = @_;
	return $self->{session}->query_safe($query) if defined $self->{session};
	return $self->{node}->safe_psql('postgres', $query);
}

sub arm
{
	my ($self, $process, $class, $at, $path) = @_;
	$self->_ask(sprintf q{SELECT public.wa_fail_arm('%s', '%s', %d, %d)}, $process, $class, $at, $path // 0);
	return;
}

# The paths of callers by which the calls that were counted were made.
sub paths
{
	my ($self) = @_;
	return split / /, $self->_ask('SELECT public.wa_fail_paths()');
}

# Which source line an offset of the library is.
sub where
{
	my ($self, $offset) = @_;

	return $self->{where}{$offset} //= do
	{
		my ($lib) = split /\n/, `$ENV{PG_CONFIG} --pkglibdir`;
		my ($line) = split /\n/, `addr2line -e $lib/whatsapp_shared.so $offset 2>&1`;
		($line // $offset) =~ s{.*/src/}{}r;
	};
}

sub parse
{
	my ($self, $text) = @_;
	my ($count, $fired, $name, $offset) = $text =~ /^(\d+) (\d+) (\S+) (0x[0-9a-f]+)$/ or die "not the state of fail points: $text";
	return { count => $count, fired => $fired, name => $name, where => $fired ? $self->where($offset) : '' };
}

sub state
{
	my ($self) = @_;
	return $self->parse($self->_ask('SELECT public.wa_fail_state()'));
}

# 1 .. $count, or some of them.
sub choose
{
	my ($self, $what, $count) = @_;
	return $self->choose_of($what, 1 .. $count);
}

# These, or some of them, in their order.
sub choose_of
{
	my ($self, $what, @all) = @_;
	my ($max, $count) = ($self->{max}, scalar @all);

	if ($max && $count > $max)
	{
		my %chosen;
		$chosen{ int rand $count } = 1 while keys %chosen < $max;
		@all = @all[ sort { $a <=> $b } keys %chosen ];
	}
	diag(sprintf '%s: %d of %d', $what, scalar @all, $count);
	$self->{failed} += @all;
	$self->{there} += $count;
	return @all;
}

sub total { return ($_[0]{failed} // 0, $_[0]{there} // 0) }

1;
