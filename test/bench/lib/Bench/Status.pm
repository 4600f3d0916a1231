# How many delivery statuses a second wa_webhook_ingest() takes in, from as many
# sessions as a gateway keeps open.
package Bench::Status;

use strict;
use warnings;

use Bench::Load qw(clear drain enqueue);
use Bench::Server;
use Bench::Stat qw(median spread thousands);
use Digest::SHA qw(hmac_sha256_hex);
use POSIX       qw(ceil);

my $app_secret = 'benchmark-secret';
my $first_time = 1_790_000_000;
my $sessions = 4;

sub measure
{
	my ($bench) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};
	my $count = $bench->count('status');
	my $drain_rate = $bench->noted('drain_rate');
	my @rows;

	$cluster->set($server->settings($Bench::Server::protocols[0]));
	$cluster->restart_sender;
	foreach my $batch (1, 20, 200)
	{
		my @rates;

		foreach my $round (1 .. $bench->count('rounds'))
		{
			clear($cluster);
			enqueue($cluster, $count, 10);    # numbers with enough for whole batches
			drain($cluster, $count, 300);
			my $bodies = write_bodies($cluster, $batch);
			$cluster->query('CHECKPOINT');
			push @rates, 3 * $count / ingest_seconds($bench, $bodies);
			check($cluster, $count);
			$bench->say("statuses in batches of $batch, round $round: %s/s", thousands($rates[-1]));
		}
		my $name = "status ingestion in batches of $batch, $sessions sessions";
		if (defined $drain_rate)
		{
			push @rows,
			  $bench->row(
				"$name, against the drain rate at 80 ms",
				'least',
				3,
				[ map { $_ / $drain_rate } @rates ],
				thousands(median(@rates)) . '/s against ' . thousands($drain_rate) . '/s');
		}
		else
		{
			push @rows, $bench->row("$name, statuses/s", undef, undef, \@rates, '');
		}
	}
	$cluster->query('DROP TABLE bench_bodies');
	clear($cluster);
	return @rows;
}

# The webhooks that Meta would send for the accepted messages: sent, then
# delivered, then read, each wave in batches, all of one number in a body.
sub write_bodies
{
	my ($cluster, $batch) = @_;
	my $installation = $cluster->query('SELECT installation_id FROM whatsapp_installation');
	my (%waiting, @bodies);

	my @messages = map { [ split(/\|/) ] } split(/\n/, $cluster->query(<<'SQL'));
SELECT id, whatsapp_message_id, phone_number_id, substr(recipient_phone, 2)
FROM whatsapp_messages ORDER BY id
SQL
	foreach my $step (0 .. 2)
	{
		my $status = ('sent', 'delivered', 'read')[$step];
		my $pricing
		  = $step < 2
		  ? ',"pricing":{"billable":true,"pricing_model":"PMP","type":"regular","category":"utility"}'
		  : '';
		foreach my $message (@messages)
		{
			my ($id, $wamid, $number, $recipient) = @$message;
			my $list = $waiting{$number} //= [];
			push @$list,
				"{\"id\":\"$wamid\",\"status\":\"$status\",\"timestamp\":\""
			  . ($first_time + $step)
			  . "\",\"recipient_id\":\"$recipient\","
			  . "\"biz_opaque_callback_data\":\"wa1:$installation:$id:1\"$pricing}";
			push @bodies, body($number, splice(@$list)) if @$list == $batch;
		}
		push @bodies, map { @{ $waiting{$_} } ? body($_, splice(@{ $waiting{$_} })) : () }
		  sort keys %waiting;
	}

	$cluster->query('DROP TABLE IF EXISTS bench_bodies');
	$cluster->query(
		'CREATE TABLE bench_bodies (id integer PRIMARY KEY, body bytea, signature text)');
	my $id = 0;
	my $at_once = $batch > 10 ? int(2000 / $batch) : 200;
	while (my @chunk = splice(@bodies, 0, $at_once))
	{
		$cluster->query(
			'INSERT INTO bench_bodies VALUES ' . join(
				',',
				map {
					$id++;
					"($id, '\\x"
					  . unpack('H*', $_)
					  . "', 'sha256="
					  . hmac_sha256_hex($_, $app_secret) . "')"
				} @chunk));
	}
	$cluster->query('ANALYZE bench_bodies');
	return $id;
}

sub body
{
	my ($number, @statuses) = @_;

	return
		'{"object":"whatsapp_business_account","entry":[{"id":"300000000000001","changes":'
	  . '[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":'
	  . "{\"display_phone_number\":\"34910000000\",\"phone_number_id\":\"$number\"},"
	  . '"statuses":['
	  . join(',', @statuses)
	  . ']}}]}]}';
}

# A transaction for each body.
sub ingest_seconds
{
	my ($bench, $bodies) = @_;
	my $script = "$bench->{dir}/ingest.sql";

	$bench->{cluster}->query('DROP SEQUENCE IF EXISTS bench_next; CREATE SEQUENCE bench_next');
	open(my $file, '>', $script) or die "$script: $!\n";
	print $file "SELECT wa_webhook_ingest(body, signature) FROM bench_bodies\n",
	  "WHERE id = (SELECT nextval('bench_next')::integer);\n";
	close($file);
	my $text
	  = $bench->{cluster}
	  ->pgbench('-M', 'prepared', '-c', $sessions, '-j', 2, '-t', ceil($bodies / $sessions),
		'-f', $script);
	$text =~ /^tps = ([0-9.]+)/m or die "pgbench printed no rate: $text\n";
	return ceil($bodies / $sessions) * $sessions / $1;
}

# A rate of statuses that were not applied would be no rate.
sub check
{
	my ($cluster, $count) = @_;

	my $read = $cluster->query(<<'SQL');
SELECT count(*) FROM whatsapp_messages WHERE status = 'read' AND delivered_at IS NOT NULL
SQL
	die "only $read of $count messages were marked as read\n" if $read != $count;
	return;
}

1;
