# A row changes after the claim's snapshot has been taken, and before the claim
# comes to lock it: what counts is what the row says then.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_status accepted_for invariants_hold);
use WaTest qw(set_and_reload logged_nothing_bad);

my ($node, $sim) = new_delivery('changed');

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

# Lets the sender go on, and runs a statement that is committed as soon as the
# claim has come as far as the table, which is locked: its snapshot is older.
sub while_claiming
{
	my ($statement) = @_;

	sql('ALTER SYSTEM SET whatsapp_shared.enabled = on');
	sql(<<"SQL");
BEGIN;
LOCK TABLE whatsapp_queue IN EXCLUSIVE MODE;
$statement;
SELECT pg_reload_conf();
DO \$\$
BEGIN
    FOR i IN 1 .. 10000 LOOP
        PERFORM pg_stat_clear_snapshot();
        IF EXISTS (SELECT FROM pg_stat_activity
                   WHERE backend_type = 'whatsapp_shared sender' AND wait_event_type = 'Lock'
                       AND query = 'sending WhatsApp messages') THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
    RAISE EXCEPTION 'no claim has come by';
END \$\$;
COMMIT
SQL
	return;
}

# The numbers from which a message has been sent.
sub numbers_of
{
	my ($id) = @_;
	return join(', ',
		map  { $_->{number} }
		grep { ($_->{message}{biz_opaque_callback_data} // '') =~ /^wa1:[^:]*:$id:/ } $sim->requests);
}

# What is read from the cursor on.
set_and_reload($node, enabled => 'off');
my ($moved, $held, $late) = map { enqueue($node, $_, '+34611440001') } 't1', 't2', 't3';
while_claiming(<<"SQL");
UPDATE whatsapp_queue SET expires_at = clock_timestamp() WHERE message_id = $late;
SELECT wa_unassign_phone('t1');
SELECT wa_assign_phone('t1', '100000000000007');
SELECT wa_unassign_phone('t2')
SQL
wait_status($node, $moved, 'accepted', 'a message whose number has changed is sent');
is(numbers_of($moved), '100000000000007', 'from the new one');
is(sql("SELECT state, hold_reason FROM whatsapp_queue WHERE message_id = $held"),
	'h|no_number', 'one whose tenant has lost its number is held');

# Nothing but the claim knows of this time: it has not been noted for the clock.
wait_status($node, $late, 'expired', 'one whose time is over expires');
is(numbers_of($late), '', 'and does not leave');

# What was set aside, and is read by its id.
$sim->faults({ match => { recipient => '+34611440002' }, times => 1, delay_ms => 1500 });
$sim->hold_answers;
my ($first, $second) = map { enqueue($node, 't3', '+34611440002') } 1 .. 2;
wait_status($node, $first, 'sending', 'a message waits behind one to the same person');
set_and_reload($node, enabled => 'off');
$sim->answer(1500);
wait_status($node, $first, 'accepted', 'its turn comes');
while_claiming(q{SELECT wa_unassign_phone('t3')});
my $other = enqueue($node, 't1', '+34611440003');
wait_status($node, $other, 'accepted', 'the sender goes on');
is(sql("SELECT state, hold_reason FROM whatsapp_queue WHERE message_id = $second"),
	'h|no_number', 'but it is held');
is_deeply([ map { numbers_of($_) } $held, $second ], [ '', '' ], 'what is held does not leave');

sql(q{SELECT wa_assign_phone('t2', '100000000000008'); SELECT wa_assign_phone('t3', '100000000000009')});
wait_status($node, $_, 'accepted', 'until there is a number for it') foreach $held, $second;
is_deeply(
	[ map { numbers_of($_) } $held, $second ],
	[ '100000000000008', '100000000000009' ],
	'from which it is sent');
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'nothing arrived twice');
invariants_hold($node);
# A claim waits a fifth of a second for the table; what commits meanwhile may need longer on a busy machine.
logged_nothing_bad($node, 'without an error', qr/ERROR:  canceling statement due to lock timeout/);
$node->stop;
done_testing();
