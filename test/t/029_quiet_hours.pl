# Nothing leaves in a tenant's quiet hours, whatever it had to wait for before
# they began; what is urgent does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status invariants_hold);
use WaTest qw(set_and_reload);

# It is retried until the quiet hours have come.
my ($node, $sim) = new_delivery('quiet', tenants => 2, settings => ['whatsapp_shared.max_attempts = 100']);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# From an hour ago until in an hour.
my $quiet = <<'SQL';
quiet_from => (now() AT TIME ZONE 'UTC' - interval '1 hour')::time, quiet_to => (now() AT TIME ZONE 'UTC' + interval '1 hour')::time, time_zone => 'UTC'
SQL

# A retry that comes due in quiet hours.
$sim->faults({ match => { recipient => '34613000001' }, code => 131016, status => 500 });
my $retried = enqueue($node, 't1', '+34613000001');
wait_for($node, "SELECT count(*) > 0 FROM whatsapp_attempts WHERE message_id = $retried", 'attempts fail');
sql("SELECT wa_configure_tenant('t1', $quiet)");
wait_for($node, "SELECT hold_reason = 'quiet_hours' FROM whatsapp_queue WHERE message_id = $retried",
	'the next one falls into the quiet hours, and waits');
is(sql("SELECT reason || ' ' || (earliest > now() + interval '50 min') FROM wa_explain($retried)"),
	'quiet_hours true', 'wa_explain says until when');

$sim->faults;

# A backlog.
sql(q{SELECT wa_pause('tenant', 't2', 'the test')});
my $waiting = enqueue($node, 't2', '+34613000002');
my $urgent = sql(q{SELECT wa_enqueue_message('t2', '+34613000003', 'aviso', '["hola"]', priority => 100)});
sql("SELECT wa_configure_tenant('t2', $quiet)");
sql(q{SELECT wa_resume('tenant', 't2')});
wait_status($node, $urgent, 'accepted', 'a pause ends in quiet hours: what is urgent leaves');
is(sql("SELECT reason FROM wa_explain($waiting)"), 'quiet_hours', 'the rest waits');

is(scalar(grep { $_->{to} =~ /^\+?3461300000[12]$/ } $sim->accepted), 0, 'nothing has reached anybody');
sql(q{SELECT wa_configure_tenant('t1', reset => '{quiet_hours}'), wa_configure_tenant('t2', reset => '{quiet_hours}')});
wait_status($node, $_, 'accepted', 'the quiet hours are over, and it leaves') foreach $retried, $waiting;

# A backlog that lasts beyond their beginning.  Twice: the sweep, which finds
# what is ready in quiet hours, comes every 30 seconds, and not in time for both.
set_and_reload($node, messages_per_second => 5);
my %begin;
my $delay = 3;
foreach my $tenant (qw(t1 t2))
{
	sql("SELECT wa_enqueue_message('$tenant', '+34614' || i, 'aviso', '[\"hola\"]') FROM generate_series(100001, 100150) AS i");
	$begin{$tenant} = sql(<<"SQL");
SELECT b.at
FROM (SELECT clock_timestamp() + interval '$delay s' OFFSET 0) AS b (at),
    wa_configure_tenant('$tenant', quiet_from => (b.at AT TIME ZONE 'UTC')::time,
        quiet_to => (b.at AT TIME ZONE 'UTC' + interval '1 hour')::time, time_zone => 'UTC') AS t
SQL
	$delay += 6;
}
foreach my $tenant (qw(t1 t2))
{
	wait_for($node, <<"SQL", "when the quiet hours of $tenant begin, what is left of its backlog waits");
SELECT count(*) > 0 AND bool_and(q.hold_reason IS NOT DISTINCT FROM 'quiet_hours')
FROM whatsapp_queue AS q JOIN whatsapp_messages AS m ON m.id = q.message_id WHERE m.tenant_id = '$tenant'
SQL
	my $backlog = "FROM whatsapp_messages WHERE tenant_id = '$tenant' AND recipient_phone LIKE '+34614%'";
	cmp_ok(sql("SELECT count(*) $backlog AND accepted_at < '$begin{$tenant}'"), '>', 0, 'the first part has left');
	is(sql("SELECT count(*) $backlog AND accepted_at > timestamptz '$begin{$tenant}' + interval '2 s'"),
		0, 'and nothing did afterwards');
}

invariants_hold($node);
$node->stop;
done_testing();
