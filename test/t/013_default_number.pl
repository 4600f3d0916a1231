# The default number, and what becomes of it when a tenant gets it: a number
# sends for its tenant only, so those without one wait and everybody is told why.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status invariants_hold);
use WaLoad qw(stopwatch);
use WaTest qw(sender_pids set_and_reload);

my ($node, $sim) = new_delivery('fallback', settings => ["whatsapp_shared.phone_number_id = '100000000000009'", 'whatsapp_shared.messages_per_second = 1000']);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub from
{
	my ($id) = @_;
	return sql("SELECT phone_number_id FROM whatsapp_messages WHERE id = $id");
}

sql(q{SELECT FROM wa_configure_tenant('sola', is_new => true)});
my $first = enqueue($node, 'sola', '+34613600001');
wait_status($node, $first, 'accepted', 'a tenant without a number sends');
is(from($first), '100000000000009', 'from the default number');

# ---- a tenant gets it ---------------------------------------------------------------------

# Ready, scheduled and, afterwards, new.
set_and_reload($node, enabled => 'off');
my $ready = enqueue($node, 'sola', '+34613600002');
my $later = sql(q{SELECT wa_enqueue_payload('sola', '+34613600003', 'text', '{"body": "hola"}', scheduled_at => now() + interval '1 hour')});
my (undef, undef, $warning) = $node->psql('postgres', q{SELECT FROM wa_assign_phone('duena', '100000000000009')});
like($warning, qr/WARNING:  phone number "100000000000009" is the default number\nDETAIL:  .* their messages wait\.\nHINT:  .*wa_assign_all/,
	'giving it away is worth a warning');
my $new = enqueue($node, 'sola', '+34613600004');
is(from($new), '', 'a message written now has no number');
my $own = enqueue($node, 'duena', '+34613600005');
set_and_reload($node, enabled => 'on');
wait_status($node, $own, 'accepted', 'its tenant sends from it');
wait_for($node, "SELECT (state, hold_reason) = ('h', 'no_number') FROM whatsapp_queue WHERE message_id = $ready",
	'a message that waited for it is held');

foreach my $id ($ready, $later, $new)
{
	is(sql("SELECT reason FROM wa_explain($id)"), 'no_number', 'wa_explain() gives the reason');
	like(sql("SELECT explanation FROM wa_explain($id)"), qr/the default number 100000000000009 belongs to tenant "duena"/, 'and why there is no number');
}
is(sql(q{SELECT status FROM wa_tenant_status WHERE tenant_id = 'sola'}), 'no_number', 'so does wa_tenant_status');
is(sql(q{SELECT state || ': ' || detail || ' ' || remedy FROM wa_diagnose('sola') WHERE item = 'number'}),
	q{error: None: messages wait; the default number 100000000000009 belongs to tenant "duena". SELECT wa_assign_phone('sola');}, 'and wa_diagnose()');
like(sql(q{SELECT state || ': ' || detail || ' ' || remedy FROM wa_health() WHERE item = 'phone_number_id'}),
	qr/^warning: Unusable: the default number 100000000000009 belongs to tenant "duena" .* wa_assign_all\(\);$/, 'and wa_health()');
is(scalar(grep { $_->{message}{to} =~ /3461360000[24]$/ } $sim->accepted), 0, 'nothing of theirs left from it');

# ---- and gives it back ------------------------------------------------------------------------

# More than a sweep looks at, and the next one is half a minute away.
sql(q{SELECT count(wa_enqueue_message('sola', '+346137' || lpad(i::text, 5, '0'), 'aviso', '["hola"]')) FROM generate_series(1, 1200) AS i});
wait_for($node, q{SELECT count(*) = 1202 FROM whatsapp_queue WHERE state = 'h' AND hold_reason = 'no_number'}, 'many wait for want of a number');
my ($sender) = sender_pids($node, 'postgres');
sql('SELECT wa_worker_restart()');
wait_for($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender' AND pid <> $sender AND state = 'idle'",
	'there is a new sender');
my $given_back = stopwatch($node, $sim);
sql(q{SELECT wa_unassign_phone('duena')});
wait_for($node, q{SELECT NOT EXISTS (SELECT FROM whatsapp_queue WHERE state = 'h')}, 'they move on when it is given back');
cmp_ok($given_back->seconds, '<', 15, 'at once');
is(sql(q{SELECT count(*) FROM wa_health() WHERE item = 'phone_number_id'}), 0, 'without a tenant it is the default number again');
my $again = enqueue($node, 'sola', '+34613600006');
wait_status($node, $again, 'accepted', 'and sends');
wait_status($node, $_, 'accepted', 'also what was held meanwhile') foreach $ready, $new;

# ---- and the setting names another -------------------------------------------------------------

sql(q{SELECT FROM wa_assign_phone('duena', '100000000000009')});
my $last = enqueue($node, 'sola', '+34613600007');
set_and_reload($node, phone_number_id => '100000000000010');
wait_status($node, $last, 'accepted', 'what is held goes when the setting names a free number');
is(from($last), '100000000000010', 'from that one');

# ---- and another gets its own --------------------------------------------------------------------

# What waits for a limit of the default number does not wait for it elsewhere, and is not passed by
# what is written later.
set_and_reload($node, pair_burst => 2);
my $recipient = '+34613600008';
my @ids = map { enqueue($node, 'sola', $recipient) } 1 .. 3;
wait_status($node, $ids[0], 'accepted');
wait_for($node, "SELECT count(*) = 2 FROM whatsapp_queue WHERE (state, hold_reason) = ('d', 'pair_rate')", 'two wait for the pair limit');
sql(q{SELECT FROM wa_assign_phone('sola', '100000000000011')});
push @ids, enqueue($node, 'sola', $recipient);
wait_status($node, $ids[1], 'accepted', 'the next goes when its tenant gets a number of its own');
is(from($ids[1]), '100000000000011', 'from that');
wait_for($node, "SELECT count(*) = 2 FROM whatsapp_queue WHERE message_id IN ($ids[2], $ids[3]) AND (state, hold_reason) = ('d', 'pair_rate')",
	'the others wait for the limit there');
is(sql("SELECT min(due_at) FILTER (WHERE message_id = $ids[2]) < min(due_at) FILTER (WHERE message_id = $ids[3]) FROM whatsapp_queue"), 't', 'in their order');
sql("SELECT wa_cancel_message(id) FROM unnest(ARRAY[$ids[2], $ids[3]]) AS id");

invariants_hold($node);
$node->stop;
$sim->stop;
done_testing();
