# Private memory of a sender with a thousand requests in flight, early and late.
package Bench::Memory;

use strict;
use warnings;

use Bench::Load qw(clear drain enqueue);
use Bench::Server;
use Bench::Stat qw(thousands);

sub measure
{
	my ($bench) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};
	my $many = $bench->count('memory');
	my $few = 10_000;

	$cluster->set($server->settings($Bench::Server::protocols[-1]));
	$cluster->restart_sender;
	my @kb = map {
		clear($cluster);
		enqueue($cluster, $_);
		drain($cluster, $_, 60 + $_ / 500, 1)->{private_kb};
	} $few, $many;
	clear($cluster);
	$bench->say('memory: %s kB after %s messages, %s kB after %s more',
		thousands($kb[0]), thousands($few), thousands($kb[1]), thousands($many));
	return (
		$bench->row(
			'sender private memory, 1,000 in flight, ' . thousands($many) . ' messages, MB',
			'most', 32, [ $kb[1] / 1024 ], ''),
		$bench->row(
			'its growth from ' . thousands($few) . ' to ' . thousands($many) . ' messages, MB',
			'most',
			1,
			[ ($kb[1] - $kb[0]) / 1024 ],
			thousands($kb[0]) . ' kB, then ' . thousands($kb[1]) . ' kB'));
}

1;
