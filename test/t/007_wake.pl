# The commit hook: what a transaction has made ready leaves at its COMMIT, and
# not because a sender happened to look.  The sender's own slow sweep comes every
# thirty seconds, so everything here has to happen in less.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WaLoad qw(wait_until);
use WaSimulator;
use WaTest qw(new_node create_extension set_and_reload wait_for_senders);

# More numbers than a transaction compares one by one (64).
my $numbers = 100;
my $sim = WaSimulator->start('--numbers' => $numbers, '--accept-any-template');
my $node = new_node(
	'wake',
	'whatsapp_shared.enabled = on',
	"whatsapp_shared.access_token = 'SIMULATOR_TOKEN'",
	"whatsapp_shared.graph_url = '" . $sim->url . "'",
	'whatsapp_shared.sync_interval = 0',
	'max_prepared_transactions = 2');

create_extension($node, 'postgres');
$node->safe_psql('postgres', "
	SELECT wa_assign_phone('t' || i, (100000000000000 + i)::text) FROM generate_series(1, $numbers) AS i");
my ($pid) = wait_for_senders($node, 'postgres', 1);

my $expected = 0;

# $more more messages are accepted well before a sweep could have found them.
sub leaves
{
	my ($more, $name) = @_;
	my $deadline = time + 15;

	$expected += $more;
	usleep(5_000) while $sim->stats->{accepted} < $expected && time < $deadline;
	is($sim->stats->{accepted}, $expected, $name);
	return;
}

sub message
{
	my ($tenant, $recipient) = @_;
	return "SELECT wa_enqueue_message('t$tenant', '+34640' || lpad('$recipient', 6, '0'), 'aviso', '[\"1\"]');";
}

# What comes first makes the sender read the assignments; then only notes count.
$node->safe_psql('postgres', message(1, 1));
leaves(1, 'a message leaves at COMMIT');

$node->safe_psql('postgres', "BEGIN; @{[ message(1, 2) ]} ROLLBACK;");
$node->safe_psql('postgres', message(2, 3));
leaves(1, 'what was rolled back does not');

$node->safe_psql('postgres', "
	BEGIN;
	@{[ message(3, 4) ]}
	SAVEPOINT one;
	@{[ message(4, 5) ]}
	ROLLBACK TO one;
	@{[ message(5, 6) ]}
	COMMIT;");
leaves(2, 'a savepoint takes back its own messages only');

$node->safe_psql('postgres', "
	SELECT wa_enqueue_message('t' || i, '+34610000' || lpad(i::text, 3, '0'), 'aviso', '[\"1\"]')
	FROM generate_series(1, $numbers) AS i");
leaves($numbers, 'a transaction may touch many numbers');

# A stopped process takes no notes; its ring of 1024 runs over.  The notes
# alternate between fifty numbers, so none can be merged with the one before, and
# those that find no room are for fifty others, of which no earlier note tells.
# They are noted together with others that share a bucket with them.
kill 'STOP', $pid;
$node->safe_psql('postgres', q{
	DO $$ BEGIN FOR i IN 1 .. 1100 LOOP
		PERFORM wa_enqueue_message('t' || CASE WHEN i <= 1050 THEN 1 + i % 50 ELSE i - 1000 END, '+3462000' || lpad(i::text, 4, '0'), 'aviso', '["1"]');
		COMMIT;
	END LOOP; END $$});
kill 'CONT', $pid;
leaves(1100, 'notes that did not fit into the ring are made up for');

# A prepared transaction is committed by a session that knows nothing of it.
$node->safe_psql('postgres', "BEGIN; @{[ message(6, 7) ]} PREPARE TRANSACTION 'later';");
$node->safe_psql('postgres', message(7, 8));
leaves(1, 'a prepared transaction is not sent, and another is');
$node->safe_psql('postgres', "COMMIT PREPARED 'later'");
$expected++;
wait_until(sub { $sim->stats->{accepted} >= $expected });
is($sim->stats->{accepted}, $expected, 'when it is committed, the sweep finds it');

# Several senders: each note goes to the owner of its number.
set_and_reload($node, senders => 3);
wait_for_senders($node, 'postgres', 3);
$node->poll_query_until('postgres', 'SELECT count(*) = 3 FROM wa_stats() WHERE cycles > 0')
  or die 'the senders do not get going';
$node->safe_psql('postgres', "
	SELECT wa_enqueue_message('t' || i, '+34630000' || lpad(i::text, 3, '0'), 'aviso', '[\"1\"]')
	FROM generate_series(1, $numbers) AS i");
leaves($numbers, 'three senders share the numbers out among them');
ok( $node->poll_query_until(
		'postgres', "SELECT min(accepted) > 0 AND sum(accepted) = $numbers FROM wa_stats()"),
	'and each of them has sent something');

# No message was sent twice in all this.
my %seen;
$seen{ $_->{message}{to} . ' ' . $_->{phone_number_id} }++ foreach $sim->accepted;
is_deeply([ grep { $seen{$_} > 1 } sort keys %seen ], [], 'nobody was written to twice');

$node->stop;
done_testing();
