# wa_health() about a whole server: what other processes, the disk, the other end and a
# standby do.  What can be seen in tables alone is in test/pgtap/health*.sql; more lines are
# made to appear where their causes are tested: files of secrets in 084_secret_files.pl, two
# databases with one number in 015_copies_of_rows.pl, versions in 086_versions.pl, room for
# senders in 028_senders.pl, file descriptors in 056_descriptors.pl, databases in
# 082_newcomer.pl, orphans of the queue in 049_deleted.pl, take-over in 054_takeover.pl.

use strict;
use warnings;

use File::Spec;
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status);
use WaTest qw(keep_open launcher_pid let_go sender_pids set_and_reload wait_for_senders);

my ($node, $sim) = new_delivery('health', settings => [
	'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on', 'wal_keep_size = 256MB',
	'max_wal_size = 32MB', 'min_wal_size = 32MB', 'max_prepared_transactions = 2', 'autovacuum = off' ]);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

sql(q{CREATE ROLE watches LOGIN; SELECT wa_grant('watches', 'monitor')});

# State and detail of a line, as somebody sees it who may read nothing else.
sub line
{
	my ($item, $server) = @_;
	return ($server // $node)->safe_psql('postgres',
		"SELECT state || ': ' || detail FROM wa_health() WHERE item = '$item'", extra_params => [ '-U', 'watches' ]);
}

# ... once it is as it should be.
sub line_becomes
{
	my ($item, $pattern, $what) = @_;
	return wait_for($node, "SELECT EXISTS (SELECT FROM wa_health() WHERE item = '$item' AND state || ': ' || detail ~ '$pattern')", $what)
	  || diag(line($item));
}

# ---- the guide ---------------------------------------------------------------------------

# Its table has the lines that there are, and their checks.
my $guide = slurp_file(File::Spec->catfile($FindBin::RealBin, '..', '..', 'docs', 'operating.md'));
my ($section) = $guide =~ /^### The lines of `wa_health\(\)`$(.*?)^##/ms;
my %described;
while (($section // '') =~ /^\| ((?:`[^`]+`(?:, )?)+) \| `(\w+)` \|/mg)
{
	my ($items, $topic) = ($1, $2);
	$described{"$topic: $_"} = 1 foreach $items =~ /`([^`]+)`/g;
}
is(join("\n", sort keys %described),
	join("\n", sort split /\n/, sql(q{SELECT topic || ': ' || unnest(items) FROM wa_internal_health_checks()})),
	'the operating guide describes every line of every check');

# ---- the clock ---------------------------------------------------------------------------

wait_status($node, enqueue($node, 't1', '+34600100200'), 'accepted', 'a message is sent');
like(line('clock'), qr/^ok: It agrees with Meta's, as of /, 'the Date of a response tells that the clock is right');
$sim->advance_clock(20_000);
sub ask_again
{
	sql('SELECT wa_worker_restart()');
	return wait_status($node, enqueue($node, 't1', '+34600100201'), 'accepted', 'another one is sent by another process');
}
ask_again();
like(line('clock'), qr/^warning: It is (?:19|20|21) seconds behind Meta's/, 'twenty seconds are a warning');
$sim->advance_clock(3_600_000);
ask_again();
like(line('clock'), qr/^error: It is 36\d\d seconds behind Meta's/, 'an hour is an error');
cmp_ok(abs(sql('SELECT ahead FROM wa_internal_clock()') + 3620), '<', 3, 'to the second');
is(sql(q{SELECT round(value) BETWEEN -3622 AND -3618 FROM wa_metrics() WHERE name = 'whatsapp_clock_ahead_seconds'}),
	't', 'and a metric');

# ---- credentials ---------------------------------------------------------------------------

# The end of the token as Meta has told it.
sub token_end
{
	my ($finished, $ends) = @_;
	return sql(<<"SQL");
BEGIN;
UPDATE whatsapp_sync SET finished_at = $finished, expires_at = $ends, error = NULL WHERE kind = 'token';
SELECT state || ': ' || detail FROM wa_health() WHERE item = 'token end';
ROLLBACK;
SQL
}
like(token_end('NULL', 'NULL'), qr/^warning: Not known/, 'when the token ends is not known');
like(token_end('now()', 'NULL'), qr/^ok: By what Meta says, never/, 'it never does');
like(token_end('now()', "now() + interval '30 days 1 hour'"), qr/^ok: It ends at .* in 30 days/, 'the end of a token is told long before');
like(token_end('now()', "now() + interval '13 days'"), qr/^warning: It ends at/, 'two weeks before it is a warning');
like(token_end('now()', "now() + interval '6 days'"), qr/^error: It ends at/, 'a week before an error');
like(token_end('now()', "now() - interval '1 hour'"), qr/^error: It ended at/, 'and afterwards');

set_and_reload($node, app_secret_file => '/nonexistent', webhook_verify_token_file => '/nonexistent');
line_becomes('app_secret', '^warning: .*No such file', 'a file of the app secret that is refused');
line_becomes('webhook_verify_token', '^warning: .*No such file', 'and one of the verify token');
set_and_reload($node, app_secret_file => undef, webhook_verify_token_file => undef);
line_becomes('app_secret', '^ok: Set', 'are right again');

# ---- old snapshots ---------------------------------------------------------------------------

# By the limits that there are nothing here is old; with these, everything is.
sub with_limits
{
	my ($limits) = @_;
	return sql("SELECT state || ': ' || detail FROM wa_internal_health_snapshots($limits)");
}
sub use_up_transactions { sql('SELECT txid_current()') foreach 1 .. 5; return }

my $snapshot = 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM whatsapp_messages';
my $session = keep_open($node, $snapshot);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
use_up_transactions();
like(line('oldest snapshot'), qr/^ok: Process $pid keeps what has died since .*, \d+ transactions ago\.$/,
	'an open transaction is named to whoever monitors');
like(with_limits(q{'0'}), qr/^warning: Process $pid /, 'after an hour it is a warning');
like(with_limits(q{'0', '0'}), qr/^error: Process $pid /, 'after a day an error');
like(with_limits(q{'1 day', '1 day', 2}), qr/^warning: Process $pid /, 'so are many transactions');
like(sql(q{SELECT remedy FROM wa_internal_health_snapshots('0')}), qr/pg_terminate_backend\($pid\)/, 'and this ends it');
let_go($session);
$session = keep_open($node, 'SELECT txid_current()');
$pid = $session->query_safe('SELECT pg_backend_pid()');
use_up_transactions();
like(line('oldest snapshot'), qr/^ok: Process $pid /, 'one that has only written keeps them as well');
let_go($session);

sql(q{BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'left over'});
use_up_transactions();
like(line('oldest snapshot'), qr/^ok: The prepared transaction "left over" keeps/, 'a prepared transaction');
like(with_limits(q{'0'}), qr/^warning: The prepared/, 'can be too old, too');
sql(q{ROLLBACK PREPARED 'left over'});

# VACUUM's own transaction keeps nothing: others look past it.  This one sleeps after every page.
sql(q{CREATE TABLE vacuumed AS SELECT repeat('x', 4000) AS x FROM generate_series(1, 2000)});
$session = $node->background_psql('postgres');
$pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1');
$session->query_until(qr/begins/, "\\echo begins\nVACUUM vacuumed;\n");
wait_for($node, "SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE pid = $pid)", 'a VACUUM goes on');
is(sql("SELECT count(*) FROM wa_internal_snapshots() WHERE pid = $pid"), '1', 'which has a snapshot');
unlike(line('oldest snapshot'), qr/Process $pid /, 'but keeps no row, and is not named');
sql("SELECT pg_terminate_backend($pid)");
$session->{run}->finish;
sql('DROP TABLE vacuumed');

# ---- a standby --------------------------------------------------------------------------------

$node->append_conf('pg_hba.conf', 'local replication all trust');
$node->reload;
$node->backup('standby');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'standby', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nwal_receiver_status_interval = 1s");
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM wa_health() WHERE item LIKE 'check %'}, extra_params => [ '-U', 'watches' ]),
	'0', 'every check can be made on a standby');
like(line('sending', $standby), qr/^warning: /, 'which does not send');
like(line('replication slots', $standby), qr/^ok: /, 'and has slots of its own');
is($standby->safe_psql('postgres', 'SELECT count(*) > 20 FROM wa_health()'), 't', 'and most lines');
$session = keep_open($standby, $snapshot);
use_up_transactions();
line_becomes('oldest snapshot', '^ok: The standby of process [0-9]+ \(hot_standby_feedback\) keeps', 'its queries keep rows of the primary');
let_go($session);

# With a slot of its own, what the standby needs is written there, and outlives its connection.
sql(q{SELECT pg_create_physical_replication_slot('of_standby')});
$standby->append_conf('postgresql.conf', "primary_slot_name = 'of_standby'");
$standby->reload;
$session = keep_open($standby, $snapshot);
wait_for($node, q{SELECT xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'of_standby'}, 'the slot of a standby keeps rows');
use_up_transactions();
line_becomes('oldest snapshot', '^ok: The replication slot "of_standby" keeps', 'and is named');
$standby->stop('immediate');
like(with_limits(q{'1 day', '1 day', 0}), qr/^error: The replication slot "of_standby"/, 'also when nobody uses it any more');
is(sql(q{SELECT remedy FROM wa_internal_health_snapshots('1 day', '1 day', 0)}),
	q{Start its standby, or SELECT pg_drop_replication_slot('of_standby');}, 'with what to do');
wait_for($node, q{SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'of_standby'}, 'the standby has gone');
sql(q{SELECT pg_drop_replication_slot('of_standby')});

# ---- replication slots ----------------------------------------------------------------------------

sql(q{SELECT pg_create_physical_replication_slot('forgotten', true)});
like(line('replication slots'), qr/^ok: 1, of which 1 inactive/, 'a slot that keeps little is only counted');
sub write_wal { sql('SELECT txid_current(); SELECT pg_switch_wal()') foreach 1 .. 3; return }
write_wal();
like(line('replication slot forgotten'), qr/^warning: It keeps \d+ MB of WAL, more than max_wal_size, and nobody reads it; nothing limits it/,
	'one that keeps more than max_wal_size is a warning');
like(line('replication slots'), qr/^warning: /, 'in the sum as well');
is(sql(q{SELECT remedy FROM wa_health() WHERE item = 'replication slot forgotten'}),
	q{Start its reader, or SELECT pg_drop_replication_slot('forgotten');}, 'with what to do');
$node->safe_psql('postgres', 'ALTER SYSTEM SET max_slot_wal_keep_size = 32');
$node->append_conf('postgresql.conf', 'wal_keep_size = 0');
$node->reload;
line_becomes('replication slot forgotten', '^error: .*it will be lost at the next checkpoint', 'beyond max_slot_wal_keep_size it is an error');
write_wal();
sql('CHECKPOINT');
like(line('replication slot forgotten'), qr/^error: WAL that it needs has been removed/, 'and so is one that is lost');
sql(q{SELECT pg_drop_replication_slot('forgotten')});
is(line('replication slot forgotten'), '', 'when it has gone');
like(line('replication slots'), qr/^ok: 0/, 'all is well');

# ---- senders ------------------------------------------------------------------------------------

like(line('sender 0'), qr/^ok: Process \d+: /, 'the sender is there');
my ($sender) = sender_pids($node, 'postgres');
my $launcher = launcher_pid($node);
kill 'STOP', $launcher;
kill 'TERM', $sender;
line_becomes('sender 0', '^warning: Not running', 'one that is absent is missed');
kill 'CONT', $launcher;
wait_for_senders($node, 'postgres', 1);
line_becomes('sender 0', '^ok: Process', 'until it is back');

# ---- the size, and locks of others ----------------------------------------------------------------

ok(wait_for($node, 'SELECT count(*) = 1 FROM whatsapp_sizes', 'a sender has noted the size of the tables'), 'once');
$session = keep_open($node, 'LOCK TABLE whatsapp_sizes IN ACCESS EXCLUSIVE MODE');
is(sql(q{SET statement_timeout = '60s'; SELECT string_agg(item, ', ' ORDER BY item) FROM wa_health() WHERE item LIKE 'check %'}),
	'check disk', 'a check that would have to wait is not made');
like(line('check disk'), qr/^warning: It could not be made: canceling statement due to lock timeout \(55P03\)/, 'which is told');
like(line('failed messages'), qr/^ok: /, 'while the others are');
is(sql(q{SET lock_timeout = '50ms'; SELECT wa_internal_note_size()}), '', 'nor does a sender wait to note the size, or fail');
let_go($session);

# ---- WAL on a disk of its own ----------------------------------------------------------------------

is(line('disk space for WAL'), '', 'WAL on the disk of the tables has no line of its own');
$node->stop;
SKIP:
{
	my $elsewhere = "/dev/shm/wal_of_$$";
	my $device = (stat $node->data_dir)[0];
	skip 'there is no second file system to be had: no test of "disk space for WAL"', 2
	  unless -w '/dev/shm' && (stat '/dev/shm')[0] != $device;
	PostgreSQL::Test::Utils::system_or_bail('mv', $node->data_dir . '/pg_wal', $elsewhere);
	symlink $elsewhere, $node->data_dir . '/pg_wal' or die $!;
	$node->start;
	my ($free) = sql(q{SELECT free FROM wa_internal_disk_space('whatsapp_messages'::regclass) WHERE place = 'wal'});
	my $df = (split ' ', qx(df --output=avail -B1 /dev/shm))[1];
	cmp_ok(abs($free - $df), '<', 2**28, 'what is free there is what df says');
	is((split /:/, line('disk space for WAL'))[0],
		sql(q{SELECT wa_internal_judge_room(size, free) FROM wa_internal_disk_space('whatsapp_messages'::regclass) WHERE place = 'wal'}),
		'and is judged as the other is');
	$node->stop;
	PostgreSQL::Test::Utils::system_or_bail('rm', '-r', $elsewhere);
}
done_testing();
