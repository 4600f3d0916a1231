# A message is cancelled, or its number is taken away, while the sender claims
# it: either that wins, or the message is sent, and never both.  The sender is
# stopped between its lease and the COMMIT, by a trigger that waits at a gate.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status invariants_hold);
use WaTest qw(set_and_reload);

my ($node, $sim) = new_delivery('claim', settings => ["whatsapp_shared.retry_delay = '1h'"]);
my $number = '100000000000001';

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

sql(<<'SQL');
CREATE TABLE public.gate (claim_fails boolean NOT NULL);
GRANT SELECT ON public.gate TO PUBLIC;
CREATE FUNCTION public.wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fails boolean;
BEGIN
    LOOP
        SELECT claim_fails INTO fails FROM public.gate;
        EXIT WHEN FOUND;
        PERFORM pg_sleep(0.01);
    END LOOP;
    IF fails THEN
        RAISE EXCEPTION 'the claim fails';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER wait_at_gate AFTER INSERT ON whatsapp_leases EXECUTE FUNCTION public.wait_at_gate();
INSERT INTO public.gate VALUES (false)
SQL

sub requests_of
{
	my ($id) = @_;
	return grep { ($_->{message}{biz_opaque_callback_data} // '') =~ /^wa1:[^:]*:$id:/ } $sim->requests;
}

sub in_queue
{
	my ($id) = @_;
	return sql("SELECT state, hold_reason FROM whatsapp_queue WHERE message_id = $id");
}

# A new message that the sender has locked and leased, but not committed.
sub claimed
{
	sql('DELETE FROM public.gate');
	my $id = enqueue($node, 't1', '+34611450001');

	wait_for($node, <<'SQL', 'the sender is in the middle of its claim');
SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'
SQL
	return $id;
}

# Runs a statement while the claim is stopped; it waits for that, and returns
# what it says once the claim has been committed, or has failed.
sub meanwhile
{
	my ($statement, $claim_fails) = @_;
	my ($out, $err) = ('', '');
	my $session = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', "/* meanwhile */ $statement" ],
		'>', \$out, '2>', \$err);

	wait_for($node, <<'SQL', "it is waited for: $statement");
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '/* meanwhile */%' AND wait_event_type = 'Lock')
SQL
	sql("INSERT INTO public.gate VALUES ($claim_fails)");
	ok($session->finish, 'and then done') or diag($err);
	chomp $out;
	sql('UPDATE public.gate SET claim_fails = false');
	return $out;
}

# ---- cancelled ----------------------------------------------------------------------------

my $id = claimed();
is(meanwhile("SELECT wa_cancel_message($id)", 'false'), 'f', 'what has been leased cannot be cancelled');
wait_status($node, $id, 'accepted', 'it is sent');
is(scalar requests_of($id), 1, 'once');

$id = claimed();
is(meanwhile("SELECT wa_cancel_message($id)", 'true'), 't', 'where the claim has failed, the cancellation wins');
is(sql("SELECT status FROM whatsapp_messages WHERE id = $id"), 'cancelled', 'the message is cancelled');

# One is being cancelled; another shows that the claim has come by.
my $session = $node->background_psql('postgres');
set_and_reload($node, enabled => 'off');
$id = enqueue($node, 't1', '+34611450002');
my $next = enqueue($node, 't1', '+34611450003');
$session->query_safe('BEGIN');
is($session->query_safe("SELECT wa_cancel_message($id)"), 't', 'a message is being cancelled');
set_and_reload($node, enabled => 'on');
wait_status($node, $next, 'accepted', 'the claim takes the next one');
$session->query_safe('COMMIT');
is(sql("SELECT status FROM whatsapp_messages WHERE id = $id"), 'cancelled', 'and has passed it by');

# A snapshot that is older than the lease.
set_and_reload($node, enabled => 'off');
$sim->faults({ match => { recipient => '+34611450004' }, delay_ms => 1500 });
$sim->hold_answers;
$id = enqueue($node, 't1', '+34611450004');
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($session->query_safe('SELECT count(*) FROM whatsapp_leases'), '0', 'a transaction has begun before the claim');
set_and_reload($node, enabled => 'on');
wait_status($node, $id, 'sending', 'the message is on the wire');
is($session->query_safe("SELECT wa_cancel_message($id)"), 'f', 'it sees the lease all the same');
$session->query_safe('COMMIT');
$sim->answer(1500);
wait_status($node, $id, 'accepted');

# Between two attempts there is time.
$sim->faults({ match => { recipient => '+34611450005' }, code => 131016, status => 500 });
$id = enqueue($node, 't1', '+34611450005');
wait_for($node, "SELECT state = 'd' AND attempts = 1 FROM whatsapp_queue WHERE message_id = $id", 'a message is to be tried again');
is(sql("SELECT wa_cancel_message($id)"), 't', 'it can be cancelled');
is(scalar requests_of($id), 1, 'after one attempt');
$sim->faults();

# ---- without a number any more ----------------------------------------------------------------

$id = claimed();
meanwhile(q{SELECT wa_unassign_phone('t1')}, 'false');
wait_status($node, $id, 'accepted', 'what has been leased is sent although its number is taken away');
is((requests_of($id))[0]{number}, $number, 'from that number');
sql("SELECT wa_assign_phone('t1', '$number')");

$id = claimed();
meanwhile(q{SELECT wa_unassign_phone('t1')}, 'true');
is(in_queue($id), 'h|no_number', 'where the claim has failed, the message is held');
is(scalar requests_of($id), 0, 'and has not left');
sql("SELECT wa_assign_phone('t1', '$number')");
wait_status($node, $id, 'accepted', 'until there is a number again');

# Written at the same time: the release cannot see it, and the number is another tenant's.
$session->query_safe('BEGIN');
$id = $session->query_safe(q{SELECT wa_enqueue_message('t1', '+34611450006', 'aviso', '["hola"]')});
sql("SELECT wa_unassign_phone('t1'); SELECT wa_assign_phone('t4', '$number')");
$session->query_safe('COMMIT');
wait_for($node, "SELECT state = 'h' AND hold_reason = 'no_number' FROM whatsapp_queue WHERE message_id = $id",
	'a message for a number that is another tenant\'s is held');
is(scalar requests_of($id), 0, 'and does not leave from it');
$session->quit;

is(scalar(grep { requests_of($_) } split /\n/, sql(q{SELECT id FROM whatsapp_messages WHERE status = 'cancelled' AND attempts = 0})),
	0, 'nothing that was cancelled in time has left');
invariants_hold($node);
$node->stop;
done_testing();
