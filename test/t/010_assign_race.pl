# Assignments under concurrency: 64 sessions at once want the same number, the
# same tenant, or any free number; and a crowd assigns and releases at random.
# The sessions queue up behind a lock that is let go when all of them wait for
# it, so that they start together.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension new_node);

my $SESSIONS = 64;
my $GATE = 4711;

my $node = new_node('race', 'max_connections = 100', "whatsapp_shared.databases = ''");
create_extension($node, 'postgres');
my $connection = $node->connstr('postgres');

# Runs the statements at the same time, each in a session of its own; returns
# what each wrote to its standard output and standard error.
sub race
{
	my (@statements) = @_;
	my (@harnesses, @out, @err);
	my $gate = $node->background_psql('postgres');

	$gate->query_safe("SELECT pg_advisory_lock($GATE)");
	foreach my $i (0 .. $#statements)
	{
		push @harnesses,
		  IPC::Run::start(
			[
				qw(psql -X -A -t -q -v VERBOSITY=verbose -d),
				$connection,
				'-c' => 'SET client_min_messages = warning',
				'-c' => "DO 'BEGIN PERFORM pg_advisory_lock_shared($GATE); END'",
				'-c' => $statements[$i]
			],
			'<' => \undef,
			'>' => \$out[$i],
			'2>' => \$err[$i]);
	}
	my $waiting = 'SELECT count(*) = ' . @statements
	  . " FROM pg_locks WHERE locktype = 'advisory' AND objid = $GATE AND NOT granted";
	$node->poll_query_until('postgres', $waiting) or die 'the sessions did not queue up';
	$gate->quit;
	$_->finish foreach @harnesses;
	return map { { out => $out[$_], err => $err[$_] } } 0 .. $#statements;
}

my $overlaps = q{SELECT count(*) FROM whatsapp_phone_assignments a JOIN whatsapp_phone_assignments b
	ON a.assignment_id < b.assignment_id AND (a.phone_number_id = b.phone_number_id OR a.tenant_id = b.tenant_id)
	WHERE tstzrange(a.assigned_at, a.unassigned_at) && tstzrange(b.assigned_at, b.unassigned_at)};

# ---- one number, 64 tenants ------------------------------------------------------

my @results = race(map { "SELECT tenant_id FROM wa_assign_phone('tenant $_', '100000000000001');" } 1 .. $SESSIONS);
my @winners = grep { $_->{err} eq '' } @results;
is(scalar @winners, 1, 'one of 64 sessions gets the number');
my $holder = $winners[0]{out};
chomp $holder;
like($holder, qr/^tenant \d+$/, 'and is told so');

my @refused = grep {
	     $_->{err} =~ /ERROR:  23505: phone number "100000000000001" is already assigned/
	  && $_->{err} =~ /DETAIL:  It is assigned to tenant "\Q$holder\E"\./
	  && $_->{err} =~ /HINT:  .*wa_unassign_phone\('\Q$holder\E'\)/
} @results;
is(scalar @refused, $SESSIONS - 1, 'the others are told who has it');
is($node->safe_psql('postgres', 'SELECT tenant_id FROM whatsapp_phone_assignments WHERE unassigned_at IS NULL'),
	$holder, 'the table says the same');
is($node->safe_psql('postgres', 'SELECT count(*) FROM whatsapp_tenants'), 1, 'the losers left no tenants behind');

# ---- one tenant, 64 numbers --------------------------------------------------------

@results = race(map { sprintf q{SELECT phone_number_id FROM wa_assign_phone('greedy', '2000000000000%02d');}, $_ } 1 .. $SESSIONS);
@winners = grep { $_->{err} eq '' } @results;
is(scalar @winners, 1, 'a tenant that asks for 64 numbers gets one');
@refused = grep { $_->{err} =~ /ERROR:  23505: tenant "greedy" already has a phone number/ } @results;
is(scalar @refused, $SESSIONS - 1, 'and is refused the others');

# ---- 64 tenants, 64 free numbers ---------------------------------------------------

$node->safe_psql('postgres', q{
	UPDATE whatsapp_phone_numbers SET status = 'PENDING';
	INSERT INTO whatsapp_phone_numbers (phone_number_id, status) SELECT 300000000000000 + i, 'CONNECTED' FROM generate_series(1, 64) AS i});
@results = race(map { "SELECT phone_number_id FROM wa_assign_phone('free $_');" } 1 .. $SESSIONS);
is(scalar(grep { $_->{err} eq '' } @results), $SESSIONS, '64 tenants get a free number each')
  or diag((grep { $_ ne '' } map { $_->{err} } @results)[0]);
my %distinct = map { $_->{out} => 1 } @results;
is(scalar keys %distinct, $SESSIONS, 'all of them different');

# ---- a crowd ------------------------------------------------------------------------

$node->safe_psql('postgres', q{
	CREATE PROCEDURE churn(rounds integer) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1..rounds LOOP
			BEGIN
				CASE (random() * 4)::integer
				WHEN 0 THEN
					PERFORM wa_assign_phone('crowd ' || (random() * 6)::integer);
				WHEN 1, 2 THEN
					PERFORM wa_assign_phone('crowd ' || (random() * 6)::integer, (400000000000000 + (random() * 3)::integer)::text);
				ELSE
					PERFORM wa_unassign_phone('crowd ' || (random() * 6)::integer);
				END CASE;
			EXCEPTION WHEN unique_violation OR undefined_object OR configuration_limit_exceeded THEN
				NULL;
			END;
			COMMIT;
		END LOOP;
	END
	$$});
@results = race(map { 'CALL churn(100)' } 1 .. 16);
is(join('', map { $_->{err} } @results), '', 'assigning and releasing at random meets conflicts, and no deadlock');
is($node->safe_psql('postgres', $overlaps), 0, 'and leaves no two periods that overlap');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM whatsapp_phone_assignments WHERE tenant_id LIKE 'crowd%'}), '>', 50,
	'while much did happen');

$node->stop;
done_testing();
