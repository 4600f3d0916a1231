# A promoted standby with several senders: one that begins before sender 0 has taken
# over has not ended what its predecessor had on the wire, and so it sends nothing when
# it hears of that, but leaves it to a new process.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WaDelivery qw(new_delivery enqueue wait_for wait_status accepted_for invariants_hold);
use WaLoad qw(patience);
use WaTest qw(set_and_reload wait_for_senders);

my $tenants = 8;
my ($old, $sim) = new_delivery('old', tenants => $tenants, settings => [
	'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on', 'wal_keep_size = 64MB', 'max_prepared_transactions = 2' ]);
$old->append_conf('pg_hba.conf', 'local replication all trust');
set_and_reload($old, senders => 2);
wait_for_senders($old, 'postgres', 2);

my $new = PostgreSQL::Test::Cluster->new('new');
$old->backup('new');
$new->init_from_backup($old, 'new', has_streaming => 1);
$new->start;
$old->wait_for_catchup($new);
my $deadline = time + patience();
sleep 0.05 until -e $new->data_dir . '/pg_replslot/whatsapp_shared.standby' || time > $deadline;
$old->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = '*'});
$old->reload;
wait_for($old, 'SELECT synchronous FROM whatsapp_home', 'requests wait for the standby');

# Meta accepts what is on the wire, and its answers do not come any more.
$sim->faults({ match => {}, reply => 'hang', accept => \1 });
my @ids = map { enqueue($old, "t$_", "+3461000000$_") } 1 .. $tenants;
wait_for($old, "SELECT count(*) = $tenants FROM whatsapp_leases, unnest(message_ids)", 'all are leased');
cmp_ok($old->safe_psql('postgres', 'SELECT count(*) FROM whatsapp_leases, unnest(message_ids) WHERE sender = 1'), '>', 0, 'some by sender 1');
$deadline = time + patience();
sleep 0.02 until $sim->stats->{accepted} >= $tenants || time > $deadline;

# This keeps the new sender 0 from taking over for a while.
$old->safe_psql('postgres', q{BEGIN; LOCK TABLE whatsapp_home IN SHARE MODE; PREPARE TRANSACTION 'somebody'});
$old->stop('immediate');
$new->promote;
$new->wait_for_log(qr/sender 1: it sends nothing/);
$sim->faults;
$new->safe_psql('postgres', q{ALTER SYSTEM RESET primary_conninfo});
$new->safe_psql('postgres', q{COMMIT PREPARED 'somebody'});
$new->wait_for_log(qr/takes over the sending/);
$new->wait_for_log(qr/sender_stop: .*sender 1: /);
like(slurp_file($new->logfile), qr/sender 1: it sent nothing/, 'sender 1 leaves the messages to a new one');

my @more = map { enqueue($new, "t$_", "+3462000000$_") } 1 .. $tenants;
wait_status($new, $_, 'accepted', 'a message of the new primary goes') foreach @more;
my $count = accepted_for($sim);
is_deeply([ grep { $count->{$_} != 1 } @ids, @more ], [], 'none has been sent twice');
wait_for($new, "SELECT bool_and(status = 'uncertain') FROM whatsapp_messages WHERE id IN (" . join(',', @ids) . ')',
	'what was on the wire is uncertain');
invariants_hold($new);

$new->stop;
done_testing();
