# What is leased ahead, and not begun yet when somebody stops the sending, goes back
# and does not leave.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery wait_for settled accepted_for invariants_hold);
use WaLoad qw(wait_until);
use WaTest qw(set_and_reload);

# Few requests on the wire, and several numbers, of which each gets half of what is left:
# then what is leased ahead begins where the wire is full.
my $in_flight = 16;
my $tenants = 6;
my $quick_ms = 5;
my $timeout_s = 600;
my ($node, $sim) = new_delivery(
	'put_back',
	tenants => $tenants,
	simulator => [ '--delay-ms' => $quick_ms ],
	settings => [
		"whatsapp_shared.max_in_flight = $in_flight",
		"whatsapp_shared.request_timeout = '${timeout_s}s'",
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

my $written = 0;
my $session = $node->background_psql('postgres');

# All that the sender has on the wire is at the simulator, which keeps it.
sub is_full
{
	return $sim->stats->{concurrent} == $in_flight
	  && $session->query_safe('SELECT sum(in_flight) FROM wa_stats()') == $in_flight;
}

# Many messages of all tenants are under way, the wire is full, and more are leased.  That
# is what leaves in the next moment, as measured by the answers: so the simulator gives them
# by the wireful, until there is something.
sub fill
{
	my $ahead;

	$sim->hold_answers;
	for my $wire (0 .. 1000)
	{
		if ($wire % 100 == 0)
		{
			$written += sql(<<"SQL");
SELECT count(wa_enqueue_message('t' || t, '+3461190' || lpad(i::text, 5, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, $tenants) AS t, generate_series(1, 300) AS i
SQL
		}
		wait_until(\&is_full) or die 'the wire does not fill';
		$ahead = $session->query_safe($OUTSTANDING) - $in_flight;
		last if $ahead > 0;
		$sim->advance_clock($quick_ms);
	}
	return cmp_ok($ahead, '>', 0, 'messages are leased ahead of a full wire');
}

# Stops them by a statement, and lets them go on by another.  The sender has taken notice
# of the former when this is true.
sub put_back
{
	my ($what, $stop, $noticed, $resume) = @_;
	my $requests;

	fill();
	$requests = sql('SELECT sum(requests) FROM wa_stats()');
	my $stopped = $stop->();
	wait_for($node, $noticed =~ s/:stopped/'$stopped'/r, "the sender takes notice: $what");
	$sim->answer($quick_ms);
	wait_for($node, 'SELECT NOT EXISTS (SELECT FROM whatsapp_leases)', 'what is on the wire is settled');
	is(sql('SELECT sum(requests) FROM wa_stats()'), $requests, "nothing leaves that was leased only: $what");
	is(sql(<<'SQL'), '0', 'and no attempt is counted');
SELECT count(*) FROM whatsapp_queue WHERE attempts > 0 OR state NOT IN ('r', 'h')
SQL
	$resume->();
	settled($node, 'all of it leaves when it may');
	return;
}

# If everything is stopped, all that is leased ahead goes back at once.
my $all_back = "SELECT ($OUTSTANDING) = $in_flight";

# If not, it goes back when there would be room for it; but the sender has read again what is stopped.
my $read_again = <<'SQL';
SELECT state = 'idle' AND query_start > :stopped FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'
SQL

# When this was done for all tenants, in one transaction.
sub done_for_all
{
	my ($statement) = @_;
	return (split /\n/, sql("SELECT $statement FROM generate_series(1, $tenants) AS i; SELECT clock_timestamp()"))[-1];
}

put_back(
	'the switch is off',
	sub { set_and_reload($node, enabled => 'off') },
	$all_back,
	sub { set_and_reload($node, enabled => 'on') });
put_back(
	'the account is paused',
	sub { sql("SELECT wa_pause('account')") },
	$all_back,
	sub { sql("SELECT wa_resume('account')") });
put_back(
	'the numbers are paused',
	sub { done_for_all("wa_pause('number', (100000000000000 + i)::text)") },
	$read_again,
	sub { done_for_all("wa_resume('number', (100000000000000 + i)::text)") });
put_back(
	'the tenants are paused',
	sub { done_for_all("wa_pause('tenant', 't' || i)") },
	$read_again,
	sub { done_for_all("wa_resume('tenant', 't' || i)") });
put_back(
	'the tenants are switched off',
	sub { done_for_all("wa_configure_tenant('t' || i, enabled => false)") },
	$read_again,
	sub { done_for_all("wa_configure_tenant('t' || i, enabled => true)") });

is(scalar(keys %{ accepted_for($sim) }), $written, 'everything has arrived');
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'and nothing twice');
is(sql('SELECT count(*) FROM whatsapp_messages WHERE attempts <> 1'), '0', 'at the first attempt');
$session->quit;
invariants_hold($node);
$node->stop;
done_testing();
