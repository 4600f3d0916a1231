# Drain rate and CPU per message: against the bare loop and against the plain
# external worker, the three in turn, round by round.
package Bench::Drain;

use strict;
use warnings;

use Bench::Load    qw(clear drain enqueue fill_plain payload $numbers);
use Bench::Process qw(run_line);
use Bench::Server;
use Bench::Stat qw(median ratios spread thousands);

sub measure
{
	my ($bench) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};
	my $payload = payload($cluster);
	my @rows;

	foreach my $protocol (@Bench::Server::protocols)
	{
		my (@ours, @bare, @node, @our_cpu, @bare_cpu, @node_cpu);
		my $count = $bench->count($protocol->{slow} ? 'drain_slow' : 'drain');

		$cluster->set($server->settings($protocol));
		$cluster->restart_sender;
		foreach my $round (1 .. $bench->count('rounds'))
		{
			my $bare = bare_loop($bench, $protocol, $payload, $count);
			push @bare, $bare->{rate};
			push @bare_cpu, $bare->{cpu_us};

			clear($cluster);
			enqueue($cluster, warm_up($protocol));
			drain($cluster, warm_up($protocol), 60);
			enqueue($cluster, $count);
			$cluster->query('CHECKPOINT');
			my $ours = drain($cluster, $count, 300);
			push @ours, $ours->{rate};
			push @our_cpu, $ours->{cpu_us};

			clear($cluster);
			fill_plain($cluster, warm_up($protocol) + $count, $payload);
			my $node = external_worker($bench, $protocol, $count);
			push @node, $node->{rate};
			push @node_cpu, $node->{cpu_us};

			$bench->say(
				"$protocol->{name}, round $round: bare loop %s/s, sender %s/s, worker %s/s",
				map { thousands($_) } $bare->{rate},
				$ours->{rate}, $node->{rate});
		}
		my $goal = $protocol->{slow} ? 0.7 : 0.5;
		push @rows,
		  $bench->row(
			"drain rate against the bare loop, $protocol->{name}",
			'least',
			$goal,
			[ ratios(\@ours, \@bare) ],
			thousands(median(@ours)) . '/s against ' . thousands(median(@bare)) . '/s'),
		  $bench->row(
			"drain rate against the external worker, $protocol->{name}",
			'least',
			1.2,
			[ ratios(\@ours, \@node) ],
			thousands(median(@ours)) . '/s against ' . thousands(median(@node)) . '/s'),
		  $bench->row(
			"sender CPU per message against the bare loop, $protocol->{name}",
			'most', 2,
			[ ratios(\@our_cpu, \@bare_cpu) ],
			sprintf(
				'%.0f µs against %.0f µs (external worker: %.0f µs)',
				median(@our_cpu), median(@bare_cpu), median(@node_cpu)));
		$bench->note(drain_rate => median(@ours)) if $protocol->{slow};
	}
	clear($cluster);
	return @rows;
}

# Requests before the measured ones: connections and statements are then set up,
# as they are in a program that has been running since yesterday.
sub warm_up
{
	my ($protocol) = @_;
	return 2 * $protocol->{in_flight};
}

sub bare_loop
{
	my ($bench, $protocol, $payload, $count) = @_;
	my $server = $bench->{server};

	return run_line(
		300, {}, "$bench->{build}/bare_loop",
		'--url', $server->url($protocol), '--requests', $count,
		'--warm-up', warm_up($protocol),
		'--in-flight', $protocol->{in_flight}, '--max-connections', $protocol->{connections},
		'--numbers', $numbers, '--payload', $payload, '--time-limit', 280,
		($protocol->{tls} ? ('--ca-file', $server->{ca_file}) : ()),
		($protocol->{h2}  ? '--h2'                            : ()));
}

# HTTP/1.1 where the others speak HTTP/2: the faster of the two for undici.
sub external_worker
{
	my ($bench, $protocol, $count) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};
	my $http1 = { %$protocol, offset => $protocol->{offset} - ($protocol->{h2} ? 1 : 0) };

	return run_line(
		300,
		{
			PGHOST => $cluster->{dir},
			PGPORT => $cluster->{port},
			PGUSER => 'postgres',
			PGDATABASE => $cluster->database,
			GRAPH_URL => $server->url($http1),
			WARM_UP => warm_up($protocol),
			EXPECTED => $count,
			CONNECTIONS => $protocol->{in_flight},
			BATCH => $protocol->{slow} ? 500 : 200,
			CA_FILE => $protocol->{tls} ? $server->{ca_file} : ''
		},
		'node',
		"$bench->{build}/external-worker/worker.mjs");
}

1;
