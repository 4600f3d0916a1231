# No statement of a sender reads a table that grows from end to end, whatever was known of
# the table when the statement was planned: nothing, too little, or what is so no more.
#
# auto_explain writes down how many rows each node of each plan of the sender has touched,
# in statements and in the functions that these call.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled);

# A batch of upkeep is a thousand, of the sweep for orphans ten thousand.
my $ROWS = 30_000;
my $MOST = 12_000;

# Tables that grow with the messages.
my %large = map { $_ => 1 } qw(
  whatsapp_messages whatsapp_queue whatsapp_attempts whatsapp_wamids whatsapp_reach whatsapp_windows whatsapp_contacts
  whatsapp_opt_outs whatsapp_inbound_messages);
my $LARGE = join '|', sort keys %large;

my ($node, $sim) = new_delivery(
	'plans',
	tenants  => 4,
	settings => [
		"shared_preload_libraries = 'whatsapp_shared, auto_explain'",
		'autovacuum = off',
		"log_line_prefix = '%b|'",
		'auto_explain.log_min_duration = 0',
		'auto_explain.log_analyze = on',
		'auto_explain.log_timing = off',
		'auto_explain.log_nested_statements = on',
		'auto_explain.log_format = json',
		"whatsapp_shared.business_account_id = '300000000000001'",
		"whatsapp_shared.messages_per_second = 1000",
		"whatsapp_shared.uncertain_grace = '1s'",
		"whatsapp_shared.uncertain_policy = 'auto'"
	]);

# Only senders: they take nothing over that is stored for their database.
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET auto_explain.log_min_duration = -1');

sub sql { return $node->safe_psql('postgres', $_[0]); }

my $last = 621480000;

# Recipients, of whom each meets this fault once, or none: undef.
sub recipients
{
	my @faults = @_;
	my @to = map { '+34' . ++$last } @faults;
	$sim->faults(map { { match => { recipient => $to[$_] }, times => 1, %{ $faults[$_] } } } grep { $faults[$_] } 0 .. $#faults);
	return @to;
}

# Whether there is any row at all: the first one tells.
my $IS_EMPTY = qr/^\s*NOT EXISTS \(SELECT FROM \S+\)$/;

# What a new sender reads of the newest messages, and of those that are deferred first.
my $AT_START = qr/FROM \(SELECT \* FROM \S*whatsapp_(?:messages|queue) .*LIMIT (?:\$1|1000)\)/;

# ---- what the sender has run -----------------------------------------------------------

# How many rows a node has looked at: those it has returned, and those it has thrown away.
sub touched
{
	my ($plan) = @_;
	my $rows = ($plan->{'Actual Rows'} // 0);
	$rows += $plan->{$_} // 0 for 'Rows Removed by Filter', 'Rows Removed by Index Recheck';
	return $rows * ($plan->{'Actual Loops'} // 1);
}

sub nodes
{
	my ($plan) = @_;
	return ($plan, map { nodes($_) } @{ $plan->{Plans} // [] });
}

my $read = 0;
my %seen;

sub plans_are_right
{
	my ($what) = @_;
	my $log = slurp_file($node->logfile, $read);
	my (%wrong, %tables, $statements);

	$read += length $log;
	while ($log =~ /^whatsapp_shared sender\|LOG:  duration: [\d.]+ ms  plan:\n((?:\t.*\n)+)/mg)
	{
		my $json = $1;

		$statements++;
		next if $json !~ /"Relation Name": "(?:$LARGE)"/;    # reading JSON takes its time
		my $entry = eval { decode_json($json) } or next;
		my $text = $entry->{'Query Text'} =~ s/\s+/ /gr;

		foreach my $node (nodes($entry->{Plan}))
		{
			my $table = $node->{'Relation Name'} // '';
			my $end_to_end = $node->{'Node Type'} eq 'Seq Scan' && $large{$table} && $text !~ $IS_EMPTY;
			$tables{$table} = 1;
			$wrong{$text} = "$node->{'Node Type'} $table" if $end_to_end;
			$wrong{$text} = "$node->{'Node Type'} $table: " . touched($node) . ' rows'
			  if $table =~ /^whatsapp_/ && $text !~ $AT_START && touched($node) > $MOST;
		}
		$seen{$text} = 1;
	}
	cmp_ok($statements // 0, '>', 30, "$what: the plans were read");
	is(join("\n", map { "$wrong{$_}: $_" } sort keys %wrong), '', "$what: no plan reads a large table from end to end");
	ok($tables{$_}, "$what: $_ was used")
	  for qw(whatsapp_messages whatsapp_queue whatsapp_attempts whatsapp_reach whatsapp_windows);
	return;
}

# ---- everything that a sender does -------------------------------------------------------

sub restarted
{
	my $pid = sql('SELECT pid FROM wa_stats()');
	sql('SELECT wa_worker_restart()');
	return wait_for($node, "SELECT pid <> $pid FROM wa_stats()", 'a new sender');
}

sub everything
{
	my ($what) = @_;

	# What is read from Meta knows no limit.
	sql(q{UPDATE whatsapp_phone_numbers SET messaging_limit = '10000000'});

	# Recovery finds a lease; then retention, the sweep and the reconciliation come at once.
	my ($lost) = map { enqueue($node, 't1', $_) } recipients({ reply => 'hang', accept => JSON::PP::true });
	wait_status($node, $lost, 'sending', "$what: a request hangs");
	restarted();
	$sim->release;
	wait_for($node, "SELECT status <> 'sending' FROM whatsapp_messages WHERE id = $lost", "$what: its lease is ended");

	my @to = recipients({ code => 131000, status => 500 }, { code => 131026, status => 400 }, { code => 131050, status => 400 },
		{ reply => 'empty', status => 503 }, { delay_ms => 600 }, { delay_ms => 100 }, (undef) x 4);
	my ($retried, $failed, $opted_out, $uncertain, $slow, $first) = map { enqueue($node, 't1', $_) } @to[ 0 .. 5 ];
	my $second = enqueue($node, 't1', $to[5]);
	my $scheduled = enqueue($node, 't2', $to[6], scheduled_at => q{now() + interval '300 ms'});
	my $expiring = enqueue($node, 't3', $to[7], scheduled_at => q{now() + interval '1 hour'},
		expires_at => q{now() + interval '2 hours'});
	sql("UPDATE whatsapp_queue SET expires_at = now() WHERE message_id = $expiring; SELECT wa_internal_wake_due(now())");

	# Held, and released.
	sql(q{SELECT wa_pause('template', 'aviso', reason => 'test')});
	my $held = enqueue($node, 't4', $to[8]);
	wait_for($node, "SELECT state = 'h' FROM whatsapp_queue WHERE message_id = $held", "$what: a message is held");
	sql(q{SELECT wa_resume('template', 'aviso')});

	# Quiet hours begin, and end.
	my $quiet = enqueue($node, 't3', $to[9], scheduled_at => q{now() + interval '1 hour'});
	sql(q{SELECT wa_configure_tenant('t3', quiet_from => (now() AT TIME ZONE 'UTC' - interval '1 hour')::time,
		quiet_to => (now() AT TIME ZONE 'UTC' + interval '1 hour')::time, time_zone => 'UTC')});
	sql("UPDATE whatsapp_queue SET due_at = now() WHERE message_id = $quiet; SELECT wa_internal_wake_due(now())");
	wait_for($node, "SELECT hold_reason = 'quiet_hours' FROM whatsapp_queue WHERE message_id = $quiet", "$what: it is quiet");
	sql(q{UPDATE whatsapp_tenants SET quiet_from = NULL, quiet_to = NULL WHERE tenant_id = 't3'});
	sql("UPDATE whatsapp_queue SET due_at = now() WHERE message_id = $quiet; SELECT wa_internal_wake_due(now())");

	# A file, and what is read from Meta.
	my $file = sql(q{SELECT wa_enqueue_media('t1', '+34621489999', 'document',
		media => wa_upload_media('t1', convert_to('file ' || clock_timestamp(), 'UTF8'), 'text/plain', 'a.txt'))});
	sql('SELECT wa_sync_phone_numbers()');

	wait_status($node, $_, 'accepted', "$what: $_ is sent") for $retried, $slow, $scheduled, $held, $quiet, $first, $second, $file;
	wait_status($node, $_, 'failed', "$what: $_ fails") for $failed, $opted_out;
	wait_status($node, $expiring, 'expired', "$what: $expiring expires");
	wait_for($node, "SELECT status_reason IS NOT NULL OR status <> 'uncertain' OR hold_reason = 'parked' FROM whatsapp_messages JOIN whatsapp_queue ON message_id = id WHERE id = $uncertain",
		"$what: the uncertain one is decided");
	wait_for($node, 'SELECT bool_and(finished_at > requested_at) FROM whatsapp_sync WHERE requested_at IS NOT NULL', "$what: Meta was asked");
	return;
}

# ---- three times ---------------------------------------------------------------------------

sql(<<'SQL');
INSERT INTO whatsapp_windows SELECT (100000000000000 + i)::text, '+34621489999', now() FROM generate_series(1, 4) AS i
SQL
everything('tables just created');
plans_are_right('tables just created');

# The plans made then go on being used.
sql(<<"SQL");
WITH m AS (
    INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, template_name, template_language,
        payload, status, accepted_at, finished_at, created_at, attempts)
    SELECT 't' || (1 + i % 4), (100000000000001 + i % 4)::text, '+3470' || lpad(i::text, 7, '0'), 'template', 'aviso', 'es', '{}',
        CASE WHEN i % 2 = 0 THEN 'queued' ELSE 'accepted' END, CASE WHEN i % 2 = 1 THEN now() - interval '2 days' END,
        CASE WHEN i % 2 = 1 THEN now() - interval '2 days' END, now() - interval '2 days', i % 2
    FROM generate_series(1, 2 * $ROWS) AS i RETURNING id, status, phone_number_id)
INSERT INTO whatsapp_queue (message_id, phone_number_id, rank, due_at, state, hold_reason, attempts)
SELECT id, phone_number_id, id, now() + interval '1 day', CASE WHEN id % 4 < 2 THEN 'd' ELSE 'h' END,
    CASE WHEN id % 4 < 2 THEN 'scheduled' ELSE 'no_number' END, 0
FROM m WHERE status = 'queued';
INSERT INTO whatsapp_attempts (message_id, attempt, phone_number_id, outcome, started_at)
SELECT id, 1, phone_number_id, 'refused', now() FROM whatsapp_messages WHERE status = 'accepted';
INSERT INTO whatsapp_reach (recipient, tenant_id, reached_at, sender)
SELECT '+3471' || lpad(i::text, 7, '0'), 't1', now() - interval '1 hour' + i * interval '1 ms', 0 FROM generate_series(1, $ROWS) AS i;
INSERT INTO whatsapp_windows
SELECT '100000000000001', '+3472' || lpad(i::text, 7, '0'), now() FROM generate_series(1, $ROWS) AS i;
SQL
sql(q{SELECT brin_summarize_new_values('whatsapp_messages_created_idx')});    # autovacuum would
sql('SELECT wa_adopt()');    # rows from elsewhere make it a copy
everything('tables that have grown');
plans_are_right('tables that have grown');

sql('ANALYZE');
everything('with statistics');
plans_are_right('with statistics');

# Statistics of an empty queue, and a new sender that plans by them.
sql(<<'SQL');
CREATE TABLE kept AS SELECT * FROM whatsapp_queue WHERE state IN ('d', 'h');
DELETE FROM whatsapp_queue;
VACUUM ANALYZE whatsapp_queue;
SQL
restarted();
sql('INSERT INTO whatsapp_queue SELECT * FROM kept; SELECT wa_adopt()');
everything('statistics of an empty queue');
plans_are_right('statistics of an empty queue');

cmp_ok(scalar keys %seen, '>', 40, 'these were ' . (scalar keys %seen) . ' different statements');
$node->stop;
done_testing();
