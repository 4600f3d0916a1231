# Standbys: one that is promoted takes the place of its primary, unless that is
# still there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaCopies qw(enqueue_some doubt is_silent is_at_home sent_once);
use WaDelivery qw(new_delivery enqueue wait_for wait_status);
use WaTest qw(set_and_reload wait_for_senders);

my ($primary, $sim) = new_delivery('primary',
	settings => [ "whatsapp_shared.takeover_grace = '1s'", "whatsapp_shared.uncertain_policy = 'resend'", 'wal_level = replica', 'max_wal_senders = 8', 'hot_standby = on', 'wal_log_hints = on', 'wal_keep_size = 64MB' ]);
$primary->append_conf('pg_hba.conf', 'local replication all trust');
$primary->reload;

# A streaming standby that has noted what it is.
sub new_standby
{
	my ($name, $of) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$of->backup($name);
	$standby->init_from_backup($of, $name, has_streaming => 1);
	$standby->start;
	$of->wait_for_catchup($standby);
	note_is_there($standby);
	return $standby;
}

sub note_is_there
{
	my ($standby) = @_;
	my $file = $standby->data_dir . '/pg_replslot/whatsapp_shared.standby';
	for (1 .. 600)
	{
		last if -e $file;
		select undef, undef, undef, 0.1;
	}
	ok(-e $file, $standby->name . ' has noted that it streams');
	return;
}

# ---- promoted beside a living primary --------------------------------------------------

my @ids = enqueue_some($primary);
my $trial = new_standby('trial', $primary);
$trial->promote;
is_silent($trial, qr/It was promoted, and the primary that it had followed is still running|Its data directory is a copy/,
	'a standby that is promoted beside its primary');
$trial->wait_for_log(qr/the primary that it had followed is still running/);
is_at_home($primary, 'the primary sends meanwhile', @ids);
sent_once($sim, 'promoted beside its primary', @ids);
$trial->stop;

# ---- a standby started as a primary ------------------------------------------------------

@ids = enqueue_some($primary);
my $loose = new_standby('loose', $primary);
$loose->stop;
unlink $loose->data_dir . '/standby.signal' or die $!;
$loose->start;
is_silent($loose, qr/Its data directory is a copy/, 'a standby that was started without its signal file');
is_at_home($primary, 'the primary sends meanwhile', @ids);
sent_once($sim, 'without its signal file', @ids);
$loose->stop;

# ---- fail-over ---------------------------------------------------------------------------

@ids = enqueue_some($primary);
my $standby = new_standby('standby', $primary);
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
$standby->promote;
is_at_home($standby, 'a promoted standby takes over when its primary is gone', @ids);
sent_once($sim, 'fail-over', @ids);
like(slurp_file($standby->logfile), qr/takes over the sending of WhatsApp messages/, 'and says so');
$standby->restart;
is_at_home($standby, 'a restart changes nothing');

# The old primary is made a standby of the new one: pg_rewind takes its mark away.
my $home = $primary->data_dir . '/pg_replslot/whatsapp_shared.home';
ok(-e $home, 'the old primary has its mark');
$primary->start;
$primary->stop;
command_ok([ 'pg_rewind', '-D', $primary->data_dir, '--source-server', $standby->connstr('postgres'), '--no-sync' ], 'pg_rewind');
ok(!-e $home, 'it has none after pg_rewind');
$primary->append_conf('postgresql.conf', 'port = ' . $primary->port);
$primary->enable_streaming($standby);
$primary->start;
$standby->wait_for_catchup($primary);
note_is_there($primary);

# And back again, the planned way.
@ids = enqueue_some($standby);
$standby->wait_for_catchup($primary);
$standby->stop;
$primary->promote;
is_at_home($primary, 'after a switch-over the first server sends again', @ids);
sent_once($sim, 'switch-over', @ids);

# ---- point in time -------------------------------------------------------------------------

# Recovery from a backup ends with a new timeline, too, but nothing was followed.
@ids = enqueue_some($primary);
$primary->backup('restored');
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($primary, 'restored', has_restoring => 0);
$restored->append_conf('postgresql.conf', "restore_command = 'false'\nrecovery_target_action = 'promote'\nrecovery_target = 'immediate'");
append_to_file($restored->data_dir . '/recovery.signal', '');
$restored->start;
$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
is_silent($restored, qr/Its data directory is a copy/, 'a backup restored to a point in time');
is_at_home($primary, 'the original sends meanwhile', @ids);
sent_once($sim, 'point in time', @ids);

$restored->stop;
$primary->stop;
done_testing();
