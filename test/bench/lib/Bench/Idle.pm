# What an idle installation does: transactions and wake-ups of the sender.
package Bench::Idle;

use strict;
use warnings;

use Bench::Load    qw(clear drain enqueue);
use Bench::Process qw(context_switches cpu_us);
use Bench::Server;
use Time::HiRes qw(sleep);

sub measure
{
	my ($bench) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};
	my $seconds = $bench->count('idle_seconds');

	# Something has been sent, so connections and caches are as in real life.
	$cluster->set($server->settings($Bench::Server::protocols[0]));
	$cluster->restart_sender;
	clear($cluster);
	enqueue($cluster, 1000);
	drain($cluster, 1000, 60);
	$cluster->set('whatsapp_shared.enabled' => 'on', 'autovacuum' => 'off');
	my $sender = $cluster->sender;

	# Watched from another database, so that the watching does not count.
	$cluster->{observer} = undef;
	my $watcher = $cluster->session('postgres');
	my $sql
	  = "SELECT xact_commit + xact_rollback FROM pg_stat_database "
	  . "WHERE datname = '"
	  . $cluster->database . "'";
	sleep(3);    # what the sessions before have still to report
	my @before = ($watcher->query($sql), context_switches($sender), cpu_us($sender));
	sleep($seconds);
	my @after = ($watcher->query($sql), context_switches($sender), cpu_us($sender));
	my @per_minute = map { ($after[$_] - $before[$_]) * 60 / $seconds } 0 .. 2;

	$cluster->set('whatsapp_shared.enabled' => 'off', 'autovacuum' => undef);
	$bench->say('idle: %.1f transactions, %.1f wake-ups a minute', @per_minute[ 0, 1 ]);
	# The slow sweep is the one query that an idle sender may run.
	return $bench->row(
		'transactions per idle minute',
		'most', 2,
		[ $per_minute[0] ],
		sprintf(
			'the sender woke %.1f times and used %.1f ms of CPU',
			$per_minute[1], $per_minute[2] / 1000));
}

1;
