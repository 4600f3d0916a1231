# The gateway's webhooks: single statuses with contacts, over kept-alive
# connections, against the drain rate; how long each takes; and the whole life of a
# message.
package Bench::Webhooks;

use strict;
use warnings;

use Exporter 'import';

use Bench::Gateway;
use Bench::Load    qw(clear drain enqueue $numbers);
use Bench::Server;
use Bench::Stat qw(median ratios thousands);
use Time::HiRes qw(time);

our @EXPORT_OK = qw(accepted_messages post);

# Beside the connections that post: these are open, and those send a header slowly.
my @crowd = ('--idle', 10_000, '--slow', 1000);

sub measure
{
	my ($bench) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};
	my $gateway = Bench::Gateway->new($cluster, $bench->{build}, $bench->{dir});
	my @rows = eval {
		$cluster->set($server->settings($Bench::Server::protocols[-1]));
		(throughput($bench, $gateway), life_cycle($bench, $gateway));
	};
	my $error = $@;

	my $mb = delete $bench->{gateway_mb};
	push @rows, $bench->row("gateway's private memory, MB", 'most', 32, $mb->{0}, sprintf('with 11,000 connections more: %.0f', median(@{ $mb->{1} }))) if $mb;
	$gateway->stop_gateway;
	clear($cluster);
	die $error if $error;
	return @rows;
}

# Messages that Meta has accepted, and nobody known to whom they went.
sub accepted_messages
{
	my ($bench, $count) = @_;
	my $cluster = $bench->{cluster};

	forget($cluster);
	enqueue($cluster, $count);
	$cluster->query('CHECKPOINT');
	return drain($cluster, $count, 300);
}

sub forget
{
	my ($cluster) = @_;

	clear($cluster);
	$cluster->query('TRUNCATE whatsapp_contacts, whatsapp_contact_identities, whatsapp_parked_events');
	return;
}

# Posts all their statuses.  $taken is called before it is looked whether all are there.
sub post
{
	my ($bench, $gateway, @options) = @_;
	my $taken = ref $options[0] ? shift @options : sub { };
	my $cluster = $bench->{cluster};
	my $messages = $cluster->query(<<'SQL');
SELECT concat_ws(' ', id, whatsapp_message_id, phone_number_id, substr(recipient_phone, 2)) FROM whatsapp_messages ORDER BY id
SQL
	my $result = $gateway->load(sub { print { $_[0] } "$messages\n" }, '--connections', 64, @options);
	$taken->();
	my $unread = $cluster->query(q(SELECT count(*) FROM whatsapp_messages WHERE status <> 'read' OR delivered_at IS NULL));
	die "$unread messages are not read\n" if $unread != 0;
	die "$result->{refused} requests were refused\n" if $result->{refused} != 0;
	return $result;
}

sub throughput
{
	my ($bench, $gateway) = @_;
	my $cluster = $bench->{cluster};
	my (@drain, %rate, %p99, %paced, %cpu);

	foreach my $round (1 .. $bench->count('rounds'))
	{
		foreach my $crowd (0, 1)
		{
			my @options = $crowd ? @crowd : ();
			local $gateway->{peak_kb} = 0;

			$cluster->restart_sender;
			my $drained = accepted_messages($bench, $bench->count('webhooks'));
			push @drain, $drained->{rate} unless $crowd;
			my $full = post($bench, $gateway, @options);
			accepted_messages($bench, $bench->count('webhooks_paced'));
			my $paced = post($bench, $gateway, '--rate', 1000, @options);
			push @{ $bench->{gateway_mb}{$crowd} }, $gateway->{peak_kb} / 1024;
			push @{ $rate{$crowd} }, $full->{rate};
			push @{ $p99{$crowd} }, $full->{p99_ms};
			push @{ $paced{$crowd} }, $paced->{p99_ms};
			push @{ $cpu{$crowd} }, $full->{gateway_us} + $full->{session_us};
			$bench->say(
				'webhooks%s, round %d: %s/s, p50 %.1f, p99 %.1f ms; at 1,000/s p50 %.1f, p99 %.1f, max %.1f ms; drain %s/s; %.1f MB; CPU %.0f + %.0f µs',
				$crowd ? ' beside a crowd' : '', $round, thousands($full->{rate}), @$full{qw(p50_ms p99_ms)}, @$paced{qw(p50_ms p99_ms max_ms)},
				thousands($drained->{rate}), $gateway->{peak_kb} / 1024, @$full{qw(gateway_us session_us)});
		}
	}
	return map {
		my $beside = $_ ? ', beside 10,000 idle and 1,000 slow ones' : '';

		(
			$bench->row(
				"single statuses over 64 connections$beside, against the drain rate at 80 ms", 'least', 2,
				[ ratios($rate{$_}, \@drain) ],
				sprintf('%s/s against %s/s; CPU of gateway and sessions %.0f µs each', thousands(median(@{ $rate{$_} })), thousands(median(@drain)), median(@{ $cpu{$_} }))),
			$bench->row("their p99 at saturation$beside, ms", 'most', 250, $p99{$_}, ''),
			$bench->row("their p99 at 1,000 a second$beside, ms", 'most', 20, $paced{$_}, ''))
	} 0, 1;
}

# ---- the whole life of a message -----------------------------------------------

sub set_up_orders
{
	my ($cluster) = @_;

	$cluster->query(<<'SQL');
CREATE TABLE bench_orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant text, phone text, supplier text, number text, total numeric(10,2), deliver_on date);
CREATE FUNCTION bench_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wa_enqueue_message(NEW.tenant, NEW.phone, 'pedido_proveedor', jsonb_build_array(NEW.supplier, NEW.number, NEW.total::text, NEW.deliver_on::text));
    RETURN NULL;
END $$;
CREATE TRIGGER bench AFTER INSERT ON bench_orders FOR EACH ROW EXECUTE FUNCTION bench_order()
SQL
	return;
}

# Orders come in, a hundred in a transaction, are sent, and Meta reports of each three
# times: all at once, from the first INSERT to the last "read".
sub life_cycle
{
	my ($bench, $gateway) = @_;
	my $cluster = $bench->{cluster};
	my (@drain, @rates);

	set_up_orders($cluster);
	foreach my $round (1 .. $bench->count('rounds'))
	{
		$cluster->restart_sender;
		push @drain, accepted_messages($bench, $bench->count('webhooks'))->{rate};
		forget($cluster);
		push @rates, live($bench, $gateway, $bench->count('webhooks'));
		$bench->say('life-cycle, round %d: %s/s; drain %s/s', $round, thousands($rates[-1]), thousands($drain[-1]));
	}
	$cluster->query('DROP TABLE bench_orders; DROP FUNCTION bench_order()');
	return $bench->row(
		'whole life-cycle (trigger, sending, three single statuses), against the drain rate at 80 ms',
		'least', 0.35, [ ratios(\@rates, \@drain) ],
		thousands(median(@rates)) . '/s against ' . thousands(median(@drain)) . '/s');
}

sub live
{
	my ($bench, $gateway, $count) = @_;
	my $cluster = $bench->{cluster};
	my $buyer = $cluster->session;
	my $began = time();
	my $bought = 0;
	my %told;

	$cluster->set('whatsapp_shared.enabled' => 'on');
	$gateway->load(
		sub {
			my ($meta) = @_;
			my $give_up = time() + 300;

			while (keys %told < $count || keys %told < $bought)
			{
				die "the messages are not sent\n" if time() > $give_up;
				$bought += buy($buyer, $bought) foreach 1 .. ($bought < $count ? 5 : 0);
				report_accepted($cluster, $meta, \%told);
			}
		},
		'--stream', '--connections', 64);
	my $seconds = time() - $began;
	$cluster->set('whatsapp_shared.enabled' => 'off');
	my $unread = $cluster->query(q(SELECT count(*) FROM whatsapp_messages WHERE status <> 'read'));
	die "$unread of them are not read\n" if $unread != 0;
	return keys(%told) / $seconds;
}

sub buy
{
	my ($buyer, $bought) = @_;

	$buyer->query(<<SQL);
INSERT INTO bench_orders (tenant, phone, supplier, number, total, deliver_on)
SELECT 'bench-' || 1 + n % $numbers, '+346' || lpad(n::text, 8, '0'), 'Harinas del Norte', 'PO-2026-' || n, 1234.5, date '2026-12-03'
FROM generate_series($bought + 1, $bought + 100) AS n
SQL
	return 100;
}

# Gives Meta's stand-in what has been accepted since the last time.
sub report_accepted
{
	my ($cluster, $meta, $told) = @_;
	my $accepted = $cluster->query(<<'SQL');
SELECT concat_ws(' ', id, whatsapp_message_id, phone_number_id, substr(recipient_phone, 2)) FROM whatsapp_messages WHERE status = 'accepted'
SQL

	print $meta join('', map { "$_\n" } grep { /^(\d+)/ && !$told->{$1}++ } split(/\n/, $accepted));
	return;
}

1;
