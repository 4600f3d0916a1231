# Webhooks that meet: Meta repeats, batches and reorders, and the gateway hands
# in several at once.  Whatever they have in common, none may end in a deadlock,
# and together they leave what one after the other would.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP ();
use List::Util qw(shuffle);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension logged_nothing_bad new_node);

my $seed = $ENV{WEBHOOK_SEED} // int rand 1_000_000;
srand $seed;
note "WEBHOOK_SEED=$seed";

my $node = new_node(
	'side_by_side',
	"whatsapp_shared.databases = ''",
	"whatsapp_shared.app_secret = 'a-secret'",
	'deadlock_timeout = 100ms');
create_extension($node, 'postgres');
my $installation = $node->safe_psql('postgres', 'SELECT installation_id FROM whatsapp_installation');

# Old enough that nothing of it is ahead of the clock, and new enough to be acted upon.
my $first_second = time - 1000;
my $json = JSON::PP->new->utf8->canonical;
my $scripts = 0;
my %script;

sub add_script
{
	my ($sql) = @_;
	$script{ sprintf '031_%03d', $scripts++ } = $sql;
	return;
}

# One webhook; its changes are in the order given.
sub add_webhook
{
	my (@changes) = @_;
	my $body = $json->encode({ object => 'whatsapp_business_account', entry => [ { id => '3', time => $first_second, changes => \@changes } ] });
	my $bytes = encode_base64($body, '');

	add_script("SELECT wa_webhook_ingest(decode('$bytes', 'base64'), 'sha256=" . hmac_sha256_hex($body, 'a-secret') . "');");
	return;
}

sub messages_change
{
	return { field => 'messages', value => { metadata => { phone_number_id => '100000000000001' }, @_ } };
}

# Hands all of them in, several at once and many twice, then each once more.
sub take_in
{
	my ($name) = @_;
	my $times = 1 + int(3 * keys(%script) / 8);

	$node->pgbench("--no-vacuum --client=8 --transactions=$times", 0, [qr{processed: @{[ 8 * $times ]}/}], [qr{^$}],
		"$name: nobody is turned away", {%script});
	$node->safe_psql('postgres', $_) foreach values %script;
	%script = ();
	return;
}

sub is_query
{
	my ($query, $expected, $name) = @_;
	return is($node->safe_psql('postgres', $query), $expected, $name);
}

$node->safe_psql('postgres', q{
	INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
	INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number)
		SELECT n::text, '+' || n FROM generate_series(100000000000001, 100000000000020) AS n;
	INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at) VALUES ('panaderia', '100000000000001', '2020-01-01');
	INSERT INTO whatsapp_templates (name, language, category, status, components, source)
		SELECT 'template_' || n, 'es', 'UTILITY', 'APPROVED', '[]', 'sync' FROM generate_series(1, 20) AS n;
	INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, attempts, whatsapp_message_id, accepted_at, finished_at)
		SELECT 'panaderia', '100000000000001', '+346' || lpad(n::text, 8, '0'), 'text', '{}', 'accepted', 2, CASE WHEN n > 160 THEN 'wamid.late.' || n ELSE 'wamid.' || n || '.1' END, clock_timestamp(), clock_timestamp() FROM generate_series(1, 200) n;
	INSERT INTO whatsapp_wamids SELECT whatsapp_message_id, id FROM whatsapp_messages WHERE id <= 160});

# ---- messages of the same customers -----------------------------------------------

# Each customer writes six times; a webhook has some messages of all of them.
# Some hide their number now and then.
sub customer
{
	my ($n, $hidden) = @_;
	return ({ profile => { name => "Cliente $n" }, user_id => "ES.$n", $hidden ? () : (wa_id => sprintf '346%08d', $n) },
		{ from_user_id => "ES.$n", $hidden ? () : (from => sprintf '346%08d', $n) });
}

sub inbound
{
	my ($n, $i, $type, $content) = @_;
	my ($contact, $from) = customer($n, $n % 3 == 0 && $i % 2);
	return [ $contact, { %$from, id => "wamid.in.$n.$i", timestamp => '' . ($first_second + $i), type => $type, $type => $content } ];
}

sub add_inbound
{
	my (@items) = @_;
	add_webhook(messages_change(contacts => [ map { $_->[0] } @items ], messages => [ map { $_->[1] } @items ]));
	return;
}

# The last word of each is "baja" for the even ones.
sub words
{
	my ($n, $i) = @_;
	return { body => $i % 3 ? 'hola' : ($n + $i) % 2 ? 'alta' : 'baja' };
}
foreach (1 .. 24)
{
	add_inbound(map { my $n = $_; map { inbound($n, $_, 'text', words($n, $_)) } grep { rand() < 0.3 } 1 .. 6 } shuffle 1 .. 60);
}
add_inbound(map { my $n = $_; map { inbound($n, $_, 'text', words($n, $_)) } 1 .. 6 } shuffle 1 .. 60);
take_in('messages from customers');
is_query('SELECT count(*), count(DISTINCT whatsapp_message_id) FROM whatsapp_inbound_messages', '360|360', 'each message is there once');
is_query('SELECT count(*), count(wa_id), count(user_id), count(DISTINCT user_id) FROM whatsapp_contacts', '60|60|60|60', 'each customer is one');
is_query("SELECT count(*), count(*) FILTER (WHERE last_inbound_at = to_timestamp($first_second + 6)) FROM whatsapp_windows WHERE recipient LIKE 'ES.%'", '60|60', 'each window is that of the last message');

# ---- replies whose handlers fail ------------------------------------------------------

$node->safe_psql('postgres', q{
	CREATE TABLE orders (number integer PRIMARY KEY, confirmations integer NOT NULL DEFAULT 0);
	INSERT INTO orders SELECT n FROM generate_series(1, 10) AS n;
	CREATE FUNCTION confirm(reply jsonb) RETURNS void LANGUAGE sql AS
		$$UPDATE orders SET confirmations = confirmations + 1 WHERE number = split_part(reply ->> 'payload', ':', 2)::integer$$;
	CREATE FUNCTION fail(reply jsonb) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'it fails'; END$$;
	SELECT wa_on_reply('OK:', 'confirm(jsonb)'), wa_on_reply('BAD1:', 'fail(jsonb)'), wa_on_reply('BAD2:', 'fail(jsonb)'), wa_on_reply('BAD3:', 'fail(jsonb)')});
foreach my $i (10 .. 33)
{
	add_inbound(map { inbound($_, $i, 'button', { payload => ('OK', 'BAD1', 'BAD2', 'BAD3')[ $_ % 4 ] . ':' . (1 + $_ % 10), text => 'Botón' }) } shuffle 1 .. 40);
}
take_in('replies');
is_query(q{SELECT count(*), count(handled_at), count(handler_error) FROM whatsapp_inbound_messages WHERE message_type = 'button'}, '960|960|720', 'each reply has been handled, and each failure noted');
is_query('SELECT sum(confirmations) FROM orders', '240', 'what did not fail has happened once');
is_query(q{SELECT count(*), count(DISTINCT key) FROM whatsapp_alerts WHERE kind = 'reply_handler' AND resolved_at IS NULL}, '3|3', 'with one alert for each handler');

# ---- statuses that find no message, and those of several attempts ------------------------

sub status
{
	my ($wamid, $word, $time, $id, $attempt, %more) = @_;
	my ($n) = $id // $wamid =~ /(\d+)/;
	return { id => $wamid, status => $word, timestamp => "$time", recipient_id => sprintf('346%08d', $n), $id ? (biz_opaque_callback_data => "wa1:$installation:$id:$attempt") : (), %more };
}
my $now = time;
foreach my $n (1 .. 24)
{
	my @items = (
		(map { status("wamid.unknown.$_", 'sent', $first_second) } 1 .. 100),
		(map { { id => "wamid.strange.$_", status => 'warp', timestamp => "$first_second" } } 1 .. 50),
		(map { my $id = $_; map { status("wamid.$id.$_", (qw(sent delivered read))[ $n % 3 ], $first_second + $n % 3, $id, $_) } 1 .. 2 } grep { rand() < 0.8 } 1 .. 100),
		(map { status("wamid.$_.1", 'failed', $now, $_, 1, errors => [ { code => 131050 } ]) } 101 .. 150),
		(map { status("wamid.$_.1", 'failed', $now, $_, 1, errors => [ { code => 700000 + $_ } ]) } 151 .. 160),
		(map { status("wamid.late.$_", (qw(sent delivered read))[ $n % 3 ], $first_second + $n % 3) } 161 .. 200));
	my @contacts = map { (customer($_, $_ % 3 == 0 && $n % 2))[0] } shuffle 31 .. 120;
	add_webhook(messages_change(contacts => \@contacts, statuses => [ shuffle @items ]));
}
foreach my $i (0 .. 2)
{
	add_webhook(messages_change(statuses => [ map { my $id = $_; map { status("wamid.$id.$_", (qw(sent delivered read))[$i], $first_second + $i, $id, $_) } 1 .. 2 } shuffle 1 .. 100 ]));
}
# What is late becomes known in the middle of it, as when a sender settles.
add_script(q{WITH r AS MATERIALIZED (SELECT 161 + floor(random() * 40)::integer AS id)
	INSERT INTO whatsapp_wamids SELECT 'wamid.late.' || id, id FROM r;}) foreach 1 .. 12;
add_script('SELECT wa_internal_rematch();') foreach 1 .. 4;
take_in('statuses');
is_query(q{SELECT count(*) FILTER (WHERE reason = 'unknown_status'), count(*) FILTER (WHERE whatsapp_message_id LIKE 'wamid.unknown.%') FROM whatsapp_parked_events}, '50|100', 'each of those that cannot be used is there once');
is_query('SELECT count(*), min(status), max(status), min(EXTRACT(epoch FROM delivered_at)), max(EXTRACT(epoch FROM read_at)) FROM whatsapp_messages WHERE id <= 100', sprintf('100|read|read|%d.000000|%d.000000', $first_second + 1, $first_second + 2), 'messages that were begun twice are read');
is_query('SELECT count(*), count(wa_id), count(user_id), count(DISTINCT user_id) FROM whatsapp_contacts', '150|150|120|120', 'each customer who was written to is one, too, and so is each of 30 others who want no marketing');
is_query(q{SELECT count(*) FROM whatsapp_opt_outs WHERE source = 'error' AND recipient LIKE '+%'}, '50', 'each who wants no marketing is noted');
is_query(q{SELECT count(*) FROM whatsapp_alerts WHERE kind = 'unknown_error_code' AND resolved_at IS NULL}, '10', 'each unknown code is reported');
$node->safe_psql('postgres', q{INSERT INTO whatsapp_wamids SELECT 'wamid.late.' || n, n FROM generate_series(161, 200) AS n; SELECT wa_internal_rematch()});
is_query(qq{SELECT (SELECT count(*) FROM whatsapp_parked_events WHERE whatsapp_message_id LIKE 'wamid.late.%'), count(*) FILTER (WHERE (sent_at, delivered_at, read_at) = (to_timestamp($first_second), to_timestamp($first_second + 1), to_timestamp($first_second + 2))) FROM whatsapp_messages WHERE id > 160}, '0|40', 'those that came too early have found their message');

# ---- events of the account, among customers' own switches ----------------------------------

foreach my $n (1 .. 24)
{
	my @changes = (
		(map { { field => 'message_template_status_update', value => { event => 'PAUSED', message_template_name => "template_$_", message_template_language => 'es' } } } 1 .. 20),
		(map { { field => 'phone_number_quality_update', value => { event => 'FLAGGED', display_phone_number => 100000000000000 + $_ } } } 2 .. 20),
		(map { { field => 'security', value => { event => 'PIN_CHANGED', display_phone_number => 100000000000000 + $_ } } } 2 .. 20),
		(map { { field => "unheard_of_$_", value => {} } } 1 .. 10),
		(map { { field => 'user_preferences', value => { metadata => { phone_number_id => '100000000000001' }, contacts => [ (customer($_, 0))[0] ],
				user_preferences => [ { wa_id => sprintf('346%08d', $_), user_id => "ES.$_", category => 'marketing_messages', value => 'stop', timestamp => $first_second + 100 } ] } } } 1 .. 20));
	add_webhook(shuffle @changes);
	add_inbound(map { inbound($_, 100 + $n, 'text', { body => 'baja' }) } shuffle 1 .. 40);
}
take_in('events');
is_query(q{SELECT count(*) FROM whatsapp_account_events WHERE field <> 'user_preferences'}, '58', 'each event is there once');
is_query('SELECT scope, count(*) FROM whatsapp_pauses GROUP BY 1 ORDER BY 1', "number|19\ntemplate|20", 'all that is paused');
is_query(q{SELECT count(*) FROM whatsapp_opt_outs WHERE source = 'preferences' AND category = 'marketing'}, '40', 'each switch is off');
is_query(q{SELECT count(*) FROM whatsapp_parked_events WHERE reason = 'unknown_field'}, '10', 'what is not known is parked once');

logged_nothing_bad($node, 'no deadlock, no error');

# ---- handlers that get into each other's way ---------------------------------------------------

# Each of two webhooks confirms the same two orders, in an order of its own: one
# must give way as a whole, and Meta will send it again.
$node->safe_psql('postgres', 'UPDATE orders SET confirmations = 0');
add_inbound(map { inbound(1000 + $_, 200, 'button', { payload => "SLOW:$_", text => 'Botón' }) } 1, 2);
add_inbound(map { inbound(2000 + $_, 200, 'button', { payload => "SLOW:$_", text => 'Botón' }) } 2, 1);
my @crossing = map { $script{$_} } sort keys %script;
$node->safe_psql('postgres', q{
	CREATE FUNCTION confirm_slowly(reply jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM confirm(reply);
		/* The other one has its first order, too, before this one goes on. */
		PERFORM pg_advisory_unlock_shared(1), pg_advisory_lock_shared(1);
	END
	$$;
	SELECT wa_on_reply('SLOW:', 'confirm_slowly(jsonb)')});
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(1)');
my @sessions = map { $node->background_psql('postgres', on_error_stop => 0) } @crossing;
foreach my $i (0, 1)
{
	$sessions[$i]->query_until(qr/started/, "SELECT 'started';\n$crossing[$i]\n");
}
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted});
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$_->quit foreach $gate, @sessions;
is_query('SELECT min(confirmations), max(confirmations) FROM orders WHERE number <= 2', '1|1', 'of two webhooks in a deadlock one comes through');
$node->safe_psql('postgres', $_) foreach @crossing;
is_query('SELECT min(confirmations), max(confirmations) FROM orders WHERE number <= 2', '2|2', 'and the other when it is repeated');
is_query(q{SELECT count(handler_error) FROM whatsapp_inbound_messages WHERE reply_id LIKE 'SLOW:%'}, '0', 'without a trace');

# Where the snapshot is the transaction's, it is the transaction that must begin again.
my $first = $node->background_psql('postgres');
my $second = $node->background_psql('postgres', on_error_stop => 0);
$node->safe_psql('postgres', q{
	UPDATE whatsapp_inbound_messages SET handler_error = 'before' WHERE whatsapp_message_id = 'wamid.in.1001.200';
	CREATE FUNCTION retry_and_catch() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		BEGIN
			PERFORM wa_retry_reply(inbound_id) FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.in.1001.200';
			RETURN 'nothing was raised';
		EXCEPTION WHEN serialization_failure THEN
			RETURN (SELECT handler_error FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.in.1001.200');
		END;
	END
	$$});
$second->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orders');
$first->query_safe('UPDATE orders SET confirmations = 0');
is($second->query_safe('SELECT retry_and_catch()'), 'before', 'a conflict of its snapshot is passed on, and whoever catches it goes on where he was');
is($second->query_safe('SELECT retry_and_catch()'), 'before', 'as often as he likes');
$second->query_safe('COMMIT');
$_->quit foreach $first, $second;

logged_nothing_bad($node, 'no other error', qr/deadlock detected/);
done_testing();
