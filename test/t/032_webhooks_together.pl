# Webhooks that are taken in together, from several sessions: what one call locks
# it locks in an order, so that nobody gets into a deadlock however alike the calls
# are; and a body that cannot be written in time does not take the others along.

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
	'together',
	"whatsapp_shared.databases = ''",
	"whatsapp_shared.app_secret = 'a-secret'",
	'deadlock_timeout = 100ms');
create_extension($node, 'postgres');
my $installation = $node->safe_psql('postgres', 'SELECT installation_id FROM whatsapp_installation');
my $first_second = time - 1000;
my $json = JSON::PP->new->utf8->canonical;

sub is_query
{
	my ($query, $expected, $name) = @_;
	return is($node->safe_psql('postgres', $query), $expected, $name);
}

sub status
{
	my ($id, $i) = @_;
	return { id => "wamid.$id.1", status => (qw(sent delivered read))[$i], timestamp => '' . ($first_second + $i), recipient_id => sprintf('346%08d', $id),
		biz_opaque_callback_data => "wa1:$installation:$id:1" };
}

# One status in a body, with whom it is about, as Meta sends it.
sub body
{
	my ($id, $i) = @_;
	my $value = { metadata => { phone_number_id => '' . (100000000000001 + $id % 10) },
		contacts => [ { profile => { name => "Cliente $id" }, wa_id => sprintf('346%08d', $id), user_id => "ES.$id" } ], statuses => [ status($id, $i) ] };
	return $json->encode({ object => 'whatsapp_business_account', entry => [ { id => '3', changes => [ { field => 'messages', value => $value } ] } ] });
}

sub call
{
	my (@bodies) = @_;
	return 'wa_webhook_ingest_many(ARRAY[' . join(', ', map { "decode('" . encode_base64($_, '') . "', 'base64')" } @bodies)
	  . '], ARRAY[' . join(', ', map { "'sha256=" . hmac_sha256_hex($_, 'a-secret') . "'" } @bodies) . '])';
}

$node->safe_psql('postgres', q{
	INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
	INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, attempts, whatsapp_message_id, accepted_at, finished_at)
		SELECT 'panaderia', (100000000000001 + n % 10)::text, '+346' || lpad(n::text, 8, '0'), 'text', '{}', 'accepted', 1, 'wamid.' || n || '.1', clock_timestamp(), clock_timestamp() FROM generate_series(1, 100) n;
	INSERT INTO whatsapp_wamids SELECT whatsapp_message_id, id FROM whatsapp_messages});

# ---- a thousand calls by two sessions ------------------------------------------------

# Each call has half of all bodies, so that any two have much in common.  A call whose
# bodies are not all ingested divides by zero.
my @all = map { my $id = $_; map { body($id, $_) } 0 .. 2 } 1 .. 100;
my %script;
foreach my $n (1 .. 25)
{
	my @some = (shuffle @all)[ 0 .. 149 ];
	$script{ sprintf '032_%02d', $n } = "SELECT 1 / (bool_and(outcome = 'ingested'))::integer FROM " . call(@some) . ';';
}
$node->pgbench('--no-vacuum --client=2 --transactions=500', 0, [qr{processed: 1000/1000}], [qr{^$}], 'a thousand calls, and nobody is turned away', {%script});
$node->safe_psql('postgres', 'SELECT * FROM ' . call(@all));
is_query('SELECT count(*), count(DISTINCT status), max(status), count(sent_at), count(delivered_at), count(read_at) FROM whatsapp_messages', '100|1|read|100|100|100', 'all messages are read');
is_query('SELECT count(*), count(DISTINCT wa_id), count(DISTINCT user_id) FROM whatsapp_contacts', '100|100|100', 'each customer is one');
is_query('SELECT count(last_status_at) FROM whatsapp_webhook_traffic', '10', 'and all numbers have been heard of');
logged_nothing_bad($node, 'no deadlock, and nothing that had to be taken in one by one', qr/there is no error at all/);
ok(!$node->log_contains('taken in one by one'), 'not a word of it');

# ---- a row that somebody holds ----------------------------------------------------------

$node->safe_psql('postgres', q{
	INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, attempts, whatsapp_message_id, accepted_at, finished_at)
		SELECT 'panaderia', (100000000000001 + n % 10)::text, '+346' || lpad(n::text, 8, '0'), 'text', '{}', 'accepted', 1, 'wamid.' || n || '.1', clock_timestamp(), clock_timestamp() FROM generate_series(101, 103) n;
	INSERT INTO whatsapp_wamids SELECT whatsapp_message_id, id FROM whatsapp_messages WHERE id > 100});
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; SELECT FROM whatsapp_messages WHERE id = 102 FOR UPDATE');
my $call = "SELECT string_agg(concat_ws(' ', outcome, sqlstate), ', ' ORDER BY ordinal) FROM " . call(map { body($_, 0) } 101 .. 103);
is_query("SET lock_timeout = '100ms'; $call", 'ingested, failed 55P03, ingested', 'a body that cannot be written fails alone');
is_query(q{SELECT string_agg(status, ' ' ORDER BY id) FROM whatsapp_messages WHERE id > 100}, 'sent accepted sent', 'the others are committed');
ok($node->log_contains(qr/could not take in 3 webhooks together: canceling statement due to lock timeout/), 'the log says that they were taken in one by one');
ok($node->log_contains(qr/LOG:  could not take in a webhook: canceling statement due to lock timeout/), 'and which error it was');
ok(!$node->log_contains('STATEMENT:  .*wa_webhook_ingest_many'), 'without what was in it');
my ($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '300ms'; $call");
like($err, qr/canceling statement due to statement timeout/, 'a cancellation is meant for all');
$holder->query_safe('ROLLBACK');
is_query($call, 'ingested, ingested, ingested', 'repeated, it is taken in');
is_query(q{SELECT string_agg(status, ' ' ORDER BY id) FROM whatsapp_messages WHERE id > 100}, 'sent sent sent', 'as the others were');

# ---- traffic that somebody has just written ----------------------------------------------

# Whoever finds it written within this second leaves the row alone, though another
# session holds it.  The machine may be slow: within this second it must be.
my $left_alone = 0;
foreach (1 .. 20)
{
	$node->safe_psql('postgres', 'UPDATE whatsapp_webhook_traffic SET last_webhook_at = clock_timestamp(), last_status_at = clock_timestamp()');
	$holder->query_safe('BEGIN; SELECT FROM whatsapp_webhook_traffic FOR UPDATE');
	my ($failed) = $node->psql('postgres', "SET lock_timeout = '100ms'; $call");
	$holder->query_safe('ROLLBACK');
	last if $left_alone = !$failed;
}
ok($left_alone, 'traffic that is known is not locked');
$holder->quit;

logged_nothing_bad($node, 'no other error', qr/lock timeout|statement timeout/);
done_testing();
