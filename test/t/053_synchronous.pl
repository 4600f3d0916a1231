# Synchronous replication is a fence: whatever is done to a primary that has lost its
# standby, no request leaves it before the lease is on the standby.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery wait_for settled accepted_for);
use WaLoad qw(wait_until);
use WaTest qw(sender_pids wait_for_senders);

# What is doubtful is sent again soon: so a request that should not have left shows twice.
my ($primary, $sim) = new_delivery('primary', settings => [
	'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on', 'wal_keep_size = 64MB',
	"whatsapp_shared.uncertain_policy = 'resend'", "whatsapp_shared.uncertain_grace = '4s'" ]);
$primary->append_conf('pg_hba.conf', 'local replication all trust');
$primary->reload;
$primary->backup('standby');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'standby', has_streaming => 1);
$standby->start;
configure(synchronous_standby_names => '*');
wait_for($primary, q{SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')},
	'the standby is synchronous');

sub configure
{
	my (%settings) = @_;
	$primary->safe_psql('postgres', "ALTER SYSTEM SET $_ = '$settings{$_}'") foreach keys %settings;
	$primary->reload;
	return;
}

# Messages of an application that does not wait for the standby itself.
my $recipient = 0;
my @ids;
sub enqueue_local
{
	my ($count) = @_;
	my $first = $recipient + 1;
	$recipient += $count;
	push @ids, split /\n/, $primary->safe_psql('postgres', <<"SQL");
SET synchronous_commit = local;
SELECT wa_enqueue_message('t1', '+346100' || lpad(i::text, 5, '0'), 'aviso', '["a"]') FROM generate_series($first, $recipient) AS i;
SQL
	return;
}

# The sender has leased, and waits for the standby.  Its lease cannot be seen meanwhile.
sub sender_waits
{
	my ($what) = @_;
	return wait_for($primary, <<'SQL', $what);
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender' AND wait_event = 'SyncRep')
SQL
}

my $requests = 0;
sub nothing_left
{
	my ($what) = @_;
	return is($sim->stats->{requests}, $requests, "$what: no request has left");
}

sub standby_gone
{
	$standby->stop('immediate') if $standby->{_pid};
	wait_for($primary, 'SELECT NOT EXISTS (SELECT FROM pg_stat_replication)', 'the standby is gone');
	$requests = $sim->stats->{requests};
	return;
}

# ... and back: everything goes, once.
sub standby_back
{
	my ($what) = @_;
	$standby->start;
	settled($primary, "$what: everything is sent when the standby is back");
	my $count = accepted_for($sim);
	is_deeply([ grep { ($count->{$_} // 0) != 1 } @ids ], [], "$what: and once");
	return;
}

# A zombie, which somebody has yet to take notice of, does nothing any more.
sub is_running
{
	my ($pid) = @_;
	open my $status, '<', "/proc/$pid/status" or return 0;
	return !grep { /^State:\s+Z/ } <$status>;
}

sub gone
{
	my (@pids) = @_;
	wait_until(sub { !grep { is_running($_) } @pids }) or die "waited in vain for the end of @pids";
	return;
}

# ---- the wait is cancelled -------------------------------------------------------------

standby_gone();
for my $round (1 .. 3)
{
	enqueue_local(10);
	sender_waits("round $round: the sender waits with what it has leased");
	nothing_left("round $round");
	$primary->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'});
	$primary->wait_for_log(qr/canceling wait for synchronous replication due to user request(?s:.*canceling wait){@{[ $round - 1 ]}}/);
}
enqueue_local(1);
sender_waits('cancelled: it goes on claiming, and waits again');
nothing_left('cancelled');

# ---- the sender is told to end ------------------------------------------------------------

my ($pid) = sender_pids($primary, 'postgres');
kill 'TERM', $pid;
gone($pid);
sender_waits('SIGTERM: its successor waits');
nothing_left('SIGTERM');
standby_back('cancelled, SIGTERM');

# ---- the postmaster is killed ---------------------------------------------------------------

standby_gone();
enqueue_local(20);
sender_waits('kill -9: the sender waits');
my @all = split /\n/, $primary->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
my $postmaster = $primary->{_pid};
$primary->kill9;
gone(@all);
nothing_left('kill -9 of the postmaster');
# For the next one a zombie is still there, until process 1 has taken notice of it.
wait_until(sub { !kill 0, $postmaster }) or die "waited in vain for the end of postmaster $postmaster";
$primary->start;
wait_for($primary, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender' AND wait_event = 'SyncRep')},
	'kill -9: the new sender waits before it does anything else');
nothing_left('started again');
standby_back('kill -9');

# ---- settings that ask for less ---------------------------------------------------------------

foreach my $case (
	[ 'off for the server', sub { configure(synchronous_commit => 'off') } ],
	[ 'local for the server', sub { configure(synchronous_commit => 'local') } ],
	[ 'off for the database', sub {
		$primary->safe_psql('postgres', 'ALTER DATABASE postgres SET synchronous_commit = off; SELECT wa_worker_restart()');
		gone(@_);
		wait_for_senders($primary, 'postgres', 1);
	} ])
{
	my ($name, $set) = @$case;
	$set->(sender_pids($primary, 'postgres'));
	standby_gone();
	enqueue_local(10);
	sender_waits("synchronous_commit $name: the sender waits all the same");
	nothing_left("synchronous_commit $name");
	standby_back("synchronous_commit $name");
}
$primary->safe_psql('postgres', 'ALTER DATABASE postgres RESET synchronous_commit');

# Of a trigger of somebody's the commit itself takes notice; the lease does not go by that.
$primary->safe_psql('postgres', <<'SQL');
CREATE FUNCTION no_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN NULL;
END
$$;
CREATE TRIGGER no_wait AFTER INSERT ON whatsapp_leases FOR EACH STATEMENT EXECUTE FUNCTION no_wait();
SQL
standby_gone();
enqueue_local(10);
wait_for($primary, 'SELECT EXISTS (SELECT FROM whatsapp_leases)', 'synchronous_commit off by a trigger: leased');
wait_for($primary, q{SELECT sum(cycles) > 0 FROM wa_stats()}, 'and the sender goes on');
nothing_left('synchronous_commit off by a trigger');
standby_back('synchronous_commit off by a trigger');
$primary->safe_psql('postgres', 'DROP TRIGGER no_wait ON whatsapp_leases');

# ---- other rules ---------------------------------------------------------------------------------

foreach my $case ([ 'FIRST 1 (standby)', 'remote_write' ], [ 'ANY 1 (standby, other)', 'remote_apply' ], [ '*', 'on' ])
{
	configure(synchronous_standby_names => $case->[0], synchronous_commit => $case->[1]);
	enqueue_local(5);
	settled($primary, "$case->[0], $case->[1]: messages are sent");
}
standby_gone();
enqueue_local(5);
sender_waits('no standby: the sender waits');
configure(synchronous_standby_names => '');
settled($primary, 'names taken away by a reload: it waits no longer');
$standby->start;
configure(synchronous_standby_names => '*');
wait_for($primary, q{SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')},
	'the standby is synchronous again');

# ---- the old primary sleeps while the standby takes over --------------------------------------------

standby_gone();
enqueue_local(20);
sender_waits('asleep: the sender waits');
($pid) = sender_pids($primary, 'postgres');
kill 'STOP', $pid;
$standby->start;
# When this commit returns, what was committed before has been released.
$primary->safe_psql('postgres', 'SELECT pg_catalog.txid_current()');
@all = ($primary->{_pid}, split /\n/, $primary->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()'));
kill 'STOP', @all;
$standby->safe_psql('postgres', 'SELECT pg_promote()');
ok($standby->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM whatsapp_queue)'),
	'asleep: the new primary decides about what it knows from the lease');
# What it writes next: what it had leased, put back; or, if what it was waiting for was
# another transaction, the lease.
my $woken = $standby->safe_psql('postgres', 'SELECT clock_timestamp()');
kill 'CONT', @all;
wait_for($primary, <<"SQL", 'the old one wakes up, and waits with what it writes next');
SELECT EXISTS (SELECT FROM pg_stat_activity
    WHERE backend_type = 'whatsapp_shared sender' AND wait_event = 'SyncRep' AND xact_start > '$woken')
SQL
my $count = accepted_for($sim);
is_deeply([ grep { ($count->{$_} // 0) != 1 } @ids ], [], 'asleep: every message was sent once');

$standby->stop;
$primary->stop('immediate');
done_testing();
