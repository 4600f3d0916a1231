# What others have stored for connections to the database, and locks that they
# take, are nothing to a sender.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_status);
use WaTest qw(sender_pids);

my ($node, $sim) = new_delivery('foreign_settings', settings => [ "work_mem = '3MB'" ]);

# What the owner of a database may store, and what a superuser may.
my %by_owner = (
	role => 'mallory',
	search_path => 'evil, pg_catalog, public',
	statement_timeout => '1ms',
	default_transaction_read_only => 'on',
	default_transaction_isolation => 'serializable',
	exit_on_error => 'on',
	row_security => 'on',
	synchronous_commit => 'off',
	transform_null_equals => 'on',
	work_mem => '64kB',
	jit => 'on',
	datestyle => 'German, DMY',
	timezone => 'Pacific/Apia',
	array_nulls => 'off',
	'plpgsql.variable_conflict' => 'use_variable');
my %by_superuser = (session_replication_role => 'replica', session_authorization => 'mallory');

# Every settlement writes down what it runs under.
my $names = join ', ', map { "'$_'" } grep { !/^(?:search_path|session_authorization)$/ } sort keys %by_owner, keys %by_superuser;
$node->safe_psql(
	'postgres', <<"SQL");
CREATE ROLE mallory LOGIN;
CREATE TABLE public.seen (name text, value text, who name, session name);
GRANT INSERT ON public.seen TO PUBLIC;
CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS \$\$
BEGIN
    INSERT INTO public.seen SELECT n, current_setting(n), current_user, session_user
    FROM unnest(ARRAY[$names]) AS n;
    RETURN NULL;
END\$\$;
CREATE TRIGGER look AFTER UPDATE ON whatsapp_messages
    FOR EACH ROW WHEN (NEW.status = 'accepted') EXECUTE FUNCTION public.look();
ALTER TABLE whatsapp_messages ENABLE ALWAYS TRIGGER look;
ALTER SCHEMA public OWNER TO postgres;
ALTER DATABASE postgres OWNER TO mallory;
SQL

my $others = 'SELECT * FROM public.seen ORDER BY name';

sub seen_by_a_sender
{
	my ($what) = @_;

	$node->safe_psql('postgres', 'TRUNCATE public.seen');
	wait_status($node, enqueue($node, 't1', '+34600100200'), 'accepted', "a message is sent $what");
	return $node->safe_psql('postgres', $others);
}

my $before = seen_by_a_sender('at first');
isnt($before, '', 'and settings are written down');

# The test's own sessions are not to follow them.
local $ENV{PGOPTIONS} = join ' ', '-c role=none -c statement_timeout=0 -c search_path=public',
  '-c default_transaction_read_only=off -c session_replication_role=origin -c datestyle=ISO',
  '-c exit_on_error=off -c synchronous_commit=on';

sub start_anew
{
	my ($pid) = sender_pids($node, 'postgres');

	$node->safe_psql('postgres', 'SELECT wa_worker_restart()');
	$node->poll_query_until('template1',
		"SELECT count(*) = 1 FROM pg_stat_activity
		 WHERE backend_type = 'whatsapp_shared sender' AND datname = 'postgres' AND pid <> $pid")
	  or die 'no new sender';
	return;
}

foreach my $name (sort keys %by_owner)
{
	next if $name =~ /^plpgsql/;
	$node->safe_psql('template1', "SET ROLE mallory; ALTER DATABASE postgres SET $name = $by_owner{$name}")
	  if $name eq 'search_path';
	$node->safe_psql('template1', "SET ROLE mallory; ALTER DATABASE postgres SET $name = '$by_owner{$name}'")
	  if $name ne 'search_path';
}
start_anew();
is(seen_by_a_sender('whatever ALTER DATABASE has stored'), $before, 'and nothing of it counts');

$node->safe_psql('template1', "SET ROLE mallory; ALTER DATABASE postgres RESET ALL");
$node->safe_psql('template1', "SET ROLE mallory; ALTER ROLE ALL IN DATABASE postgres SET role = 'mallory'");
foreach my $name (sort keys %by_superuser)
{
	$node->safe_psql('template1', "ALTER ROLE ALL SET $name = '$by_superuser{$name}'");
}
$node->safe_psql('template1', "ALTER DATABASE postgres SET plpgsql.variable_conflict = 'use_variable'");
start_anew();
is(seen_by_a_sender('whatever ALTER ROLE ALL has stored'), $before, 'and nothing of it counts');

# A reload follows the configuration file, and brings none of that back.
$node->append_conf('postgresql.conf', "work_mem = '5MB'");
$node->safe_psql('template1', "ALTER DATABASE postgres SET work_mem = '64kB'");
start_anew();
$node->append_conf('postgresql.conf', "work_mem = '7MB'");
$node->reload;
my $expected = $before =~ s/^work_mem\|3MB/work_mem|7MB/mr;
my $seen;
foreach my $try (1 .. 50)
{
	$seen = seen_by_a_sender("after a reload ($try)");
	last if $seen eq $expected;
}
is($seen, $expected, 'a reload reaches the sender, and nothing else');

$node->safe_psql('template1', "ALTER ROLE ALL RESET ALL; ALTER DATABASE postgres RESET ALL;
	ALTER ROLE ALL IN DATABASE postgres RESET ALL");

# ---- locks that anybody can take ------------------------------------------------------

# All advisory locks that could be meant, in the ways there are to take one.
my $class = hex '57415348';
delete $ENV{PGOPTIONS};
my $session = $node->background_psql('postgres', extra_params => [ '-U', 'mallory' ]);
$session->query_safe("SELECT pg_advisory_lock($class, i) FROM generate_series(0, 7) AS i");
$session->query_safe("SELECT pg_advisory_lock((${class}::bigint << 32) + i) FROM generate_series(0, 7) AS i");
start_anew();
seen_by_a_sender('with every advisory lock taken by somebody');
$session->quit;

# The lock is there all the same: one sender of an index at a time.
is( $node->safe_psql(
		'postgres', "SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
		 WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted
		 AND a.backend_type = 'whatsapp_shared sender'"),
	'1',
	'a sender holds a lock');

$node->stop;
done_testing();
