# What rows cost that are not sent: messages of somebody who is stopped, deferred
# ones, dead entries of an index, and many numbers in one transaction.  Counted are
# rows written and index entries read, not seconds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WaDelivery qw(accepted_for invariants_hold wait_for wait_status);
use WaLoad qw(stopwatch);
use WaSimulator;
use WaTest qw(new_node create_extension set_and_reload wait_for_senders);

my $numbers = 300;
my $default = '100000000000299';
my $sim = WaSimulator->start('--numbers' => $numbers, '--accept-any-template');
my $node = new_node(
	'rows',
	'whatsapp_shared.enabled = on',
	"whatsapp_shared.access_token = 'SIMULATOR_TOKEN'",
	"whatsapp_shared.graph_url = '" . $sim->url . "'",
	"whatsapp_shared.phone_number_id = '$default'",
	'whatsapp_shared.sync_interval = 0',
	'autovacuum = off',
	'client_min_messages = warning');

create_extension($node, 'postgres');
sql("SELECT wa_assign_phone('t' || i, (100000000000000 + i)::text) FROM generate_series(1, 298) AS i");
sql("SELECT wa_configure_tenant('d' || i, is_new => true) FROM generate_series(1, 2) AS i");
wait_for_senders($node, 'postgres', 1);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

# So many messages of a tenant, each to a recipient of its own; the first one's id.
my $recipient = 34620000000;

sub enqueue_many
{
	my ($tenant, $count, $more) = @_;
	my $from = $recipient + 1;

	$recipient += $count;
	$more //= '';
	return sql("SELECT min(wa_enqueue_message('$tenant', '+' || n, 'aviso', '[\"1\"]'$more)) FROM generate_series($from, $recipient) AS n");
}

# How many rows of a table are as a single transaction has inserted them, and neither
# changed nor locked since: "all", or their number.
sub untouched
{
	my ($table, $column, $first, $count) = @_;
	my $last = $first + $count - 1;
	my $n = sql("SELECT COALESCE(sum(n), 0) FROM (SELECT count(*) FILTER (WHERE xmax = '0') AS n FROM $table WHERE $column BETWEEN $first AND $last GROUP BY xmin::text ORDER BY min($column) LIMIT 1) AS s");
	return $n == $count ? 'all' : $n;
}

# Another tenant's message is sent: the sender has had its turn.
sub turn
{
	my $id = enqueue_many('t10', 1);
	wait_status($node, $id, 'accepted', 'somebody else sends');
	return;
}

# An index's scans or entries read, once the sender has reported what it did; it does
# so at the latest when it has nothing more to do.
sub index_count
{
	my ($column, $index) = @_;
	my $count = -1;

	for (1 .. 100)
	{
		my $now = sql("SELECT pg_stat_clear_snapshot(), $column FROM pg_stat_user_indexes WHERE indexrelname = '$index'") =~ s/.*\|//r;
		return $now if $now == $count;
		$count = $now;
		usleep(400_000);
	}
	die "$index does not come to rest\n";
}

# ---- a tenant that is stopped, with a number of its own --------------------------------------

turn();
foreach my $case (
	[ 'paused', "wa_pause('tenant', 't1')", "wa_resume('tenant', 't1')", 'tenant_paused' ],
	[
		'switched off',
		"wa_configure_tenant('t1', enabled => false)",
		"wa_configure_tenant('t1', enabled => true)",
		'tenant_disabled'
	])
{
	my ($is, $stop, $go_on, $reason) = @$case;

	# Enqueued before, so that it finds them ready.
	sql("SELECT wa_pause('account')");
	my $first = enqueue_many('t1', 200);
	sql("SELECT $stop");
	sql("SELECT wa_resume('account')");
	turn();
	is(untouched('whatsapp_queue', 'message_id', $first, 200),
		'all', "no row of the queue is written or locked for a tenant that is $is");
	is(untouched('whatsapp_messages', 'id', $first, 200), 'all', 'nor is a message');
	is(sql("SELECT reason FROM wa_explain($first)"), $reason, 'wa_explain knows why they wait');
	is( sql("SELECT state, reason, messages FROM wa_queue_status WHERE phone_number_id = '100000000000001'"),
		"held|$reason|200",
		'and so does wa_queue_status');
	sql("SELECT $go_on");
	wait_for($node, "SELECT count(*) = 200 FROM whatsapp_messages WHERE id BETWEEN $first AND $first + 199 AND status = 'accepted'",
		'they go on when that is over');
	is( join(' ', map { $_->{message}{to} } grep { $_->{phone_number_id} eq '100000000000001' } $sim->accepted),
		join(' ', map { $_ } sort map { $_->{message}{to} } grep { $_->{phone_number_id} eq '100000000000001' } $sim->accepted),
		'in their order');
}

# ---- one that shares its number ------------------------------------------------------------------

sql("SELECT wa_pause('account')");
my $shared = enqueue_many('d1', 50);
sql("SELECT wa_pause('tenant', 'd1')");
my $other = enqueue_many('d2', 1);
sql("SELECT wa_resume('account')");
wait_status($node, $other, 'accepted', 'a tenant with whom it shares a number is not held up');
is( sql("SELECT state, reason, messages FROM wa_queue_status WHERE phone_number_id = '$default'"),
	'held|tenant_paused|50',
	'what is in the way of others is held');
is(untouched('whatsapp_messages', 'id', $shared, 50), 'all', 'which no message tells of');
sql("SELECT wa_resume('tenant', 'd1')");
wait_for($node, "SELECT count(*) = 50 FROM whatsapp_messages WHERE id BETWEEN $shared AND $shared + 49 AND status = 'accepted'",
	'and is sent in the end');

# ---- a deferral -----------------------------------------------------------------------------------

my $burst = sql(q{
	SELECT min(wa_enqueue_message('t2', '+34699000001', 'aviso', '["1"]')) FROM generate_series(1, 60)});
# After the first 44; some more may have had their turn by now.
wait_for($node, "SELECT count(*) = 10 FROM whatsapp_queue WHERE message_id BETWEEN $burst + 50 AND $burst + 59 AND state = 'd' AND hold_reason = 'pair_rate'",
	'the pair limit defers what comes after the burst');
is(untouched('whatsapp_messages', 'id', $burst + 50, 10),
	'all', 'and writes that down in the queue alone');
sql("SELECT wa_cancel_message(message_id) FROM whatsapp_queue");

sql(<<'SQL');
CREATE TABLE public.written (id bigint, error_code integer);
CREATE FUNCTION public.note_written() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.written VALUES (NEW.id, NEW.error_code);
    RETURN NULL;
END
$$;
CREATE TRIGGER note_written AFTER UPDATE ON whatsapp_messages FOR EACH ROW WHEN (OLD.status = 'queued' AND NEW.status = 'queued')
    EXECUTE FUNCTION public.note_written();
SQL
$sim->faults({ match => { recipient => '+34699000002' }, times => 2, code => 131056, status => 400 });
my $refused = sql(q{SELECT wa_enqueue_message('t2', '+34699000002', 'aviso', '["1"]')});
wait_status($node, $refused, 'accepted', 'a message that responses defer is sent in the end');
is(sql("SELECT count(*) FROM whatsapp_attempts WHERE message_id = $refused"), '2', 'after two of them, for the same reason');
# One that took so long that it showed as being sent is put back, which has to be written.
cmp_ok(sql("SELECT count(*) FROM public.written WHERE id = $refused AND error_code = 131056"), '<=', 1, 'which the message is told once');
$sim->faults();
sql('DROP TRIGGER note_written ON whatsapp_messages');

# ---- deferred rows while a transaction keeps the dead ones ------------------------------------------

my $pin = $node->background_psql('postgres');
$pin->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$pin->query_safe('SELECT count(*) FROM whatsapp_queue');
sql("SELECT wa_pause('number', '100000000000003')");
my $crowd = 3000;
my $first = enqueue_many('t3', $crowd, ", scheduled_at => clock_timestamp() + interval '2 s'");
wait_for($node, "SELECT count(*) = $crowd FROM whatsapp_queue WHERE message_id BETWEEN $first AND $first + $crowd - 1 AND state = 'r'",
	'many messages have become due');

my $entries = index_count('idx_tup_read', 'whatsapp_queue_due_idx');
my $from = time;
for my $i (1 .. 20)
{
	my $id = enqueue_many('t3', 1, ", scheduled_at => clock_timestamp() + interval '20 ms'");
	$node->poll_query_until('postgres', "SELECT state = 'r' FROM whatsapp_queue WHERE message_id = $id")
	  or die "message $id does not become due";
}
$entries = index_count('idx_tup_read', 'whatsapp_queue_due_idx') - $entries;
# A sweep, of which there is one in 30 seconds, reads all of them once.
my $sweeps = 2 + int((time - $from) / 30);
cmp_ok($entries, '<', ($sweeps + 1) * $crowd, 'their dead entries are not read again for each that follows');
$pin->query_safe('COMMIT');

# Seconds from the end of the open transaction until this message is accepted, without those for
# which the servers waited for a processor.
my $late = $node->background_psql('postgres');
sub end_late
{
	my ($id, $what) = @_;
	my $watch = stopwatch($node, $sim);
	my $ended = $late->query_safe('SELECT clock_timestamp()');

	$late->query_safe('COMMIT');
	wait_status($node, $id, 'accepted', $what);
	return sql("SELECT EXTRACT(epoch FROM accepted_at - '$ended') FROM whatsapp_messages WHERE id = $id") - $watch->waited;
}

# A transaction that commits late tells of a time that has been passed already.
my $took = 0;
for my $i (1 .. 3)
{
	$late->query_safe('BEGIN');
	my $id = $late->query_safe("SELECT wa_enqueue_message('t4', '+3469900010$i', 'aviso', '[\"1\"]', scheduled_at => clock_timestamp() + interval '20 ms')");
	my $after = enqueue_many('t4', 1, ", scheduled_at => clock_timestamp() + interval '40 ms'");
	wait_status($node, $after, 'accepted', 'a later one has come due meanwhile');
	$took += end_late($id, 'what commits late comes due at once');
}
cmp_ok($took, '<', 15, 'and not with the next sweep');

# So does a row that somebody had locked when its time came.
$took = 0;
for my $i (1 .. 3)
{
	my $id = enqueue_many('t4', 1, ", scheduled_at => clock_timestamp() + interval '300 ms'");
	$late->query_safe("BEGIN; SELECT FROM whatsapp_queue WHERE message_id = $id FOR UPDATE");
	my $after = enqueue_many('t4', 1, ", scheduled_at => clock_timestamp() + interval '350 ms'");
	wait_status($node, $after, 'accepted', 'a locked one holds up nobody');
	$took += end_late($id, 'and comes when it is free');
}
cmp_ok($took, '<', 15, 'not with the next sweep either');
$late->quit;
$pin->quit;

# ---- many numbers in one transaction -------------------------------------------------------------------

sql("SELECT wa_cancel_message(message_id) FROM whatsapp_queue");

# A sweep, which comes every 30 seconds, can be among them, but not each time.
my ($scans, $many);
for my $round (1 .. 5)
{
	$scans = index_count('idx_scan', 'whatsapp_queue_ready_idx');
	$many = sql("SELECT min(wa_enqueue_message('t' || i, '+34698' || lpad(i::text, 6, '0'), 'aviso', '[\"1\"]')) FROM generate_series(5, 284) AS i");
	wait_for($node, "SELECT count(*) = 280 FROM whatsapp_messages WHERE id >= $many AND status = 'accepted'",
		'one transaction wakes many numbers');
	$scans = index_count('idx_scan', 'whatsapp_queue_ready_idx') - $scans;
	last if $scans < 2 * 280;
}
cmp_ok($scans, '>=', 280, 'each of which is read');
cmp_ok($scans, '<', 2 * 280, 'and not looked for by a sweep besides');

is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'nothing arrived twice');
invariants_hold($node);
$node->stop;
done_testing();
