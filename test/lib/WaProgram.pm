# WaProgram: a program of src/bin that a test has started, the base of WaSimulator and WaGateway.
#
# It prints "listening on URL" when it is ready, and is stopped when the object goes away.
package WaProgram;

use strict;
use warnings;

use Carp qw(croak);
use File::Basename qw(dirname);
use File::Spec;
use IO::Select;
use IPC::Open3 qw(open3);
use Time::HiRes qw(time);

use lib dirname(__FILE__);
use WaLoad qw(patience);

# The program of this name: the one that the variable names, as $WA_GATEWAY, or the one built
# in this source tree.
sub built
{
	my ($name, $variable) = @_;
	my $program = $ENV{$variable}
	  // File::Spec->rel2abs(File::Spec->catfile(dirname(__FILE__), File::Spec->updir, File::Spec->updir, 'src', 'bin', $name, "wa_$name"));

	croak "$program is not there: build it with make -C src/bin/$name, or set $variable" unless -x $program;
	return $program;
}

# Runs it with these arguments until it has printed what $ready matches; $err takes its stderr.
sub launch
{
	my ($self, $program, $ready, $err, @arguments) = @_;
	my $deadline = time + patience();
	my $name = (File::Spec->splitpath($program))[2];

	open(my $null, '<', File::Spec->devnull) or croak "could not open the null device: $!";
	$self->{text} = '';
	$self->{owner} = $$;
	$self->{pid} = open3('<&' . fileno($null), my $out, '>&' . fileno($err), $program, @arguments);
	$self->{out} = $out;
	my $select = IO::Select->new($out);
	while ($self->{text} !~ $ready)
	{
		$select->can_read(1) or time < $deadline or croak "$name is not getting ready";
		next unless $select->can_read(0);
		my $n = sysread($out, $self->{text}, 4096, length $self->{text});
		next if $n;
		$self->stop;
		croak "$name ended before it was ready: " . $self->stderr;
	}
	$self->{urls} = [ $self->{text} =~ /^listening on (\S+)$/mg ];
	return;
}

# What it has complained of, where that is kept.
sub stderr { return 'see above' }

sub pid  { return $_[0]->{pid} }
sub url  { return $_[0]->{urls}[0] }
sub urls { return @{ $_[0]->{urls} } }    # in the order of the listen settings

sub port
{
	my ($port) = $_[0]->url =~ /:(\d+)$/;
	return $port;
}

# Ends the program; returns its exit status as $? has it.
sub stop
{
	my ($self, $signal) = @_;

	return unless defined $self->{pid} && $self->{owner} == $$;
	kill $signal // 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return $?;
}

# The signal that ends it without waiting for anything.
sub last_signal { return 'TERM' }

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@, $!);

	$self->stop($self->last_signal);
	return;
}

1;
