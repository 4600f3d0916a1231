# What a server writes down of its life: one line of the log and one event for each
# thing that happens, also for what nobody was there to tell; and none for a message.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery wait_for);
use WaTest qw(sender_pids set_and_reload);

my ($node, $sim) = new_delivery('timeline', settings => [ 'restart_after_crash = on', 'whatsapp_shared.messages_per_second = 1000' ]);

# The words of the log's lines since the last call.
my $read = 0;

sub words
{
	my $log = substr slurp_file($node->logfile), $read;

	$read += length $log;
	return join ' ', $log =~ /^[\d-]+ [\d:.]+ \w+ \[\d+\] (?:\S+ )?(?:LOG|WARNING):  whatsapp_shared (\w+): /mg;
}

# The kinds of events since the last call, in order; words of settings left out.
my $seen = 0;

sub kinds
{
	my $rows = $node->safe_psql('postgres',
		"SELECT event_id, kind FROM whatsapp_events WHERE event_id > $seen AND scope <> 'settings' ORDER BY at, event_id");
	my @kinds;

	foreach (split /\n/, $rows)
	{
		my ($id, $kind) = split /\|/;
		$seen = $id if $id > $seen;
		push @kinds, $kind;
	}
	return join ' ', @kinds;
}

sub happened
{
	my ($kind) = @_;
	return wait_for($node, "SELECT EXISTS (SELECT FROM whatsapp_events WHERE event_id > $seen AND kind = '$kind')", "there is an event $kind");
}

wait_for($node, q{SELECT EXISTS (SELECT FROM whatsapp_events WHERE kind = 'settings')}, 'the settings are known');
is(words(), 'launcher_start sender_start', 'what has begun is in the log');
is(join(' ', grep { /^(?:launcher|sender)_/ } split / /, kinds()), 'launcher_start sender_start', 'and in the table, whatever else was done meanwhile');
is($node->safe_psql('postgres', q{SELECT count(*) FROM whatsapp_events WHERE kind LIKE 'sender%' AND (actor IS NOT NULL OR role IS NOT NULL)}),
	'0', 'nobody has done it');

# ---- messages ---------------------------------------------------------------------

$node->safe_psql('postgres', q{SELECT wa_enqueue_message('t1', '+3461' || lpad(n::text, 7, '0'), 'aviso', '["x"]') FROM generate_series(1, 1000) AS n});
wait_for($node, q{SELECT count(*) = 1000 FROM whatsapp_messages WHERE accepted_at IS NOT NULL}, 'a thousand messages are accepted');
my $lines = () = substr(slurp_file($node->logfile), $read) =~ /whatsapp_shared/g;
is($lines, 0, 'and the log has no line of ours about any of them');
is(kinds(), '', 'nor is there an event');

# ---- what people do -----------------------------------------------------------------

$node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT wa_pause('tenant', 't1', 'never');
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT wa_pause('tenant', 't1', 'nor this');
ROLLBACK TO a;
SAVEPOINT b;
SELECT wa_pause('account', NULL, E'line\nLOG:  whatsapp_shared takeover: forged');
RELEASE b;
SELECT wa_resume('account');
COMMIT;
SQL
is(words(), 'pause resume', 'what was committed is in the log, as one line each');
is(kinds(), 'pause resume', 'what was rolled back is nowhere');

# ---- settings -----------------------------------------------------------------------

set_and_reload($node, messages_per_second => 70, access_token => 'EAANewTokenOfTheTimeline');
happened('secret_changed');
is($node->safe_psql('postgres', q{SELECT text FROM wa_timeline() WHERE kind = 'settings_changed'}),
	'whatsapp_shared.messages_per_second: 1000 → 70', 'a setting, old and new');
is($node->safe_psql('postgres', q{SELECT concat_ws(' ', subject, text) FROM wa_timeline() WHERE kind = 'secret_changed'}),
	'secret access_token Changed', 'of a token, that it has changed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM whatsapp_events AS e WHERE e::text ~ 'EAANew'}), '0', 'and nothing else');
words();
kinds();

# ---- ends, good and bad ---------------------------------------------------------------

$node->safe_psql('postgres', 'SELECT wa_worker_restart()');
happened('sender_start');
is(words(), 'sender_stop sender_start', 'a restart');
is(kinds(), 'restart sender_stop sender_start', 'and who asked for it');

my ($pid) = sender_pids($node, 'postgres');
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT 1', '1');
happened('sender_start');
is(kinds(), 'sender_crash launcher_start sender_start', 'a crash is known afterwards');
is(words(), 'launcher_start sender_crash sender_start', 'and in the log');
is($node->safe_psql('postgres', q{SELECT concat_ws(' ', severity, text ~ ('process } . $pid . q{')) FROM wa_timeline() WHERE kind = 'sender_crash'}),
	'warning t', 'with the process that it was');

$node->restart;
happened('sender_start');
is(kinds(), 'sender_stop launcher_start sender_start', 'a restart of the server is none');
is(join(' ', sort split / /, words()), 'launcher_start launcher_stop sender_start sender_stop', 'as the log says');

# A setting that is changed while nobody runs.
$node->stop;
$node->append_conf('postgresql.conf', "whatsapp_shared.max_attempts = 5\n");
$node->start;
happened('sender_start');
wait_for($node, q{SELECT EXISTS (SELECT FROM wa_timeline() WHERE kind = 'settings_changed' AND text = 'whatsapp_shared.max_attempts: 8 → 5')},
	'a setting that was changed meanwhile is noticed');

$node->stop;
$sim->stop;
done_testing();
