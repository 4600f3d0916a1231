# One session of psql that stays open: a session of the application, or the
# observer whose connection costs nothing while something is measured.
package Bench::Psql;

use strict;
use warnings;

use IPC::Open2;

my $end = '-- end of answer --';

sub new
{
	my ($class, $psql, $conninfo) = @_;
	my $self = bless {}, $class;

	$self->{pid}
	  = open2($self->{out}, $self->{in}, $psql, '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $conninfo);
	$self->{in}->autoflush(1);
	$self->query('SET client_min_messages = warning');
	return $self;
}

# Runs SQL and returns what psql prints.  An error ends psql, and dies here.
sub query
{
	my ($self, $sql) = @_;
	my @lines;

	print { $self->{in} } "$sql;\n\\echo $end\n" or die "psql has gone\n";
	while (defined(my $line = readline($self->{out})))
	{
		chomp $line;
		return join("\n", @lines) if $line eq $end;
		push @lines, $line;
	}
	die "failed: $sql\n";
}

sub close
{
	my ($self) = @_;

	return unless defined $self->{pid};
	CORE::close($self->{in});
	CORE::close($self->{out});
	waitpid(delete $self->{pid}, 0);
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);

	$self->close;
	return;
}

1;
