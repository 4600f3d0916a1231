# An erasure that is interrupted: by a sender that is killed, and by rows that somebody
# keeps locked.  It waits for nobody, and comes to its end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status);
use WaTest qw(sender_pids wait_for_senders);

my ($node, $sim) = new_delivery('erasure', settings => ['restart_after_crash = on']);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

my $person = '+34600111222';
my $rows = 21_000;

# More than a call does by itself, and one message that Meta has.
my $sent = enqueue($node, 't1', $person);
wait_status($node, $sent, 'accepted');
sql(<<"SQL");
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, finished_at)
SELECT 't1', '100000000000001', '$person', 'text', '{"body": "a secret"}', 'delivered', now()
FROM generate_series(1, $rows)
SQL

my ($pid) = sender_pids($node, 'postgres');
is(sql("SELECT finished_at IS NULL AND messages <= 20000 FROM wa_erase_person('$person')"),
	't', 'a call does no more than 20,000 rows');
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT 1', '1');
wait_for_senders($node, 'postgres', 1);
wait_for($node, 'SELECT finished_at IS NOT NULL FROM whatsapp_erasures', 'the sender goes on after it was killed, to the end');
is(sql("SELECT count(*) FROM whatsapp_messages WHERE erased_at IS NOT NULL AND payload = '{}' AND recipient_phone = '+34'"),
	$rows + 1, 'every message is a shell');
is(sql('SELECT messages FROM whatsapp_erasures'), $rows + 1, 'and each was counted once');
is(sql("SELECT count(*) FROM whatsapp_wamids WHERE whatsapp_message_id LIKE 'erased.%'"), 1, 'its wamid has a mark');

# Rows of somebody else that another session keeps locked.
my $other = '+34600111333';
my @ids = map { enqueue($node, 't1', $other) } 1 .. 3;
wait_status($node, $_, 'accepted') foreach @ids;
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT FROM whatsapp_messages WHERE id = $ids[1] FOR UPDATE");
is(sql("SET lock_timeout = '1ms'; SELECT finished_at IS NULL AND messages = 2 FROM wa_erase_person('$other')"),
	't', 'a call waits for nobody, and leaves what is locked');
my $later = enqueue($node, 't1', '+34600999888');
wait_status($node, $later, 'accepted');
is(sql("SELECT recipient_phone FROM whatsapp_messages WHERE id = $ids[1]"), $other, 'messages of others are sent meanwhile');
$session->query_safe('ROLLBACK');
$session->quit;
wait_for($node, 'SELECT bool_and(finished_at IS NOT NULL) FROM whatsapp_erasures', 'the sender ends it when that is free');

$node->stop;
done_testing();
