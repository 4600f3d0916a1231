# A person who is written to by a number and by user ids is one recipient: the order of
# the messages, the pair rate and the messaging limit are the person's, from the first
# message on for which Meta has told whose it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status settled invariants_hold);
use WaTest qw(set_and_reload wait_for_senders);

my ($node, $sim) = new_delivery(
	'persons',
	settings => [ "whatsapp_shared.retry_delay = '1h'", "whatsapp_shared.pair_interval = '1h'", 'whatsapp_shared.pair_burst = 10' ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# What Meta has told of a person: the first form is the one under which he was known first.
sub known
{
	my (@forms) = @_;
	my $list = join ',', map { "'$_'" } @forms;

	return sql(<<"SQL");
WITH gone AS (DELETE FROM whatsapp_contact_identities WHERE identity IN ($list)),
person AS (
    INSERT INTO whatsapp_contacts (wa_id, user_id)
        SELECT (SELECT ltrim(f, '+') FROM unnest(ARRAY[$list]) AS f WHERE f LIKE '+%' LIMIT 1),
               (SELECT f FROM unnest(ARRAY[$list]) AS f WHERE f LIKE 'CO.%' AND f NOT LIKE 'CO.ENT.%' LIMIT 1)
        RETURNING contact_id)
INSERT INTO whatsapp_contact_identities (identity, contact_id, person, kind)
    SELECT f, contact_id, '$forms[0]', CASE WHEN f LIKE '+%' THEN 'phone' WHEN f LIKE '%.ENT.%' THEN 'parent' ELSE 'user' END
    FROM person, unnest(ARRAY[$list]) AS f
    ON CONFLICT (identity) DO UPDATE SET contact_id = excluded.contact_id, person = excluded.person
SQL
}

# The requests for these messages, in the order in which they arrived.
sub order_of
{
	my (@ids) = @_;
	my %wanted = map { $_ => 1 } @ids;
	my @seen = map { ($_->{message}{biz_opaque_callback_data} // '') =~ /^wa1:[^:]*:(\d+):/ && $wanted{$1} ? $1 : () }
	  $sim->requests(0, incomplete => 1);

	return join ' ', @seen;
}

sub reason { return sql("SELECT reason FROM wa_explain($_[0])"); }

# A message that has failed for the moment, and comes back when the test says so.
sub retried
{
	my ($recipient) = @_;
	$sim->faults({ match => { first => 1 }, times => 1, code => 131016, status => 500 });
	my $id = enqueue($node, 't1', $recipient);
	wait_for($node, "SELECT hold_reason = 'retry' FROM whatsapp_queue WHERE message_id = $id", "a message to $recipient is to be retried");
	$sim->faults;
	return $id;
}

sub comes_back
{
	my ($id) = @_;
	return sql("BEGIN; UPDATE whatsapp_queue SET due_at = now() WHERE message_id = $id OR hold_reason = 'recipient_order'; SELECT wa_internal_wake_due(now()); COMMIT");
}

sub is_deferred_behind
{
	my ($id, $what) = @_;
	return wait_for($node, "SELECT hold_reason = 'recipient_order' FROM whatsapp_queue WHERE message_id = $id", $what);
}

# ---- known before ----------------------------------------------------------------------------

known('+573001112233', 'CO.7001', 'CO.ENT.7001');
my $first = retried('CO.7001');
my @behind = map { enqueue($node, 't1', $_) } '+573001112233', 'CO.ENT.7001', 'CO.7001';
is_deferred_behind($_, 'what goes to another form of the person waits') foreach @behind;
wait_status($node, enqueue($node, 't1', '+573009998877'), 'accepted', 'what goes to somebody else does not');
is(reason($behind[0]), 'recipient_order', 'wa_explain() says why');
comes_back($first);
settled($node, 'all are sent');
is(order_of($first, @behind), join(' ', $first, $first, @behind), 'in the order in which they were written');

my @requests = grep { $_->{message} } $sim->requests;
is_deeply([ grep { ($_->{message}{to} // '') =~ /\./ || ($_->{message}{recipient} // '') =~ /^\+/ } @requests ], [],
	'a user id is the "recipient", and a number is "to"');
is(scalar(grep { ($_->{message}{recipient} // '') =~ /^CO\.(?:ENT\.)?7001$/ && !exists $_->{message}{to} } @requests), 4,
	'of a user id and of one of the parent portfolio');

# ---- on the wire -------------------------------------------------------------------------------

$sim->faults({ match => { recipient => '+573001112233' }, reply => 'hang' });
my $open = enqueue($node, 't1', '+573001112233');
wait_status($node, $open, 'sending', 'a message is on the wire');
my $aside = enqueue($node, 't1', 'CO.7001');
wait_for($node, "SELECT reason = 'recipient_order' FROM wa_explain($aside)", 'wa_explain() knows that another form of the person is');
is(order_of($open, $aside), $open, 'and so does the sender');
$sim->release;
wait_status($node, $aside, 'accepted', 'what has waited for it is sent when it has ended');
sql("SELECT wa_resolve_message($open, 'failed')");
$sim->faults;

# ---- learned meanwhile -------------------------------------------------------------------------

my $unknown = retried('CO.7002');
known('+573001112244', 'CO.7002');
@behind = map { enqueue($node, 't1', $_) } 'CO.7002', '+573001112244';
is_deferred_behind($_, 'what waited before the person was known is not passed') foreach @behind;
comes_back($unknown);
settled($node, 'all are sent, to him by all names');
is(order_of($unknown, @behind), join(' ', $unknown, $unknown, @behind), 'in order');

# Both have something to wait for when they turn out to be one.
my @apart = map { retried($_) } '+573001112255', 'CO.7003';
known('CO.7003', '+573001112255');
@behind = map { enqueue($node, 't1', $_) } '+573001112255', 'CO.7003';
is_deferred_behind($_, 'one of two who turn out to be one waits for both') foreach @behind;
comes_back($apart[0]);
wait_status($node, $apart[0], 'accepted', 'one of those is sent');
is_deferred_behind($_, 'that is not enough') foreach @behind;

# An answer about somebody else says nothing of the recipient.
$sim->faults({ match => {}, reply => 'stranger' });
my @strangers = map { enqueue($node, 't1', "+5730011133$_") } 10, 11;
wait_status($node, $_, 'accepted', 'a stand-in that answers everybody alike takes a message') foreach @strangers;
$sim->faults;
is(sql(<<'SQL'), 0, 'its recipients do not become one person');
SELECT count(*) FROM (SELECT identity FROM whatsapp_learned_identities UNION ALL SELECT identity FROM whatsapp_contact_identities) AS forms
WHERE identity = '+16505551234'
SQL

# ---- a new sender --------------------------------------------------------------------------------

sql('SELECT wa_worker_restart()');
wait_for_senders($node, 'postgres', 1);
push @behind, enqueue($node, 't1', 'CO.7003');
is_deferred_behind($behind[-1], 'a new sender lets nobody pass either');
comes_back($apart[1]);
settled($node, 'all are sent');
is(order_of(@apart, @behind), join(' ', @apart, @apart, @behind), 'in order');

# ---- limits ------------------------------------------------------------------------------------

# The burst is one less than is allowed.
known('+573001112266', 'CO.7004');
my @burst = map { enqueue($node, 't1', $_ % 2 ? 'CO.7004' : '+573001112266') } 1 .. 12;
wait_for($node, "SELECT count(*) = 3 FROM whatsapp_queue WHERE message_id IN (" . join(',', @burst) . ") AND hold_reason = 'pair_rate'",
	'two forms of a person have one pair rate');
is(order_of(@burst), join(' ', @burst[0 .. 8]), 'the first nine have left');
sql("SELECT wa_cancel_message(message_id) FROM whatsapp_queue");

sql(q{UPDATE whatsapp_phone_numbers SET messaging_limit = '100'});
known('+573001112277', 'CO.7005');
wait_status($node, enqueue($node, 't1', $_), 'accepted', "$_ is reached") foreach '+573001112277', 'CO.7005', '+573001112288';
is(sql("SELECT string_agg(recipient, ' ' ORDER BY reached_at) FROM whatsapp_reach"), '+573001112277 +573001112288',
	'two forms of a person are one of those whom an account may write to');

known('CO.7006', '+573001112288');
wait_status($node, enqueue($node, 't1', '+573001112288'), 'accepted', 'and who was reached before he was known');
is(sql('SELECT count(*) FROM whatsapp_reach'), 2, 'does not count once more');

invariants_hold($node);
$node->stop;
done_testing();
