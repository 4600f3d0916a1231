# Copies of a database: a standby is silent until it is promoted, a restored
# dump until wa_adopt() is called, and what the standby had not heard of is not
# sent again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of settled accepted_for
  deliver_webhooks invariants_hold);
use WaTest qw(new_node create_extension set_and_reload sender_pids wait_for_senders);

my ($primary, $sim) = new_delivery(
	'primary',
	simulator => ['--webhook-pull'],
	settings  => [ 'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on' ]);
$primary->append_conf('pg_hba.conf', 'local replication all trust');
$primary->reload;

# ---- standby ---------------------------------------------------------------------------

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
my $before = enqueue($primary, 't1', '+34611500001');
wait_status($primary, $before, 'accepted');
$primary->wait_for_catchup($standby);
is(scalar sender_pids($standby, 'postgres'), 0, 'a standby has no sender');

# The standby gets the message, but not what became of it.
set_and_reload($primary, enabled => 'off');
my $lost = enqueue($primary, 't1', '+34611500002');
$primary->wait_for_catchup($standby);
$standby->stop;
set_and_reload($primary, enabled => 'on');
wait_status($primary, $lost, 'accepted');
$primary->stop('immediate');

$standby->start;
$standby->promote;
wait_status($standby, $lost, 'uncertain', 'the promoted standby does not know whether it was sent');
deliver_webhooks($standby, $sim);
like(status_of($standby, $lost), qr/^(sent|delivered|read)$/, 'the webhook tells it otherwise');
my $next = enqueue($standby, 't1', '+34611500003');
wait_status($standby, $next, 'accepted', 'the promoted standby sends');
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'and nothing a second time');

# ---- dump and restore ---------------------------------------------------------------------

set_and_reload($standby, enabled => 'off');
my $waiting = enqueue($standby, 't2', '+34611500004');
my $dump = $standby->basedir . '/dump.sql';
$standby->command_ok([ 'pg_dump', '-f', $dump, '-d', $standby->connstr('postgres') ], 'pg_dump');

my $clone = new_node(
	'clone',
	'whatsapp_shared.enabled = on',
	"whatsapp_shared.access_token = 'SIMULATOR_TOKEN'",
	"whatsapp_shared.graph_url = '" . $sim->url . "'",
	'whatsapp_shared.sync_interval = 0');
$clone->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $clone->connstr('postgres') ],
	'restored elsewhere');
wait_for_senders($clone, 'postgres', 1);
is(status_of($clone, $waiting), 'queued', 'the messages are there');
my $new = enqueue($clone, 't2', '+34611500005');
$clone->wait_for_log(qr/belong to another installation/);
is(status_of($clone, $new), 'queued', 'but a copy does not send');
is( (split /\|/, $clone->safe_psql('postgres', "SELECT reason FROM wa_explain($new)"))[0],
	'clone_not_adopted',
	'and says why');
$clone->safe_psql('postgres', 'SELECT wa_adopt()');
wait_status($clone, $new, 'accepted', 'until it is told that it is the one');

$clone->stop;
$standby->stop;
done_testing();
