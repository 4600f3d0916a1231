# What other sessions do, and where a process dies, at the worst moment.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of accepted_for invariants_hold);
use WaTest qw(sender_pids);

# Nobody writes WAL in the background while this test runs.
my ($node, $sim) = new_delivery(
	'races',
	settings => [
		"whatsapp_shared.uncertain_policy = 'park'",
		"whatsapp_shared.request_timeout = '1min'",
		'restart_after_crash = on',
		'wal_writer_delay = 10s',
		'autovacuum = off'
	]);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

# Until the simulator has accepted a message to this recipient.
sub wait_for_acceptance
{
	my ($recipient) = @_;
	my $deadline = time + 60;

	while (!grep { $_->{message}{to} eq $recipient } $sim->accepted)
	{
		die "waited in vain for the request to $recipient" if time > $deadline;
		usleep(10_000);
	}
	return;
}

# ---- a server that does not wait for its WAL -----------------------------------------------

sql('ALTER SYSTEM SET synchronous_commit = off; SELECT pg_reload_conf()');
$node->poll_query_until('postgres', 'SHOW synchronous_commit', 'off');
$sim->faults({ match => { recipient => '+34611900001' }, accept => JSON::PP::true(), reply => 'hang' });
my $id = sql(
	q{SET synchronous_commit = on; SELECT wa_enqueue_message('t1', '+34611900001', 'aviso', '["1"]')});
wait_for_acceptance('+34611900001');
my ($pid) = sender_pids($node, 'postgres');
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT 1', '1');
wait_status($node, $id, 'uncertain', 'the lease outlives a crash although commits do not wait for the disk');
is(accepted_for($sim)->{$id}, 1, 'and the message is not sent again');
sql('ALTER SYSTEM RESET synchronous_commit; SELECT pg_reload_conf()');
sql("SELECT wa_resolve_message($id, 'accepted')");
$sim->faults();

invariants_hold($node);
$node->stop;
done_testing();
