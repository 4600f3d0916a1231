# From COMMIT to the first byte of the request, for one message at a time.
package Bench::Latency;

use strict;
use warnings;

use Bench::Load    qw(clear $numbers);
use Bench::Process qw(free_ports run_line);

sub measure
{
	my ($bench) = @_;
	my $cluster = $bench->{cluster};
	my $port = free_ports(1);
	my @rows;

	clear($cluster);
	$cluster->set(
		'whatsapp_shared.graph_url' => "http://127.0.0.1:$port",
		'whatsapp_shared.ca_file' => undef,
		'whatsapp_shared.max_in_flight' => 64,
		'whatsapp_shared.max_connections' => 64,
		'whatsapp_shared.enabled' => 'on');
	$cluster->restart_sender;
	foreach my $background (0, 30)
	{
		my $when = $background ? "with $background/s in the background" : 'idle';
		my $result = run_line(
			300, {}, "$bench->{build}/latency", '--conninfo',
			$cluster->conninfo, '--port', $port, '--tenants',
			$numbers, '--count', $bench->count('latency'), '--background',
			$background);

		$bench->say("latency, $when: p50 %s ms, p99 %s ms", $result->{p50_ms}, $result->{p99_ms});
		my $detail = sprintf(
			'from the return of COMMIT: p50 %s ms, p99 %s ms; largest %s ms',
			$result->{p50_after_ms},
			$result->{p99_after_ms},
			$result->{max_ms});
		push @rows,
		  $bench->row("latency, sending COMMIT to first byte, p50, $when, ms",
			'most', 1, [ $result->{p50_ms} ], $detail),
		  $bench->row("latency, sending COMMIT to first byte, p99, $when, ms",
			'most', 5, [ $result->{p99_ms} ], $detail);
	}
	$cluster->set('whatsapp_shared.enabled' => 'off');
	clear($cluster);
	return @rows;
}

1;
