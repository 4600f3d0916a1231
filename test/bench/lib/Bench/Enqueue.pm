# What enqueueing costs the statement whose trigger does it, and whether a
# session that has enqueued often is as fast as a new one.
package Bench::Enqueue;

use strict;
use warnings;

use Bench::Load    qw(clear $numbers);
use Bench::Process qw(private_kb);
use Bench::Stat    qw(median ratios spread thousands);

my @tables = ('bench_bare', 'bench_plain', 'bench_whatsapp');

sub measure
{
	my ($bench) = @_;
	my $cluster = $bench->{cluster};
	my @rows;

	clear($cluster);
	set_up($cluster);
	foreach my $clients (1, 8)
	{
		my %rates;

		foreach my $round (1 .. $bench->count('rounds'))
		{
			foreach my $table (@tables)
			{
				push @{ $rates{$table} }, insert_rate($bench, $table, $clients);
			}
			$bench->say("enqueue, $clients clients, round $round: bare %s/s, plain %s/s, ours %s/s",
				map { thousands($rates{$_}[-1]) } @tables);
		}
		# Time per INSERT, so the slower one is above.
		push @rows,
		  $bench->row(
			"INSERT with an enqueueing trigger against one with a plain "
			  . "trigger, time, $clients "
			  . ($clients == 1 ? 'client' : 'clients'),
			'most', 1.5,
			[ ratios($rates{bench_plain}, $rates{bench_whatsapp}) ],
			sprintf(
				'%s/s against %s/s; without a trigger %s/s, ratio %.2f',
				(map { thousands(median(@{ $rates{$_} })) } reverse @tables),
				median(ratios($rates{bench_bare}, $rates{bench_whatsapp}))));
	}
	push @rows, old_session($bench);
	$cluster->query('DROP TABLE bench_bare, bench_plain, bench_whatsapp, bench_outbox');
	clear($cluster);
	return @rows;
}

# Three equal tables of the application's: one without a trigger, one whose
# trigger inserts an equal row in an equal table, one whose trigger enqueues.
# The equal table has every column, index and constraint of whatsapp_messages;
# the thin queue row comes on top in ours.
sub set_up
{
	my ($cluster) = @_;

	$cluster->query("CREATE TABLE bench_outbox (LIKE whatsapp_messages INCLUDING ALL)");
	foreach my $table (@tables)
	{
		$cluster->query(<<SQL);
CREATE TABLE $table (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL,
    number     text NOT NULL,
    supplier   text NOT NULL,
    phone      text NOT NULL,
    total      numeric(10,2) NOT NULL,
    deliver_on date NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now())
SQL
	}
	my @texts = ('NEW.supplier', 'NEW.number', 'NEW.total::text', 'NEW.deliver_on::text');
	my $list = join(', ', @texts);
	my $objects = join(', ', map { "jsonb_build_object('type', 'text', 'text', $_)" } @texts);
	$cluster->query(<<SQL);
CREATE FUNCTION bench_plain() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    INSERT INTO bench_outbox (tenant_id, phone_number_id, recipient_phone, message_type,
        template_name, template_language, payload)
    VALUES (NEW.tenant, '100000000000001', NEW.phone, 'template', 'pedido_proveedor', 'es',
        jsonb_build_object('name', 'pedido_proveedor', 'language', jsonb_build_object('code', 'es'),
            'components', jsonb_build_array(jsonb_build_object('type', 'body', 'parameters',
                jsonb_build_array($objects)))));
    RETURN NULL;
END \$\$;
CREATE FUNCTION bench_whatsapp() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM wa_enqueue_message(NEW.tenant, NEW.phone, 'pedido_proveedor',
        jsonb_build_array($list));
    RETURN NULL;
END \$\$;
CREATE TRIGGER bench AFTER INSERT ON bench_plain FOR EACH ROW EXECUTE FUNCTION bench_plain();
CREATE TRIGGER bench AFTER INSERT ON bench_whatsapp FOR EACH ROW EXECUTE FUNCTION bench_whatsapp()
SQL
	return;
}

sub insert_rate
{
	my ($bench, $table, $clients) = @_;
	my $script = "$bench->{dir}/$table.sql";

	open(my $file, '>', $script) or die "$script: $!\n";
	print $file <<SQL;
\\set n random(1, 100000000)
INSERT INTO $table (tenant, number, supplier, phone, total, deliver_on)
VALUES ('bench-' || 1 + :n % $numbers, 'PO-2026-' || :n, 'Harinas del Norte', '+346' || lpad((:n - 1)::text, 8, '0'), 1234.5, date '2026-12-03');
SQL
	close($file);
	my $text = $bench->{cluster}->pgbench(
		'-M', 'prepared', '-c', $clients, '-j', $clients > 2 ? 2 : 1,
		'-T', $bench->count('enqueue_seconds'),
		'-f', $script);
	$text =~ /^tps = ([0-9.]+)/m or die "pgbench printed no rate: $text\n";
	return $1;
}

# One session enqueues in transactions of their own, again and again; then its
# time for a further few thousand is compared with that of new sessions.
sub old_session
{
	my ($bench) = @_;
	my $cluster = $bench->{cluster};
	my $many = $bench->count('session');
	my $few = 5000;
	my (@new, @old);

	clear($cluster);
	my $session = $cluster->session;
	my $pid = $session->query('SELECT pg_backend_pid()');
	time_enqueue($session, 100);
	my $kb_before = private_kb($pid);
	time_enqueue($session, $many);
	my $kb_after = private_kb($pid);
	foreach my $round (1 .. 5)
	{
		my $fresh = $cluster->session;
		time_enqueue($fresh, 100);
		push @new, time_enqueue($fresh, $few);
		push @old, time_enqueue($session, $few);
	}
	$bench->say('enqueue: a session after %s is %.2f as fast as a new one',
		thousands($many), median(ratios(\@new, \@old)));
	return (
		$bench->row(
			'speed of a session that has enqueued '
			  . thousands($many)
			  . ' times, against a new one',
			'least', 0.95,
			[ ratios(\@new, \@old) ],
			sprintf(
				'%.0f µs a transaction against %.0f µs',
				median(@old) * 1e6 / $few,
				median(@new) * 1e6 / $few)),
		$bench->row(
			'growth of that session\'s private memory, MB',
			'most', 1,
			[ ($kb_after - $kb_before) / 1024 ],
			thousands($kb_before) . ' kB before, ' . thousands($kb_after) . ' kB after'));
}

# Seconds for $count transactions that enqueue one message each.
sub time_enqueue
{
	my ($session, $count) = @_;

	$session->query(<<SQL);
DO \$\$
DECLARE
    start timestamptz := clock_timestamp();
BEGIN
    FOR n IN 1 .. $count LOOP
        PERFORM wa_enqueue_message('bench-' || 1 + n % $numbers, '+346' || lpad(n::text, 8, '0'),
            'pedido_proveedor', '["a", "b", "c", "d"]');
        COMMIT;
    END LOOP;
    PERFORM set_config('bench.seconds', extract(epoch FROM clock_timestamp() - start)::text, false);
END \$\$
SQL
	return $session->query("SELECT current_setting('bench.seconds')");
}

1;
