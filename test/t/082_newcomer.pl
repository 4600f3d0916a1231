# What somebody meets who uses this for the first time, where it takes Meta's
# answer to know that something is wrong: numbers, credentials, names of
# databases; and what wa_explain() says while a limit is in the way.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled);
use WaTest qw(set_and_reload fails_like wait_for_senders);

my ($node, $sim) = new_delivery('newcomer', settings => ["whatsapp_shared.business_account_id = '300000000000009'"]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# State, detail and remedy of an item of wa_health().
sub health
{
	my ($item) = @_;
	return sql("SELECT concat_ws(' | ', state, detail, remedy) FROM wa_health() WHERE item = '$item'");
}

sub wait_health
{
	my ($item, $state, $what) = @_;
	return wait_for($node, "SELECT count(*) = 1 FROM wa_health() WHERE item = '$item' AND state = '$state'", $what);
}

# ---- before Meta was asked ------------------------------------------------------------------------

like(health('token at Meta'), qr/^warning \| Not confirmed by Meta yet/, 'a token that nobody has tried is not confirmed');
like(health('numbers'), qr/^warning \| 3 of the tenants' numbers are not confirmed/, 'nor are the numbers');

# ---- the ID of another account -------------------------------------------------------------------

sql('SELECT wa_sync_phone_numbers()');
wait_for($node, "SELECT error IS NOT NULL FROM whatsapp_sync WHERE kind = 'phone_numbers'", 'the wrong account cannot be read');
like(sql("SELECT error FROM whatsapp_sync WHERE kind = 'phone_numbers'"),
	qr/^HTTP status 4\d\d for account 300000000000009: /, 'the error names the account that was asked for');
like(health('sync phone_numbers'), qr/whatsapp_shared\.business_account_id \(300000000000009\)/, 'and so does the remedy');
like(health('numbers'), qr/^warning/, 'which confirms nothing');

# ---- the right one: its numbers are known ----------------------------------------------------------

sql(q{SELECT wa_assign_phone('vieja', '100000000000099'), wa_assign_phone('otra', '100000000000004', '+34 699 99 99 99')});
set_and_reload($node, business_account_id => '300000000000001');
wait_for($node, "SELECT finished_at IS NOT NULL AND error IS NULL FROM whatsapp_sync WHERE kind = 'phone_numbers'",
	'the right account is read');
like(health('number 100000000000099'), qr/^error \| It is not among the 12 that Meta lists .*tenant vieja/,
	'a number that was assigned before and that Meta does not list is an error');
is(health('numbers'), '', 'the others are confirmed');
is(sql("SELECT count(*) FROM whatsapp_alerts WHERE kind = 'number_unlisted' AND key = '100000000000099'"), '1', 'there is an alert');
is(sql("SELECT display_phone_number FROM whatsapp_phone_numbers WHERE phone_number_id = '100000000000004'"), '+34 600 00 00 04',
	'a number that was written wrongly is corrected');
is(sql("SELECT count(*) FROM whatsapp_alerts WHERE kind = 'number_display' AND key = '100000000000004'"), '1', 'and an alert says so');
fails_like($node, 'postgres', q{SELECT wa_assign_phone('nueva', '100000000000098')}, '42704',
	qr/phone number "100000000000098" does not belong to the account/, 'an ID that Meta does not list is refused now');
fails_like($node, 'postgres', q{SELECT wa_assign_phone('nueva', '300000000000001')}, '22023', qr/invalid phone_number_id/,
	'so is that of the account');
is(sql("SELECT phone_number_id FROM wa_assign_phone('nueva')"), '100000000000005', 'and a free number is one of Meta\'s');

# ---- a token that Meta refuses ----------------------------------------------------------------------

# Before any message: what is read from Meta tells.
sql("UPDATE whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'token'");
wait_health('token at Meta', 'ok', 'a token that Meta knows is confirmed');
set_and_reload($node, access_token => 'EAAGwrongtoken0123456789');
wait_health('token at Meta', 'error', 'a wrong one is an error, before any message is sent');
like(health('token at Meta'), qr/Meta refuses it: .*access_token_file.*pg_reload_conf/, 'with the right remedy');
is(sql("SELECT count(*) FROM wa_health() WHERE detail LIKE '%wrongtoken%' OR remedy LIKE '%wrongtoken%'"), '0', 'that does not show it');
set_and_reload($node, access_token => 'SIMULATOR_TOKEN');
wait_health('token at Meta', 'ok', 'until there is a right one');

# ---- databases that are not there ---------------------------------------------------------------------

sql('CREATE DATABASE tienda');
set_and_reload($node, databases => 'postgres, tienda, tiendaa');
wait_for($node, "SELECT count(*) = 2 FROM wa_health() WHERE item LIKE 'database tienda%' AND state = 'warning'",
	'databases without the extension, and those that do not exist, are warned of');
like(health('database tiendaa'), qr/does not exist.*Did you mean "tienda"\?/, 'with the name that may be meant');
like(health('database tienda'), qr/does not have the extension/, 'or with what is missing');
my $log = slurp_file($node->logfile);
is(() = $log =~ /database "tiendaa" in whatsapp_shared\.databases does not exist/g, 1, 'the log says it once');
is(() = $log =~ /database "tienda" in whatsapp_shared\.databases does not have the extension/g, 1, 'of both');
set_and_reload($node, databases => 'postgres');
wait_for($node, "SELECT NOT EXISTS (SELECT FROM wa_health() WHERE item LIKE 'database %')", 'a corrected list is none');

# ---- what is uncertain says why -------------------------------------------------------------------------

# An answer of a proxy, in place of Meta's.
$sim->faults({ match => { first => 1 }, reply => 'html', status => 502, accept => JSON::PP::true });
my $id = enqueue($node, 't1', '+34618800001');
wait_status($node, $id, 'uncertain', 'a message without Meta\'s answer is uncertain');
isnt(sql("SELECT error_message FROM whatsapp_messages WHERE id = $id"), '', 'and says why');
is(sql("SELECT m.error_message = a.error_message FROM whatsapp_messages m JOIN whatsapp_attempts a ON a.message_id = m.id WHERE m.id = $id"),
	't', 'in the words of its attempt');
$sim->faults();

# ---- what is in the way of a message that is ready ------------------------------------------------------

# Meta wants no requests of the number for a while.
$sim->faults({ match => { number => '100000000000001' }, times => 1, code => 130429, retry_after => 300 });
my $throttled = enqueue($node, 't1', '+34618800002');
wait_for($node, "SELECT EXISTS (SELECT FROM whatsapp_pauses WHERE scope = 'number' AND key = '100000000000001')",
	'that is a pause of the number');
my $behind = enqueue($node, 't1', '+34618800003');
is(sql("SELECT reason, earliest > now() + interval '5 seconds' FROM wa_explain($behind)"), 'number_paused|t',
	'another message of it: wa_explain() says that, and until when');
is(sql("SELECT reason FROM wa_explain($throttled)"), 'number_paused', 'of the message itself, too');
$sim->faults();
sql("SELECT wa_resume('number', '100000000000001')");

# Every slot is taken by a request that gets no response.
$sim->faults({ match => { number => '100000000000002' }, reply => 'hang' });
set_and_reload($node, max_in_flight => '1');
wait_for($node, 'SELECT in_flight = 0 FROM wa_stats()', 'nothing is on the wire');
my $hangs = enqueue($node, 't2', '+34618800004');
wait_for($node, 'SELECT in_flight = 1 FROM wa_stats()', 'the only request has no response');
my $waits = enqueue($node, 't3', '+34618800005');
is(sql("SELECT reason FROM wa_explain($waits)"), 'concurrency_limit', 'the next message waits for that');
is(sql("SELECT reason FROM wa_explain($hangs)"), 'on_the_wire', 'which is on the wire');
$sim->release;
$sim->faults();
wait_status($node, $waits, 'accepted', 'and goes when it has ended');

# Of two senders one ends again and again, and is started less and less often.
$node->append_conf('postgresql.conf', 'whatsapp_shared.senders = 2');
$node->reload;
wait_for($node, 'SELECT count(pid) = 2 FROM wa_stats()', 'two senders share out the numbers');
for (1 .. 5)
{
	wait_for($node, 'SELECT pg_terminate_backend(pid) FROM wa_stats() WHERE sender = 1 AND pid IS NOT NULL', 'the second is terminated');
}
wait_for($node, 'SELECT count(*) = 1 FROM wa_stats() WHERE pid IS NULL', 'it is absent');
my ($orphan, $number) = split /\|/, sql(<<'SQL');
SELECT a.tenant_id, a.phone_number_id FROM whatsapp_phone_assignments AS a
WHERE a.unassigned_at IS NULL AND wa_internal_sender_of(a.phone_number_id, 2) = 1
ORDER BY 1 LIMIT 1
SQL
like(sql("SELECT reason, explanation FROM wa_explain(" . enqueue($node, $orphan, '+34618800006') . ')'),
	qr/^sender_not_running\|.*sender 1 of 2, which sends from number $number/, 'wa_explain() says so of a message that it would send');

# No process is left for a sender.
$node->append_conf('postgresql.conf', "max_worker_processes = 2\nwhatsapp_shared.senders = 1");
$node->restart;
wait_for($node, q{SELECT EXISTS (SELECT FROM wa_health() WHERE item = 'senders')}, 'there is no room for a sender');
like(sql("SELECT reason, explanation FROM wa_explain(" . enqueue($node, $orphan, '+34618800006') . ')'),
	qr/^sender_not_running\|.*room for 0 of 1 senders; max_worker_processes must be 3 at least/, 'wa_explain() says what is needed');

$node->stop;
$sim->stop;
done_testing();
