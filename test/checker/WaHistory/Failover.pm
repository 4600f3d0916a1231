# The primary dies, and a standby takes its place.
#
# The standby is synchronous while that happens, so what the application and the
# sender were told is committed is committed there, too; without that nobody
# could promise anything (README.md, "Standby").
package WaHistory::Failover;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
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

# A standby of the node, up to date and synchronous from now on.
sub standby
{
	my ($node, $name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$node->backup($name);
	$standby->init_from_backup($node, $name, has_streaming => 1);
	$standby->start;
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

# The node dies without a word, and the standby goes on.
sub promote
{
	my ($node, $standby) = @_;

	$node->stop('immediate');
	$standby->promote;
	wait_for_senders($standby, 'postgres',
		$standby->safe_psql('postgres', 'SHOW whatsapp_shared.senders'));
	return;
}

1;
