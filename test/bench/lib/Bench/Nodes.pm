# Webhooks of a node that come to another one: the front takes them in and passes
# them on, against the same webhooks at the node's own address.
package Bench::Nodes;

use strict;
use warnings;

use Bench::Gateway;
use Bench::Load    qw(clear $numbers);
use Bench::Process qw(wait_for);
use Bench::Stat    qw(median ratios thousands);
use Bench::Webhooks qw(accepted_messages post);
use Time::HiRes    qw(time);

my $front = 'front';

# The node is the benchmark's database, and the front another one of the same server.
sub measure
{
	my ($bench) = @_;
	my $cluster = $bench->{cluster};
	my $node = Bench::Gateway->new($cluster, $bench->{build}, $bench->{dir});
	my $gateway = eval { set_up_front($bench, $node) };
	my $error = $@;
	my @rows = $gateway ? eval { passing_on($bench, $node, $gateway) } : ();

	$error ||= $@;
	$cluster->set('whatsapp_shared.enabled' => 'off', 'whatsapp_shared.databases' => $cluster->database);
	foreach my $each (grep { $_ } $gateway, $node) { $each->stop_gateway }
	wait_for('nobody is in the front',
		60, sub { $cluster->query("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '$front')") eq 't' });
	$cluster->query("DROP DATABASE IF EXISTS $front");
	clear($cluster);
	die $error if $error;
	return @rows;
}

sub set_up_front
{
	my ($bench, $node) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};

	$cluster->set($server->settings($Bench::Server::protocols[-1]));
	$cluster->query("CREATE DATABASE $front");
	my $session = $cluster->session($front);
	$session->query('CREATE EXTENSION whatsapp_shared');
	$session->query("SELECT wa_register_node('node', '" . $node->url . "')");
	$session->query("SELECT count(wa_assign_number_to_node((100000000000000 + n)::text, 'node')) FROM generate_series(1, $numbers) AS n");
	$cluster->set('whatsapp_shared.databases' => $cluster->database . ",$front");
	wait_for('the front has a sender',
		60, sub { $cluster->query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender' AND datname = '$front'") > 0 });
	return Bench::Gateway->new($cluster, $bench->{build}, $bench->{dir}, $front);
}

sub passing_on
{
	my ($bench, $node, $gateway) = @_;
	my $cluster = $bench->{cluster};
	my $count = $bench->count('webhooks');
	my $session = $cluster->session($front);
	my (@direct, @passed, @waited);

	foreach my $round (1 .. $bench->count('rounds'))
	{
		accepted_messages($bench, $count);
		push @direct, post($bench, $node)->{rate};

		accepted_messages($bench, $count);
		$cluster->set('whatsapp_shared.enabled' => 'on');
		my $began = time();
		my $answered;
		post($bench, $gateway,
			sub {
				$answered = time();
				wait_for('all is passed on', 300, sub { $session->query('SELECT NOT EXISTS (SELECT FROM whatsapp_forwards)') eq 't' }, 0.02);
			});
		push @passed, 3 * $count / (time() - $began);
		push @waited, time() - $answered;
		$cluster->set('whatsapp_shared.enabled' => 'off');
		$bench->say('nodes, round %d: %s/s through another one, the last %.1f s after the answer; %s/s direct',
			$round, thousands($passed[-1]), $waited[-1], thousands($direct[-1]));
	}
	return $bench->row(
		'single statuses through another node, against the same at its own address',
		'least', 0.4, [ ratios(\@passed, \@direct) ],
		sprintf('%s/s against %s/s; the last has arrived %.1f s after its answer', thousands(median(@passed)), thousands(median(@direct)), median(@waited)));
}

1;
