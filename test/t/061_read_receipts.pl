# Messages of customers that are marked as read: what leaves, when, and what it must not delay.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled);
use WaTest qw(sender_pids logged_nothing_bad);

my ($node, $sim) = new_delivery('receipts');

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A customer's message to a tenant's number, as webhooks store it.
sub came
{
	my ($tenant, $name, $phone, $ago) = @_;
	return sql("INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone,"
		  . " message_type, payload, sent_at) VALUES ('wamid.$name', 't$tenant', '10000000000000$tenant', '$phone',"
		  . " 'text', '{}', now() - interval '$ago') RETURNING inbound_id");
}

sub receipts { return grep { $_->{type} eq 'read_receipt' } $sim->requests }
sub nothing_waits { return wait_for($node, 'SELECT NOT EXISTS (SELECT FROM whatsapp_read_receipts)', $_[0]) }

# What is not tried again before its back-off is tried now.
sub hurry { return sql('UPDATE whatsapp_read_receipts SET next_attempt_at = now(); SELECT wa_internal_wake_due(now())') }

my $ana = '+34600112233';
my @ana = map { came(1, "A$_", $ana, (10 - $_) . ' minutes') } 1 .. 3;

# ---- in the caller's transaction, after COMMIT ----

my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe("SELECT wa_mark_read($_)") for @ana;
$session->query_safe("SELECT wa_mark_read($ana[0], typing => true)");
wait_status($node, enqueue($node, 't1', '+34600112299'), 'accepted', 'while the transaction is open the number sends');
is(scalar receipts(), 0, 'and nothing is marked');
$session->query_safe('COMMIT');
nothing_waits('it is after COMMIT');
is_deeply(
	[ map { $_->{message} } receipts() ],
	[ { messaging_product => 'whatsapp', status => 'read', message_id => 'wamid.A3', typing_indicator => { type => 'text' } } ],
	'three messages of one conversation, one of them twice, are one request for the latest');
is((receipts())[0]{number}, '100000000000001', 'at the number that they were written to');

$session->query_safe('BEGIN');
$session->query_safe("SELECT wa_mark_read($ana[2])");
$session->query_safe('ROLLBACK');
$session->quit;
sql("SELECT wa_mark_read($ana[2])");
nothing_waits('what has been marked may be marked again');
my @again = receipts();
is(scalar @again, 2, 'and what was rolled back was not');
is_deeply(
	$again[1]{message},
	{ messaging_product => 'whatsapp', status => 'read', message_id => 'wamid.A3' },
	'without a wish nobody is said to be writing');

# ---- a number that hangs ----

$sim->faults({ match => { number => '100000000000001' }, reply => 'hang', times => 1 });
sql("SELECT wa_mark_read($ana[2])");
wait_for($node, 'SELECT attempts = 1 FROM whatsapp_read_receipts', 'a request is on its way, and hangs');
# Its next attempt is not to come before the test asks for it.
sql(q{UPDATE whatsapp_read_receipts SET next_attempt_at = now() + interval '1 hour'});
wait_status($node, enqueue($node, 't1', $ana), 'accepted', 'messages of the same number go on');
my $berta = came(2, 'B1', '+34600112244', '1 minute');
sql("SELECT wa_mark_read($berta)");
wait_for($node, "SELECT NOT EXISTS (SELECT FROM whatsapp_read_receipts WHERE phone_number_id = '100000000000002')",
	'and so do receipts of another');
$sim->release;
$sim->faults();

# ---- a sender that dies ----

my ($pid) = sender_pids($node, 'postgres');
kill 'TERM', $pid;
$node->poll_query_until('postgres',
	"SELECT count(*) = 1 AND bool_and(pid <> $pid) FROM wa_stats() WHERE pid IS NOT NULL");
is(sql('SELECT count(*) FROM whatsapp_read_receipts'), 1, 'what had no answer when its sender ended is still to be done');
hurry();
nothing_waits('its successor does it');

# ---- what Meta refuses ----

my $before = scalar receipts();
$sim->faults({ status => 500, code => 131000, times => 1 });
sql("SELECT wa_mark_read($berta)");
wait_for($node, 'SELECT attempts = 1 AND next_attempt_at > now() FROM whatsapp_read_receipts',
	'a temporary fault is no end');
hurry();
nothing_waits('it is done at the second attempt');
is(scalar receipts() - $before, 2, 'that took two requests');
$sim->faults({ status => 400, code => 131009, times => 1 });
my $offset = -s $node->logfile;
sql("SELECT wa_mark_read($berta)");
nothing_waits('what Meta refuses for good is not repeated');
ok($node->wait_for_log(qr/could not mark a message as read/, $offset), 'and the log says why');

settled($node, 'no message was in the way of any of it');
logged_nothing_bad($node);
$node->stop;
done_testing();
