# Drain rate and CPU per message: against the bare loop and against the plain
# external worker.
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
	my $payload = payload($bench->{cluster});

	my @rows = map { protocol($bench, $_, $payload) } @Bench::Server::protocols;
	clear($bench->{cluster});
	return @rows;
}

# One protocol, round by round: the bare loop, one sender, two senders that have
# as many requests in flight between them, the external worker.
sub protocol
{
	my ($bench, $protocol, $payload) = @_;
	my $name = $protocol->{name};
	my $count = $bench->count($protocol->{slow} ? 'drain_slow' : 'drain');
	my (%rate, %cpu);

	foreach my $round (1 .. $bench->count('rounds'))
	{
		my %result = (
			bare => bare_loop($bench, $protocol, $payload, $count),
			one => senders($bench, $protocol, 1, $count),
			two => senders($bench, $protocol, 2, $count),
			worker => external_worker($bench, $protocol, $payload, $count));

		foreach my $who (keys %result)
		{
			push @{ $rate{$who} }, $result{$who}{rate};
			push @{ $cpu{$who} }, $result{$who}{cpu_us};
		}
		$bench->say(
			"$name, round $round: bare loop %s/s, sender %s/s, two senders %s/s, worker %s/s",
			map { thousands($result{$_}{rate}) } qw(bare one two worker));
	}
	$bench->note(drain_rate => median(@{ $rate{one} })) if $protocol->{slow};

	my $against = sub {
		my ($what, $ours, $theirs, $goal) = @_;
		return $bench->row(
			"drain rate$what, $name",
			'least', $goal,
			[ ratios($rate{$ours}, $rate{$theirs}) ],
			thousands(median(@{ $rate{$ours} })) . '/s against '
			  . thousands(median(@{ $rate{$theirs} })) . '/s');
	};
	my $bare_goal = $protocol->{slow} ? 0.7 : 0.5;
	return (
		$against->(' against the bare loop', 'one', 'bare', $bare_goal),
		$against->(' of two senders against the bare loop', 'two', 'bare', $bare_goal),
		$against->(' against the external worker', 'one', 'worker', 1.2),
		$against->(' of two senders against the external worker', 'two', 'worker', 1.2),
		$bench->row(
			"sender CPU per message against the bare loop, $name",
			'most', 2,
			[ ratios($cpu{one}, $cpu{bare}) ],
			sprintf(
				'%.0f µs against %.0f µs (external worker: %.0f µs)',
				map { median(@{ $cpu{$_} }) } qw(one bare worker))));
}

sub senders
{
	my ($bench, $protocol, $number, $count) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};

	$cluster->set($server->settings($protocol, $number), 'whatsapp_shared.senders' => $number);
	$cluster->restart_sender;
	clear($cluster);
	enqueue($cluster, warm_up($protocol));
	drain($cluster, warm_up($protocol), 60);
	enqueue($cluster, $count);
	$cluster->query('CHECKPOINT');
	my $result = drain($cluster, $count, 300);
	$cluster->set('whatsapp_shared.senders' => undef);
	return $result;
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
	my ($bench, $protocol, $payload, $count) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};
	my $http1 = { %$protocol, offset => $protocol->{offset} - ($protocol->{h2} ? 1 : 0) };

	clear($cluster);
	fill_plain($cluster, warm_up($protocol) + $count, $payload);
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
