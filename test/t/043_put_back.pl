# What is leased ahead, and not begun yet when somebody stops the sending, goes back
# and does not leave.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery wait_for settled accepted_for invariants_hold);
use WaTest qw(set_and_reload);

# Few requests on the wire, and quick answers: then there is always something leased ahead,
# also of one number, which may have half of all.
my $in_flight = 16;
my $quick_ms = 5;
my $slow_ms = 2000;
my ($node, $sim) = new_delivery(
	'put_back',
	simulator => [ '--delay-ms' => $quick_ms ],
	settings => [
		"whatsapp_shared.max_in_flight = $in_flight",
		'whatsapp_shared.messages_per_second = 2000'
	]);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

my $OUTSTANDING = <<'SQL';
SELECT count(*) FROM whatsapp_leases AS l
    CROSS JOIN LATERAL unnest(l.message_ids, l.attempts) AS x (id, attempt)
    JOIN whatsapp_queue AS q ON q.message_id = x.id AND q.attempts < x.attempt
SQL

# Many messages of this tenant are under way, the wire is full, and more are leased.
sub fill
{
	my ($tenant) = @_;
	my $before = sql('SELECT sum(requests) FROM wa_stats()');

	$sim->config(delay_ms => $quick_ms);
	sql(<<"SQL");
SELECT count(wa_enqueue_message('$tenant', '+3461190' || lpad(i::text, 5, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, 2000) AS i
SQL
	$node->poll_query_until('postgres', "SELECT sum(requests) > $before + 200 FROM wa_stats()");
	$sim->config(delay_ms => $slow_ms);

	# Full of slow ones: the last quick answer came long since.
	return wait_for($node,
		<<"SQL", "messages of $tenant are leased ahead of a full wire");
SELECT sum(in_flight) = $in_flight AND ($OUTSTANDING) > $in_flight
    AND (SELECT max(accepted_at) < clock_timestamp() - interval '0.5 s' FROM whatsapp_messages)
FROM wa_stats()
SQL
}

# Stops them by a statement, and lets them go on by another.
sub put_back
{
	my ($what, $tenant, $stop, $resume) = @_;
	my $requests;

	fill($tenant);
	$requests = sql('SELECT sum(requests) FROM wa_stats()');
	$stop->();
	wait_for($node, 'SELECT NOT EXISTS (SELECT FROM whatsapp_leases)', 'what is on the wire is settled');
	is(sql('SELECT sum(requests) FROM wa_stats()'), $requests, "nothing leaves that was leased only: $what");
	is(sql(<<'SQL'), '0', 'and no attempt is counted');
SELECT count(*) FROM whatsapp_queue WHERE attempts > 0 OR state NOT IN ('r', 'h')
SQL
	$sim->config(delay_ms => 0);
	$resume->();
	settled($node, 'all of it leaves when it may');
	return;
}

put_back(
	'the switch is off', 't1',
	sub { set_and_reload($node, enabled => 'off') },
	sub { set_and_reload($node, enabled => 'on') });
put_back(
	'the account is paused', 't1',
	sub { sql("SELECT wa_pause('account')") },
	sub { sql("SELECT wa_resume('account')") });
put_back(
	'the number is paused', 't1',
	sub { sql("SELECT wa_pause('number', '100000000000001')") },
	sub { sql("SELECT wa_resume('number', '100000000000001')") });
put_back(
	'the tenant is paused', 't2',
	sub { sql("SELECT wa_pause('tenant', 't2')") },
	sub { sql("SELECT wa_resume('tenant', 't2')") });
put_back(
	'the tenant is switched off', 't3',
	sub { sql("SELECT FROM wa_configure_tenant('t3', enabled => false)") },
	sub { sql("SELECT FROM wa_configure_tenant('t3', enabled => true)") });

is(scalar(keys %{ accepted_for($sim) }), 10000, 'everything has arrived');
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'and nothing twice');
is(sql('SELECT count(*) FROM whatsapp_messages WHERE attempts <> 1'), '0', 'at the first attempt');
invariants_hold($node);
$node->stop;
done_testing();
