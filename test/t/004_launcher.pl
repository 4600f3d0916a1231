# The launcher: the senders that run are those that should, whatever changes
# and whoever dies.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(new_node create_extension set_and_reload wait_for_senders wait_for_launcher
  launcher_pid sender_pids);

my $node =
  new_node('launcher', q{whatsapp_shared.databases = 'one, two, "Three and more", absent'});
my $launcher = wait_for_launcher($node);

$node->safe_psql('postgres', "CREATE DATABASE $_") for 'one', 'two', '"Three and more"';

# ---- databases with and without the extension --------------------------------------

create_extension($node, 'one');
my ($one) = wait_for_senders($node, 'one', 1);
create_extension($node, 'Three and more');
wait_for_senders($node, 'Three and more', 1);
ok(1, 'a database whose name needs quotes is served');
is(scalar sender_pids($node, 'two'), 0, 'none for a database without the extension');
create_extension($node, 'two');
my ($two) = wait_for_senders($node, 'two', 1);
ok($two != $one, 'each database has its own sender');
is_deeply([ sender_pids($node, 'one') ],
	[$one], 'and its creation did not disturb the others');
is( $node->safe_psql('one', 'SELECT database, pid FROM wa_stats()'),
	"one|$one",
	'wa_stats shows the own database only');

# In a database that is not listed nothing starts.
create_extension($node, 'postgres');
is($node->safe_psql('postgres', 'SELECT count(*) FROM wa_stats()'), '0',
	'no sender for a database that is not listed');

# A rolled-back CREATE EXTENSION leaves nothing behind, a later one counts.
$node->safe_psql('postgres', 'CREATE DATABASE absent');
$node->safe_psql('absent', 'BEGIN; CREATE EXTENSION whatsapp_shared; ROLLBACK');
is(scalar sender_pids($node, 'absent'), 0, 'a rolled-back CREATE EXTENSION starts no sender');
create_extension($node, 'absent');
wait_for_senders($node, 'absent', 1);
ok(1, 'a listed database that appears later is served');

# ---- reload ------------------------------------------------------------------------

set_and_reload($node, databases => 'one');
wait_for_senders($node, $_, 0) for 'two', 'absent', 'Three and more';
is_deeply([ sender_pids($node, 'one') ],
	[$one], 'databases removed from the list lose their senders, the others stay');
ok( $node->poll_query_until('two', 'SELECT count(*) = 0 FROM wa_stats()'),
	'and their slots are free again');

set_and_reload($node, databases => 'one, two, one');
($two) = wait_for_senders($node, 'two', 1);
is_deeply([ sender_pids($node, 'one') ], [$one], 'a name listed twice counts once');

# The sender of a database that had more of them: not the last of those.
sub wait_for_the_only
{
	my ($node, $db) = @_;

	$node->poll_query_until($db, 'SELECT count(*) = 1 AND bool_and(senders = 1 AND pid IS NOT NULL) FROM wa_stats()')
	  or die "database \"$db\" does not get back to one sender";
	return sender_pids($node, $db);
}

# Another number of senders replaces all of them, because each number of the
# account belongs to exactly one: the last old one leaves before the first new one.
set_and_reload($node, senders => 3);
my @three = wait_for_senders($node, 'one', 3);
ok(!(grep { $_ == $one } @three), 'none of the old senders stays');
is( $node->safe_psql('one', 'SELECT string_agg(sender || \'/\' || senders, \' \' ORDER BY sender) FROM wa_stats()'),
	'0/3 1/3 2/3',
	'every sender knows which one of how many it is');
wait_for_senders($node, 'two', 3);
set_and_reload($node, senders => 1);
($one) = wait_for_the_only($node, 'one');
($two) = wait_for_the_only($node, 'two');
is($node->safe_psql('one', 'SELECT sender, senders FROM wa_stats()'), '0|1', 'and back again');

# One that does not leave holds up the others of its database, and nobody else.
kill 'STOP', $one;
set_and_reload($node, senders => 2);
wait_for_senders($node, 'two', 2);
is( $node->safe_psql('one', 'SELECT sender, senders, pid FROM wa_stats()'),
	"0|1|$one",
	'no new sender starts while an old one is there');
kill 'CONT', $one;
wait_for_senders($node, 'one', 2);
is( $node->safe_psql('one', 'SELECT DISTINCT senders FROM wa_stats()'),
	'2', 'when it has gone, they do');
set_and_reload($node, senders => 1);
($one) = wait_for_the_only($node, 'one');
($two) = wait_for_the_only($node, 'two');

# ---- whoever dies --------------------------------------------------------------------

($one) = sender_pids($node, 'one');
($two) = sender_pids($node, 'two');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($one)");
ok( $node->poll_query_until(
		'one', "SELECT count(*) = 1 FROM wa_stats() WHERE pid <> $one"),
	'a terminated sender comes back');
is_deeply([ sender_pids($node, 'two') ], [$two], 'the other database notices nothing');

($one) = wait_for_senders($node, 'one', 1);
is($node->safe_psql('one', 'SELECT wa_worker_restart()'), '1', 'wa_worker_restart counts');
ok( $node->poll_query_until(
		'one', "SELECT count(*) = 1 FROM wa_stats() WHERE pid <> $one"),
	'and restarts the sender');

# A new launcher adopts what runs, and is answerable for it from then on.
($one) = wait_for_senders($node, 'one', 1);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
my $second = wait_for_launcher($node, $launcher);
set_and_reload($node, databases => 'one, two, absent');
wait_for_senders($node, 'absent', 1);
is_deeply([ sender_pids($node, 'one'), sender_pids($node, 'two') ],
	[ $one, $two ], 'a new launcher adopts the senders');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($one)");
ok( $node->poll_query_until(
		'one', "SELECT count(*) = 1 FROM wa_stats() WHERE pid <> $one"),
	'an adopted sender that dies is replaced');
set_and_reload($node, databases => 'one');
wait_for_senders($node, 'two', 0);
ok(1, 'an adopted sender leaves when it is not wanted any more');
is(launcher_pid($node), $second, 'with the same launcher all along');

# ---- crash ----------------------------------------------------------------------------

# A sender killed outright makes the postmaster restart everything.
$node->append_conf('postgresql.conf', "restart_after_crash = on\n");
$node->reload;
($one) = wait_for_senders($node, 'one', 1);
kill 'KILL', $one;
ok( $node->poll_query_until(
		'one', "SELECT count(*) = 1 FROM wa_stats() WHERE pid IS NOT NULL AND pid <> $one"),
	'after a crash the senders come back');
ok(launcher_pid($node) != $second, 'under a new launcher');

# ---- too few processes -------------------------------------------------------------------

my $log = -s $node->logfile;
set_and_reload($node, databases => 'one');
$node->safe_psql('postgres', "ALTER SYSTEM SET max_worker_processes = 3");
$node->restart;
set_and_reload($node, senders => 8);
$node->wait_for_log(
	qr/WARNING: .*could not start a WhatsApp sender for database "one".*HINT: .*max_worker_processes/s,
	$log);
my $complaints = () =
  slurp_file($node->logfile, $log) =~ /could not start a WhatsApp sender for database/g;
is($complaints, 1, 'a server without room for all senders says so once');
set_and_reload($node, senders => 1);
wait_for_senders($node, 'one', 1);
ok(1, 'and goes on when fewer are asked for');

$node->stop;
done_testing();
