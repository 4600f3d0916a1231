# What an account full of neighbours costs: is one number's, one tenant's or one
# session's trouble anybody else's?
#
# The account is filled up: thousands of numbers with a tenant each, messages that
# are held, deferred, or of a paused tenant, and the recipients of a day.  Then the
# CPU per message is held against that of ten numbers, and one tenant that sends
# a message now and then is watched, while something goes wrong beside it.
#
# The other measures have a hundred numbers, so this is the last one.
package Bench::Neighbours;

use strict;
use warnings;

use Bench::Load    qw(clear enqueue $numbers);
use Bench::Process qw(cpu_us free_ports private_kb run_line wait_for);
use Bench::Server;
use Bench::Stat    qw(median thousands);
use List::Util     qw(max);
use Time::HiRes    qw(sleep);

my $few = 10;
my $messages = 20_000;

sub measure
{
	my ($bench) = @_;
	my ($cluster, $server) = @$bench{qw(cluster server)};
	my $self = {
		bench => $bench,
		cluster => $cluster,
		many => max($bench->count('neighbours'), $numbers),
		rows => $bench->count('neighbours_rows'),
		reached => $bench->count('neighbours_reached')
	};
	my @rows;

	clear($cluster);
	$cluster->set($server->settings($Bench::Server::protocols[0]));
	$cluster->restart_sender;
	cpu($self, $few);    # its plans and connections
	my $alone = median(map { cpu($self, $few) } 1 .. 3);

	fill($self);
	push @rows, paused($self);
	push @rows, deferred($self);
	cpu($self, $self->{many});
	my (@crowded, @few);
	foreach (1 .. 3)
	{
		# Ten numbers must not be held up by their rate, as they were not before.
		$cluster->set('whatsapp_shared.messages_per_second' => 10000);
		push @few, cpu($self, $few);
		$cluster->set('whatsapp_shared.messages_per_second' => 80);
		push @crowded, cpu($self, $self->{many});
	}
	my $crowded = median(@crowded);
	push @rows, memory($self, 'after the drain');
	push @rows,
	  $bench->row(
		'sender CPU per message with ' . thousands($self->{many}) . " numbers, against $few",
		'most', 1.3,
		[ $crowded / $alone ],
		sprintf('%.0f µs against %.0f µs', $crowded, $alone));
	# Without what the account costs besides, such as its messaging limit.
	push @rows,
	  $bench->row(
		"the same, against $few of that account",
		'most', 1.3,
		[ map { $crowded[$_] / $few[$_] } 0 .. $#few ],
		sprintf('%.0f µs against %.0f µs', $crowded, median(@few)));

	push @rows, watch($self);
	$cluster->set('whatsapp_shared.enabled' => 'off', 'whatsapp_shared.messages_per_second' => 10000);
	clear($cluster);
	return @rows;
}

sub sizes
{
	my ($self) = @_;
	return
		thousands($self->{many})
	  . ' numbers; '
	  . thousands($self->{rows})
	  . ' held, deferred and paused each; '
	  . thousands($self->{reached})
	  . ' recipients of the day';
}

# ---- the account ----------------------------------------------------------------------

# Everybody who is there, beside the messages that are sent.
sub fill
{
	my ($self) = @_;
	my ($cluster, $rows) = @$self{qw(cluster rows)};

	# As wa_assign_phone() would, but in seconds.
	my $others = 'FROM generate_series(' . ($numbers + 1) . ", $self->{many}) AS n";
	$cluster->query(<<SQL);
INSERT INTO whatsapp_tenants (tenant_id) SELECT 'bench-' || n $others;
INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number)
    SELECT (100000000000000 + n)::text, '+34910' || lpad(n::text, 6, '0') $others;
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id)
    SELECT 'bench-' || n, (100000000000000 + n)::text $others
SQL
	$cluster->query(<<'SQL');
SELECT wa_configure_tenant('held', is_new => true);
SELECT wa_assign_phone('paused', '199999999999998', '+34919999998');
SELECT wa_assign_phone('deferred', '199999999999999', '+34919999999');
UPDATE whatsapp_phone_numbers SET messaging_limit = 'TIER_10000K'
SQL
	$cluster->query(<<SQL);
INSERT INTO whatsapp_reach (recipient, tenant_id, reached_at, sender)
SELECT '+347' || lpad(n::text, 8, '0'), 'bench-' || 1 + n % $self->{many}, now() - interval '1 hour', 0
FROM generate_series(1, $self->{reached}) AS n
SQL
	enqueue_for($self, 'held', $rows);
	$cluster->query('VACUUM (ANALYZE)');
	# The rate of a real number.
	$cluster->set('whatsapp_shared.messages_per_second' => 80);
	$cluster->restart_sender;
	$self->{bench}->say('neighbours: %s', sizes($self));
	return;
}

# Messages of one tenant, each to a recipient of its own.  Returns the first id.
sub enqueue_for
{
	my ($self, $tenant, $count, $more) = @_;
	$more //= '';

	return $self->{cluster}->query(<<SQL);
SELECT min(wa_enqueue_message('$tenant', '+346' || lpad(n::text, 8, '0'), 'pedido_proveedor',
    '["Harinas del Norte","PO-2026-000123","1.234,50 €","3 de diciembre"]'$more))
FROM generate_series(1, $count) AS n
SQL
}

# Waits until the sender has nothing to do: as long as it uses next to no CPU.
sub calm
{
	my ($self) = @_;
	my $sender = $self->{cluster}->sender;
	my $quiet = 0;

	for (1 .. 600)
	{
		my $before = cpu_us($sender);
		sleep(0.2);
		$quiet = cpu_us($sender) - $before < 20_000 ? $quiet + 1 : 0;
		return if $quiet == 3;
	}
	die "the sender does not come to rest\n";
}

# What the sender writes and uses for messages that it does not send.
sub paused
{
	my ($self) = @_;
	my ($cluster, $bench, $rows) = @$self{qw(cluster bench rows)};

	enqueue_for($self, 'paused', $rows);
	$cluster->query(q(SELECT wa_pause('tenant', 'paused', 'benchmark')));
	$cluster->set('autovacuum' => 'off');
	my $sender = $cluster->sender;
	my ($wal, $cpu) = ($cluster->query('SELECT pg_current_wal_insert_lsn()'), cpu_us($sender));
	$cluster->set('whatsapp_shared.enabled' => 'on');
	calm($self);
	$cluster->set('whatsapp_shared.enabled' => 'off');
	$wal = $cluster->query("SELECT pg_current_wal_insert_lsn() - '$wal'::pg_lsn");
	$cpu = cpu_us($sender) - $cpu;
	$cluster->set('autovacuum' => undef);
	return $bench->row(
		'WAL written for each message of a paused tenant, bytes',
		'most', 20,
		[ $wal / $rows ],
		sprintf('of %s messages; %.1f µs of CPU each', thousands($rows), $cpu / $rows));
}

# Deferred as a pair's limit does it, one for each recipient; the restart makes the
# sender remember them.
sub deferred
{
	my ($self) = @_;
	my ($cluster, $bench, $rows) = @$self{qw(cluster bench rows)};

	$cluster->restart_sender;
	calm($self);
	my $before = private_kb($cluster->sender);
	my $first = enqueue_for($self, 'deferred', $rows);
	$cluster->query(<<SQL);
UPDATE whatsapp_queue SET state = 'd', hold_reason = 'pair_rate', due_at = now() + interval '1 day'
WHERE message_id >= $first
SQL
	$cluster->query('VACUUM (ANALYZE) whatsapp_queue');
	$cluster->restart_sender;
	calm($self);
	my $bytes = (private_kb($cluster->sender) - $before) * 1024 / $rows;
	return $bench->row('memory for each deferred recipient, bytes',
		'most', 64, [$bytes], 'of ' . thousands($rows));
}

# ---- what a message costs -----------------------------------------------------------------

# Sends from so many numbers, and returns the sender's CPU for a message, in microseconds.
sub cpu
{
	my ($self, $spread) = @_;
	my $cluster = $self->{cluster};

	my $before = $cluster->query('SELECT COALESCE(max(id), 0) FROM whatsapp_messages');
	enqueue($cluster, $messages, $spread);
	$cluster->query('CHECKPOINT');
	my $sender = $cluster->sender;
	calm($self);
	my $cpu = cpu_us($sender);
	$cluster->set('whatsapp_shared.enabled' => 'on');
	wait_for(
		"$messages messages are sent",
		120,
		sub {
			$cluster->query(
				"SELECT NOT EXISTS (SELECT FROM whatsapp_queue WHERE message_id > $before)") eq 't';
		},
		0.2);
	$cpu = cpu_us($sender) - $cpu;
	$self->{peak_kb} = max($self->{peak_kb} // 0, private_kb($sender));
	$cluster->set('whatsapp_shared.enabled' => 'off');
	$self->{bench}->say('neighbours: %.0f µs for each message from %s numbers',
		$cpu / $messages, thousands($spread));
	return $cpu / $messages;
}

sub memory
{
	my ($self, $when) = @_;
	my $kb = max($self->{peak_kb}, private_kb($self->{cluster}->sender));

	return $self->{bench}
	  ->row("sender private memory $when, MB", 'most', 64, [ $kb / 1024 ], sizes($self));
}

# ---- one that is hardly there --------------------------------------------------------------

# What may go wrong beside it: what is done before, what afterwards, and the goals for
# p99 and the largest latency.  The worst is last, because it may leave something behind.
sub watch
{
	my ($self) = @_;
	my $cluster = $self->{cluster};
	my $port = free_ports(1);

	$cluster->set(
		'whatsapp_shared.graph_url' => "http://127.0.0.1:$port",
		'whatsapp_shared.max_in_flight' => 128,
		'whatsapp_shared.max_connections' => 128);
	$cluster->restart_sender;
	return (
		watched($self, $port, 'quiet', 20),
		watched(
			$self, $port,
			'beside a flood of another tenant',
			20,
			before => sub {
				$cluster->query(<<'SQL');
UPDATE whatsapp_phone_numbers SET messages_per_second = 1000 WHERE phone_number_id = '100000000000002'
SQL
				enqueue_for($self, 'bench-2', 6000);
			}),
		watched($self, $port, 'with 1,000 rows locked by an open session', 20, locked($self)),
		watched($self, $port, uncertain_name($self), 20, before => sub { make_uncertain($self) }),
		watched(
			$self, $port,
			'beside a hanging number',
			50,
			hang => '100000000000002',
			before => sub { enqueue_for($self, 'bench-2', 500) }));
}

# Starts with sending switched off, so that what is prepared begins with it.
sub watched
{
	my ($self, $port, $name, $p99, %with) = @_;
	my ($cluster, $bench) = @$self{qw(cluster bench)};

	$with{before}->() if $with{before};
	$cluster->set('whatsapp_shared.enabled' => 'on');
	my $result = run_line(
		200, {}, "$bench->{build}/latency", '--conninfo', $cluster->conninfo,
		'--port', $port, '--tenants', $self->{many}, '--count', $bench->count('latency'),
		'--background', 200, $with{hang} ? ('--hang', $with{hang}) : ());
	$with{after}->() if $with{after};
	$cluster->set('whatsapp_shared.enabled' => 'off');
	$cluster->query("SELECT count(wa_cancel_message(message_id)) FROM whatsapp_queue"
		  . " WHERE phone_number_id = '100000000000002' AND state = 'r'");
	$bench->say(
		"neighbours, $name: p50 %s, p99 %s, largest %s ms; stood still for %s ms",
		@$result{qw(p50_ms p99_ms max_ms gap_ms)});
	my $detail = sprintf('p50 %s ms, largest %s ms', @$result{qw(p50_ms max_ms)});
	return (
		$bench->row("latency of an idle tenant $name, p99, ms",
			'most', $p99, [ $result->{p99_ms} ], $detail),
		$bench->row("longest time without a request $name, ms",
			'most', 100, [ $result->{gap_ms} ], '200 messages a second are due'));
}

# Rows of one tenant that somebody has locked, and forgotten.
sub locked
{
	my ($self) = @_;
	my $session;

	return (
		before => sub {
			enqueue_for($self, 'bench-2', 1000);
			$session = $self->{cluster}->session;
			$session->query('BEGIN');
			$session->query(<<'SQL');
SELECT count(*) FROM (SELECT FROM whatsapp_queue AS q JOIN whatsapp_messages AS m ON m.id = q.message_id
    WHERE q.phone_number_id = '100000000000002' FOR UPDATE) AS l
SQL
		},
		after => sub { $session->query('ROLLBACK') });
}

sub uncertain_name
{
	my ($self) = @_;
	return sprintf(
		'while %s uncertain messages beside %s of the day are decided',
		map { thousands($self->{bench}->count($_)) } qw(neighbours_uncertain neighbours_day));
}

# Messages in doubt, which become due within the next seconds, of a tenant that has sent
# a lot today.
sub make_uncertain
{
	my ($self) = @_;
	my ($cluster, $bench) = @$self{qw(cluster bench)};
	my $day = $bench->count('neighbours_day');

	$cluster->query(<<SQL);
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, template_name,
    template_language, payload, status, attempts, whatsapp_message_id, created_at, scheduled_at,
    accepted_at, finished_at)
SELECT 'bench-3', '100000000000003', '+346' || lpad(n::text, 8, '0'), 'template', 'pedido_proveedor', 'es',
    '{"name": "pedido_proveedor", "language": {"code": "es"}}', 'accepted', 1, 'wamid.DAY' || n, t, t, t, t
FROM generate_series(1, $day) AS n,
    LATERAL (SELECT now() - interval '20 hours' + n * interval '19 hours' / $day) AS at (t)
SQL
	my $first = enqueue_for($self, 'bench-3', $bench->count('neighbours_uncertain'));
	$cluster->query(<<SQL);
WITH u AS (
    UPDATE whatsapp_queue SET state = 'u', hold_reason = 'uncertain', attempts = 1,
        due_at = clock_timestamp() + interval '2 s'
    WHERE message_id >= $first AND phone_number_id = '100000000000003' RETURNING message_id),
a AS (
    INSERT INTO whatsapp_attempts (message_id, attempt, phone_number_id, outcome, started_at)
    SELECT message_id, 1, '100000000000003', 'uncertain', now() - interval '20 minutes' FROM u)
UPDATE whatsapp_messages AS m SET status = 'uncertain', attempts = 1 FROM u WHERE m.id = u.message_id
SQL
	$cluster->query('ANALYZE whatsapp_messages');
	return;
}

1;
