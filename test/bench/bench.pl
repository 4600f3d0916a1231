#!/usr/bin/perl
# Measures the extension and writes down what it found; started by run.sh.
#
# usage: bench.pl --pg-config FILE --build DIR --dir DIR --out FILE
#                 [--mode quick|full] [--only NAME,NAME]
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Bench::Cluster;
use Bench::Drain;
use Bench::Enqueue;
use Bench::Flatness;
use Bench::Idle;
use Bench::Latency;
use Bench::Load;
use Bench::Memory;
use Bench::Neighbours;
use Bench::Nodes;
use Bench::Process;
use Bench::Report;
use Bench::Server;
use Bench::Status;
use Bench::Webhooks;
use Getopt::Long;
use IO::Handle;
use Time::HiRes qw(time);

package Bench
{
	# How much of everything: a few minutes, or what the goals speak of.  Each
	# can be set by an environment variable, such as BENCH_HISTORY=1000000.
	my %counts = (
		quick => {
			rounds => 3,
			drain => 20_000,
			drain_slow => 15_000,
			backlog => 100_000,
			history => 200_000,
			latency => 200,
			enqueue_seconds => 2,
			session => 20_000,
			status => 3000,
			webhooks => 10_000,
			webhooks_paced => 1500,
			memory => 30_000,
			idle_seconds => 20,
			neighbours => 1000,
			neighbours_rows => 10_000,
			neighbours_reached => 100_000,
			neighbours_uncertain => 100,
			neighbours_day => 5000
		},
		full => {
			rounds => 5,
			drain => 60_000,
			drain_slow => 60_000,
			backlog => 1_000_000,
			history => 10_000_000,
			latency => 1000,
			enqueue_seconds => 8,
			session => 100_000,
			status => 20_000,
			webhooks => 60_000,
			webhooks_paced => 10_000,
			memory => 1_000_000,
			idle_seconds => 120,
			neighbours => 10_000,
			neighbours_rows => 100_000,
			neighbours_reached => 1_000_000,
			neighbours_uncertain => 1000,
			neighbours_day => 50_000
		});

	sub count
	{
		my ($self, $name) = @_;
		my $count = $ENV{ 'BENCH_' . uc $name } // $counts{ $self->{mode} }{$name};
		die "BENCH_\U$name\E must be a positive number\n" unless $count =~ /^[1-9][0-9]*$/;
		return $count;
	}

	sub say
	{
		my ($self, $format, @values) = @_;
		printf STDERR "%5.0f s  $format\n", Time::HiRes::time() - $self->{start}, @values;
		return;
	}

	sub row
	{
		my ($self, @row) = @_;
		return Bench::Report::row(@row);
	}

	sub note
	{
		my ($self, $name, $value) = @_;
		$self->{notes}{$name} = $value;
		return;
	}

	sub noted
	{
		my ($self, $name) = @_;
		return $self->{notes}{$name};
	}
}

my @measures = (
	[ drain => \&Bench::Drain::measure ],
	[ latency => \&Bench::Latency::measure ],
	[ enqueue => \&Bench::Enqueue::measure ],
	[ flatness => \&Bench::Flatness::measure ],
	[ status => \&Bench::Status::measure ],
	[ webhooks => \&Bench::Webhooks::measure ],
	[ nodes => \&Bench::Nodes::measure ],
	[ memory => \&Bench::Memory::measure ],
	[ idle => \&Bench::Idle::measure ],
	# the last, because it fills the account
	[ neighbours => \&Bench::Neighbours::measure ]);

my $bench = bless { mode => 'quick', start => time() }, 'Bench';
my %only;
GetOptions(
	'build=s' => \$bench->{build},
	'dir=s' => \$bench->{dir},
	'mode=s' => \$bench->{mode},
	'only=s' => sub { $only{$_} = 1 foreach split(/,/, $_[1]) },
	'out=s' => \$bench->{out},
	'pg-config=s' => \$bench->{pg_config}) or exit(2);
die "bench.pl is started by run.sh\n" if grep { !defined $bench->{$_} } qw(build dir out pg_config);
die "the mode is quick or full\n" unless $bench->{mode} =~ /^(?:quick|full)$/;
foreach my $name (keys %only)
{
	die "there is no measure \"$name\"; there are: " . join(', ', map { $_->[0] } @measures) . "\n"
	  unless grep { $_->[0] eq $name } @measures;
}

binmode(STDERR, ':raw');
$bench->{cluster} = Bench::Cluster->new($bench->{pg_config}, $bench->{dir});
$bench->{server} = Bench::Server->new("$FindBin::RealBin/nginx.sh", "$bench->{dir}/nginx");
Bench::Load::set_up($bench->{cluster});

my (@rows, @broken);
foreach my $measure (@measures)
{
	my ($name, $code) = @$measure;

	next if %only && !$only{$name};
	$bench->say('%s', $name);
	my @found = eval { $code->($bench) };
	if ($@)
	{
		$bench->say('%s could not be measured: %s', $name, $@ =~ s/\s+$//r);
		print STDERR $bench->{cluster}->log_tail;
		push @broken, $name;
	}
	push @rows, @found;
}
my $text = Bench::Report::machine($bench) . "\n" . Bench::Report::table(@rows);
$text .= "\nNot measured, because it failed: " . join(', ', @broken) . ".\n" if @broken;
open(my $out, '>', $bench->{out}) or die "$bench->{out}: $!\n";
print $out $text;
close($out);
$bench->{cluster}->stop_server;
exit(@broken ? 1 : 0);
