# Whatever way messages get into the tables: large transactions, long sessions,
# functions that catch errors, and rows that no function of ours has written.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery wait_for settled accepted_for invariants_hold);
use WaTest qw(set_and_reload);

my ($node, $sim) = new_delivery('sessions',
	settings => ['whatsapp_shared.messages_per_second = 1000']);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

# ---- one large transaction -------------------------------------------------------------------

# How long the first and the last two tenths took, and what the session's
# memory has grown by, once the transaction is over.
set_and_reload($node, enabled => 'off');
my ($first, $last, $grown) = split /\|/, sql(<<'SQL');
CREATE TEMP TABLE tenths (n integer, took interval);
CREATE TEMP TABLE memory (bytes bigint);
SELECT wa_enqueue_message('t1', '+34611000000', 'aviso', '["hola"]') \g /dev/null
INSERT INTO memory SELECT sum(total_bytes) FROM pg_backend_memory_contexts;
DO $$ DECLARE began timestamptz; BEGIN FOR tenth IN 1 .. 10 LOOP
	began := clock_timestamp();
	PERFORM wa_enqueue_message('t' || (1 + i % 3), '+34612' || lpad((tenth * 10000 + i)::text, 7, '0'), 'aviso', '["hola"]')
	FROM generate_series(1, 10000) AS i;
	INSERT INTO tenths VALUES (tenth, clock_timestamp() - began);
END LOOP; END $$;
SELECT (SELECT extract(epoch FROM sum(took)) FROM tenths WHERE n <= 2), (SELECT extract(epoch FROM sum(took)) FROM tenths WHERE n >= 9),
	sum(total_bytes) - (SELECT bytes FROM memory) FROM pg_backend_memory_contexts;
SQL
is(sql('SELECT count(*) FROM whatsapp_queue'), '100001', '100,000 messages in one transaction are queued');
# If each cost more than the one before, the factor would be six and more.
cmp_ok($last, '<', 4 * $first, sprintf('the last are written as fast as the first (%.2f s and %.2f s for 20,000)', $last, $first));
cmp_ok($grown, '<', 1_000_000, "and the session keeps nothing of it ($grown bytes)");
my $before = sql('SELECT count(*) FROM whatsapp_messages');
sql(<<'SQL');
BEGIN;
SELECT count(wa_enqueue_message('t1', '+34612' || lpad(i::text, 7, '0'), 'aviso', '["no"]')) FROM generate_series(1, 1000) AS i;
ROLLBACK
SQL
is(sql('SELECT count(*) FROM whatsapp_messages'), $before, 'a large transaction that is rolled back leaves nothing');
sql('TRUNCATE whatsapp_queue, whatsapp_messages CASCADE');

# ---- one long session ------------------------------------------------------------------------

# Every kind of end of a transaction and a subtransaction, thousands of times.
$grown = sql(<<'SQL');
CREATE FUNCTION pg_temp.one(i integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
	PERFORM wa_enqueue_message('t1', '+34613' || lpad(i::text, 7, '0'), 'aviso', '["a"]');
	BEGIN
		PERFORM wa_enqueue_message('t1', '+34614' || lpad(i::text, 7, '0'), 'aviso', '["b"]');
		PERFORM wa_enqueue_message('t1', 'nobody', 'aviso', '["b"]');
	EXCEPTION WHEN invalid_parameter_value THEN
		PERFORM wa_enqueue_message('t2', '+34615' || lpad(i::text, 7, '0'), 'aviso', '["c"]');
	END;
END $$;
CREATE TEMP TABLE memory (bytes bigint);
DO $$ BEGIN FOR i IN 1 .. 100 LOOP PERFORM pg_temp.one(0); ROLLBACK; END LOOP; END $$;
INSERT INTO memory SELECT sum(total_bytes) FROM pg_backend_memory_contexts;
DO $$ BEGIN FOR i IN 1 .. 10000 LOOP
	PERFORM pg_temp.one(i);
	IF i % 20 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
END LOOP; END $$;
SELECT sum(total_bytes) - (SELECT bytes FROM memory) FROM pg_backend_memory_contexts;
SQL
cmp_ok($grown, '<', 200_000, "after 10,000 transactions with caught errors a session has not grown ($grown bytes)");

# Schemas come and go, with a tenant, a temporary table or a test; ours does not.
my $schemas = sql(<<'SQL');
CREATE TEMP TABLE memory (bytes bigint);
CREATE PROCEDURE pg_temp.come_and_go(n integer) LANGUAGE plpgsql AS $$ BEGIN
	FOR i IN 1 .. n LOOP
		CREATE SCHEMA passing;
		DROP SCHEMA passing;
		COMMIT;
		PERFORM wa_enqueue_message('t1', '+34616' || lpad(i::text, 7, '0'), 'aviso', '["d"]');
		PERFORM wa_cancel_message(max(id)) FROM whatsapp_messages;
		COMMIT;
	END LOOP;
END $$;
CALL pg_temp.come_and_go(10);
INSERT INTO memory SELECT sum(total_bytes) FROM pg_backend_memory_contexts;
CALL pg_temp.come_and_go(100);
SELECT sum(total_bytes) - (SELECT bytes FROM memory) FROM pg_backend_memory_contexts;
SQL
cmp_ok($schemas, '<', 500_000, "nor after a hundred schemas that others made and dropped ($schemas bytes)");

set_and_reload($node, enabled => 'on');
settled($node, 'what was committed is sent');
my %count;
$count{ substr($_->{message}{to}, 0, 6) }++ foreach $sim->accepted;
is_deeply(\%count, { '+34613' => 500, '+34615' => 500 },
	'exactly what was committed: not what an EXCEPTION block took back, but what it wrote itself');

# ---- a great many messages for tomorrow ----------------------------------------------------------

# Those that are due now are found without reading those that are not.
sub due_index
{
	return split /\|/, sql(q{SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'whatsapp_queue_due_idx'});
}
sql(<<'SQL');
SELECT count(wa_enqueue_message('t1', '+34618' || lpad(i::text, 6, '0'), 'aviso', '["hola"]', scheduled_at => now() + interval '1 day',
	expires_at => now() + interval '2 days'))
FROM generate_series(1, 20000) AS i
SQL
my ($scans, $read) = due_index();
foreach my $n (1 .. 5)
{
	sql("SELECT wa_enqueue_message('t2', '+3461900000$n', 'aviso', '[\"hola\"]', scheduled_at => now() + interval '200 ms')");
	wait_for($node, "SELECT status = 'accepted' FROM whatsapp_messages WHERE recipient_phone = '+3461900000$n'",
		'a message that is due soon goes');
}
wait_for($node, "SELECT idx_scan > $scans + 4 FROM pg_stat_user_indexes WHERE indexrelname = 'whatsapp_queue_due_idx'",
	'which the statistics show');
cmp_ok((due_index())[1] - $read, '<', 10_000, 'without reading the 20,000 that are due tomorrow');
sql(q{SELECT count(wa_cancel_message(id)) FROM whatsapp_messages WHERE status = 'queued'});

# ---- where a message must not be written -------------------------------------------------------

is( sql(q{SELECT string_agg(DISTINCT proparallel::text, '') FROM pg_proc WHERE proname ~ '^wa_(enqueue|cancel|retry|resolve)'}),
	'u', 'no parallel worker enqueues: it could not write');
my (undef, undef, $error) = $node->psql('postgres',
	q{BEGIN READ ONLY; SELECT wa_enqueue_message('t1', '+34616000000', 'aviso', '["a"]')});
like($error, qr/ERROR:  cannot execute INSERT in a read-only transaction/, 'nor does a read-only transaction');

# ---- rows that come another way ------------------------------------------------------------------

# As COPY, a restore, or the apply worker of a logical subscription writes them:
# no function, no note at COMMIT.  They may have been sent elsewhere, so somebody has
# to say that they are to be sent from here.  Then the sweep finds them.
sql(<<'SQL');
SET session_replication_role = replica;
COPY whatsapp_messages (id, tenant_id, phone_number_id, recipient_phone, message_type, template_name, template_language, payload) FROM stdin;
900001	t3	100000000000003	+34617000001	template	aviso	es	{"name": "aviso", "language": {"code": "es"}, "components": [{"type": "body", "parameters": [{"type": "text", "text": "copy"}]}]}
\.
COPY whatsapp_queue (message_id, phone_number_id, rank, due_at, state) FROM stdin;
900001	100000000000003	0	2026-01-01 00:00:00+00	r
\.
SQL
$node->wait_for_log(qr/DETAIL:  Rows were loaded into its table whatsapp_queue at .* Nothing is sent/);
is(sql('SELECT reason FROM wa_explain(900001)'), 'clone_not_adopted', 'rows that were copied into the queue are not sent');
sql('SELECT wa_adopt()');
wait_for($node, q{SELECT status = 'accepted' FROM whatsapp_messages WHERE id = 900001},
	'until they are adopted: the sweep finds them');

is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'nothing arrived twice');
invariants_hold($node);
$node->stop;
done_testing();
