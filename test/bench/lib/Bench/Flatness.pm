# Does the drain rate depend on what lies around: finished history, a long
# backlog, a transaction that keeps dead rows from being removed?
#
# Measured over plain HTTP/1.1 with instant answers, where the database is the
# largest part of the work.
package Bench::Flatness;

use strict;
use warnings;

use Bench::Load qw(clear drain enqueue $numbers);
use Bench::Server;
use Bench::Stat qw(median ratios spread thousands);

sub measure
{
	my ($bench) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};
	my $count = $bench->count('drain');
	my $rounds = $bench->count('rounds');
	my (@empty, @pinned, @before_history, @history, @rows);

	$cluster->set($server->settings($Bench::Server::protocols[0]));
	$cluster->restart_sender;

	foreach my $round (1 .. $rounds)
	{
		push @empty, once($cluster, $count);
		# The snapshot is older than every row that this round writes.
		clear($cluster);
		my $pin = $cluster->session;
		$pin->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
		$pin->query('SELECT count(*) FROM whatsapp_queue');
		push @pinned, once($cluster, $count, 1);
		$pin->query('ROLLBACK');
		$bench->say(
			"flatness, round $round: empty %s/s, xmin pinned %s/s",
			thousands($empty[-1]),
			thousands($pinned[-1]));
	}
	push @rows,
	  $bench->row(
		'drain rate with xmin pinned, against without',
		'least', 0.9,
		[ ratios(\@pinned, \@empty) ],
		thousands(median(@pinned)) . '/s against ' . thousands(median(@empty)) . '/s');

	my $backlog = $bench->count('backlog');
	my $long = once($cluster, $backlog);
	my $short = once($cluster, $count);
	push @rows,
	  $bench->row(
		"drain rate of a backlog of " . thousands($backlog) . ', against ' . thousands($count),
		'least',
		0.9,
		[ $long / median(@empty, $short) ],
		thousands($long) . '/s against ' . thousands(median(@empty, $short)) . '/s');

	my $history = $bench->count('history');
	push @before_history, once($cluster, $count) foreach 1 .. $rounds;
	clear($cluster);
	fill_history($cluster, $history);
	push @history, once($cluster, $count, 1) foreach 1 .. $rounds;
	push @rows,
	  $bench->row(
		'drain rate with ' . thousands($history) . ' finished messages, against none',
		'least',
		0.9,
		[ ratios(\@history, \@before_history) ],
		thousands(median(@history)) . '/s against ' . thousands(median(@before_history)) . '/s');
	clear($cluster);
	return @rows;
}

sub once
{
	my ($cluster, $count, $keep) = @_;

	clear($cluster) unless $keep;
	enqueue($cluster, $count);
	$cluster->query('CHECKPOINT');
	return drain($cluster, $count, 60 + $count / 500)->{rate};
}

# Messages of the last three months that were delivered, with their wamids.
sub fill_history
{
	my ($cluster, $count) = @_;

	for (my $from = 1; $from <= $count; $from += 500_000)
	{
		my $to = $from + 499_999 < $count ? $from + 499_999 : $count;
		$cluster->query(<<SQL);
WITH message AS (
    INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type,
        template_name, template_language, payload, status, attempts, whatsapp_message_id,
        created_at, scheduled_at, accepted_at, sent_at, delivered_at, finished_at)
    SELECT 'bench-' || 1 + n % $numbers, (100000000000001 + n % $numbers)::text,
        '+346' || lpad((n % 100000000)::text, 8, '0'), 'template', 'pedido_proveedor', 'es',
        jsonb_build_object('name', 'pedido_proveedor', 'language', jsonb_build_object('code', 'es'),
            'components', jsonb_build_array(jsonb_build_object('type', 'body', 'parameters',
                jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'Harinas del Norte'),
                    jsonb_build_object('type', 'text', 'text', 'PO-2025-' || n))))),
        'delivered', 1, 'wamid.HISTORY' || n, t, t, t, t, t, t
    FROM generate_series($from, $to) AS n,
        LATERAL (SELECT now() - interval '89 days' + n * interval '88 days' / $count) AS at (t)
    RETURNING id, whatsapp_message_id)
INSERT INTO whatsapp_wamids (whatsapp_message_id, message_id)
SELECT whatsapp_message_id, id FROM message
SQL
	}
	$cluster->query('VACUUM (ANALYZE) whatsapp_messages, whatsapp_wamids');
	$cluster->query('CHECKPOINT');
	return;
}

1;
