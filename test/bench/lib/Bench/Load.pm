# What is sent: tenants with a number each, messages in the queue, and the same
# messages as rows of a plain table for the external worker.
package Bench::Load;

use strict;
use warnings;

use Exporter 'import';
use List::Util     qw(max sum);
use Bench::Process qw(cpu_us private_kb wait_for);
use Time::HiRes    qw(time);

our @EXPORT_OK = qw(set_up clear enqueue drain fill_plain payload $numbers);

our $numbers = 120;

my $parameters = q(["Harinas del Norte","PO-2026-000123","1.234,50 €","3 de diciembre"]);

sub set_up
{
	my ($cluster) = @_;

	$cluster->query(<<SQL);
SELECT count(wa_assign_phone('bench-' || n, (100000000000000 + n)::text, '+34910' || lpad(n::text, 6, '0')))
FROM generate_series(1, $numbers) AS n
SQL
	# Known, so that enqueueing checks the parameters as it does in production.
	$cluster->query(<<'SQL');
SELECT wa_register_template('pedido_proveedor', 'es', '[{"type": "BODY",
    "text": "Hola {{1}}, tiene el pedido {{2}} por {{3}} para el {{4}}. Gracias."}]')
SQL
	$cluster->query(<<SQL);
CREATE TABLE plain_jobs (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    phone_number_id text NOT NULL,
    recipient       text NOT NULL,
    payload         jsonb NOT NULL,
    status          text NOT NULL DEFAULT 'queued',
    attempts        integer NOT NULL DEFAULT 0,
    wamid           text,
    error           text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    sent_at         timestamptz
) WITH (fillfactor = 70);
CREATE INDEX plain_jobs_queued_idx ON plain_jobs (id) WHERE status = 'queued'
SQL
	return;
}

# Empties every table that the measurements fill.  The sender locks tables in the
# order in which it needs them, so this may have to be tried again.
sub clear
{
	my ($cluster) = @_;

	$cluster->query(<<'SQL');
DO $$
BEGIN
    FOR attempt IN 1 .. 5 LOOP
        BEGIN
            TRUNCATE whatsapp_queue, whatsapp_leases, whatsapp_messages, whatsapp_wamids,
                whatsapp_attempts, plain_jobs;
            RETURN;
        EXCEPTION WHEN deadlock_detected THEN
            NULL;
        END;
    END LOOP;
    RAISE 'could not empty the tables';
END $$
SQL
	$cluster->query('CHECKPOINT');
	return;
}

# Enqueues $count messages, each to a recipient of its own, spread over all
# numbers or the first $spread, through the function that applications call.
sub enqueue
{
	my ($cluster, $count, $spread) = @_;
	$spread //= $numbers;

	for (my $from = 1; $from <= $count; $from += 100_000)
	{
		my $to = $from + 99_999 < $count ? $from + 99_999 : $count;
		$cluster->query(<<SQL);
SELECT count(wa_enqueue_message('bench-' || 1 + n % $spread, '+346' || lpad(n::text, 8, '0'),
    'pedido_proveedor', '$parameters'))
FROM generate_series($from, $to) AS n
SQL
	}
	return;
}

# The payload that the extension stores, for programs without the extension.
sub payload
{
	my ($cluster) = @_;

	enqueue($cluster, 1);
	my $payload = $cluster->query('SELECT payload FROM whatsapp_messages LIMIT 1');
	clear($cluster);
	return $payload;
}

sub fill_plain
{
	my ($cluster, $count, $payload) = @_;

	$payload =~ s/'/''/g;
	$cluster->query(<<SQL);
INSERT INTO plain_jobs (phone_number_id, recipient, payload)
SELECT (100000000000001 + n % $numbers)::text, '+346' || lpad(n::text, 8, '0'), '$payload'
FROM generate_series(1, $count) AS n
SQL
	$cluster->query('ANALYZE plain_jobs');
	$cluster->query('CHECKPOINT');
	return;
}

# Sends what is queued, all of it, and says how fast.  The time runs from the
# moment before sending is switched on until the last acceptance is recorded.
# $limit: seconds; $sample: also look at the memory of the largest sender meanwhile.
sub drain
{
	my ($cluster, $count, $limit, $sample) = @_;
	my @senders = $cluster->senders;
	my ($peak_kb, $next_sample) = (0, 0);

	my $last = $cluster->query('SELECT max(id) FROM whatsapp_messages');
	my $start = $cluster->query('SELECT extract(epoch FROM clock_timestamp())');
	my $cpu = sum(map { cpu_us($_) } @senders);
	$cluster->set('whatsapp_shared.enabled' => 'on');

	# The last row by its key first: looking for any row of the queue would
	# read all those that have been deleted.
	my $reached = 0;
	wait_for(
		"$count messages are sent",
		$limit,
		sub {
			if ($sample && time() >= $next_sample)
			{
				$peak_kb = max($peak_kb, map { private_kb($_) } @senders);
				$next_sample = time() + 1;
			}
			$reached ||= $cluster->query(<<SQL) eq 't';
SELECT status NOT IN ('queued', 'sending') FROM whatsapp_messages WHERE id = $last
SQL
			return $reached
			  && $cluster->query('SELECT NOT EXISTS (SELECT FROM whatsapp_queue)') eq 't';
		},
		0.05);
	$cpu = sum(map { cpu_us($_) } @senders) - $cpu;
	$cluster->set('whatsapp_shared.enabled' => 'off');

	my ($accepted, $seconds) = split(/\|/, $cluster->query(<<SQL));
SELECT count(*) FILTER (WHERE status = 'accepted'), extract(epoch FROM max(accepted_at)) - $start
FROM whatsapp_messages WHERE accepted_at >= to_timestamp($start)
SQL
	die "only $accepted of $count messages were accepted\n" if $accepted != $count;
	return {
		rate => $count / $seconds,
		seconds => $seconds,
		cpu_us => $cpu / $count,
		private_kb => $peak_kb
	};
}

1;
