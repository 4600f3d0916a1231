# The primary dies, and a standby takes its place.
#
# If the standby is synchronous while that happens, what the application and the
# sender were told is committed is committed there, too.  If it is not, the last
# commits are lost with the primary (README.md, "Standby"); even then nothing may
# be sent twice.
package WaHistory::Failover;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Time::HiRes qw(sleep time);
use WaTest qw(wait_for_senders);

# Settings of a server that can have a standby.
sub settings
{
	return ('wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on', 'wal_keep_size = 64MB');
}

# Lets a standby connect to this server.
sub prepare
{
	my ($node) = @_;

	$node->append_conf('pg_hba.conf', 'local replication all trust');
	$node->reload;
	return;
}

# A server that follows the node, and has noted that it does: one that was promoted
# before would be taken for a copy.
sub _new
{
	my ($node, $name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);
	my $deadline = time + 60;

	$node->backup($name);
	$standby->init_from_backup($node, $name, has_streaming => 1);
	$standby->start;
	sleep(0.05) until -e $standby->data_dir . '/pg_replslot/whatsapp_shared.standby' || time > $deadline;
	return $standby;
}

# A standby of the node, up to date and synchronous from now on.
sub standby
{
	my ($node, $name) = @_;
	my $standby = _new($node, $name);

	$node->safe_psql('postgres', "ALTER SYSTEM SET $_")
	  foreach q{synchronous_standby_names = '*'}, 'synchronous_commit = on';
	$node->reload;
	$node->poll_query_until('postgres',
		q{SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')})
	  or die 'the standby does not become synchronous';
	# Every commit from here on waits for it; those before are there when this one is.
	$node->safe_psql('postgres', 'SELECT pg_catalog.txid_current()');
	return $standby;
}

# A standby of the node that is up to date, and hears nothing more from now on.
sub lagging
{
	my ($node, $name) = @_;
	my $standby = _new($node, $name);

	$node->safe_psql('postgres', "ALTER SYSTEM RESET $_")
	  foreach qw(synchronous_standby_names synchronous_commit);
	$node->reload;
	$node->safe_psql('postgres', 'SELECT pg_catalog.txid_current()');
	$node->wait_for_catchup($standby);
	$standby->safe_psql('postgres', q{ALTER SYSTEM SET primary_conninfo = ''});
	$standby->reload;
	$standby->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)')
	  or die 'the standby goes on receiving';
	return $standby;
}

# The node dies without a word, and the standby goes on.  Somebody may use it before
# its senders have begun.
sub promote
{
	my ($node, $standby, $first) = @_;

	$node->stop('immediate');
	$standby->promote;
	$standby->safe_psql('postgres', $first) if defined $first;
	$standby->safe_psql('postgres', 'ALTER SYSTEM RESET primary_conninfo');
	wait_for_senders($standby, 'postgres',
		$standby->safe_psql('postgres', 'SHOW whatsapp_shared.senders'));
	return;
}

1;
