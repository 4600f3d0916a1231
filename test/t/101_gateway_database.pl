# The gateway while the database is slow, away, somebody else, and back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use IO::Select;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WaGateway;
use WaLoad qw(stopwatch wait_until);
use WaTest qw(create_extension new_node);

my $node = new_node('gateway_database', "whatsapp_shared.databases = ''", 'wal_level = replica', 'max_wal_senders = 5');
my $admin = '/api/v1/admin/whatsapp';

create_extension($node, 'postgres');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE done (key text, at timestamptz DEFAULT clock_timestamp());
GRANT ALL ON done TO PUBLIC;

CREATE OR REPLACE FUNCTION wa_gateway_timeline(request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF request -> 'query' ? 'wait' THEN
        PERFORM pg_advisory_xact_lock_shared(1);
    END IF;
    PERFORM pg_sleep((request #>> '{query,sleep}')::float8);
    status := 200;
    body := jsonb_build_object('pid', pg_backend_pid(), 'settings',
        (SELECT jsonb_object_agg(s.name, s.setting) FROM pg_settings AS s
         WHERE s.name IN ('statement_timeout', 'lock_timeout', 'default_transaction_isolation', 'application_name')));
END$$;

-- Fails when it is committed, if it is told so: after its row has been sent.
CREATE TABLE parents (key text PRIMARY KEY);
CREATE TABLE children (key text REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
GRANT ALL ON children TO PUBLIC;
CREATE OR REPLACE FUNCTION wa_gateway_enqueue(request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.done (key) VALUES (request->>'idempotency_key');
    IF request->'body' ? 'orphan' THEN
        INSERT INTO public.children VALUES ('nobody');
    END IF;
    PERFORM pg_sleep((request #>> '{body,sleep}')::float8);
    status := 201;
    body := '{}';
END$$;
SQL
WaGateway->create_roles($node, 'postgres');
$node->safe_psql('postgres', "ALTER ROLE gateway_admin SET $_")
  foreach "default_transaction_isolation = 'serializable'", "statement_timeout = '1s'", "lock_timeout = '1ms'";

delete local $ENV{PGAPPNAME};
my $gateway = WaGateway->start($node,
	arguments => [ '--pool-size' => 2, '--queue-size' => 3, '--wait-ms' => 1500, '--statement-timeout-ms' => 8000 ]);

sub enqueue
{
	my ($key, %body) = @_;
	return $gateway->post('/api/v1/messages', \%body, headers => { 'idempotency-key' => $key });
}

# A request that does not wait for its response; returns the socket, and takes the response from it.
sub begin_request
{
	my ($path, $method, $body) = @_;
	my $socket = $gateway->connect;

	$method //= 'GET';
	$body //= '';
	print $socket "$method $path HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $WaGateway::TOKEN{admin}\r\nContent-Length: "
	  . length($body) . "\r\nContent-Type: application/json\r\nIdempotency-Key: begun\r\nConnection: close\r\n\r\n$body";
	$socket->flush;
	return $socket;
}

sub end_request
{
	my ($socket) = @_;
	my $answer = '';

	while (IO::Select->new($socket)->can_read(20) && sysread($socket, $answer, 65536, length $answer)) { }
	close $socket;
	return wantarray ? ($answer =~ m{^HTTP/1\.1 (\d+)}, $answer) : ($answer =~ m{^HTTP/1\.1 (\d+)})[0] // "nothing";
}

sub wait_for
{
	my ($what, $is) = @_;
	wait_until($is) or die "waited in vain for $what";
	return;
}

sub sessions
{
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'wa_gateway admin%'");
}

# Statements of this function that are being executed.
sub running
{
	my ($function) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%wa_gateway_$function%' AND state = 'active' AND pid <> pg_backend_pid()");
}

# Statements that have been told to wait do so until open_gate().
my $gate;

sub shut_gate
{
	$gate = $node->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(1)');
	return;
}

sub open_gate
{
	$gate->query_safe('SELECT pg_advisory_unlock(1)');
	$gate->quit;
	return;
}

subtest 'its sessions' => sub {
	my $settings = $gateway->get("$admin/timeline")->{json}{settings};

	is_deeply(
		$settings,
		{
			application_name => 'wa_gateway admin', default_transaction_isolation => 'read committed',
			lock_timeout => '0', statement_timeout => '8000'
		},
		'are what they must be, whatever the roles say');
	wait_for('two sessions', sub { sessions() == 2 });
	pass('as many as it was told');
};

subtest 'a failure at COMMIT' => sub {
	is(enqueue('whole')->{status}, 201, 'a change');
	my $reply = enqueue('orphan', orphan => 1);
	cmp_ok($reply->{status}, '>=', 400, 'one whose rows were sent before its COMMIT failed is no success');
	is($node->safe_psql('postgres', 'SELECT string_agg(key, $$ $$) FROM done'), 'whole', 'and was not done');
};

subtest 'more than it can do' => sub {
	shut_gate();
	my @busy = map { begin_request("$admin/timeline?wait=1") } 1 .. 2;
	wait_for('two statements', sub { running('timeline') == 2 });

	my @waiting = map { begin_request("$admin/timeline") } 1 .. 2;
	my $left = begin_request("$admin/timeline");
	usleep(200_000);
	my $began = stopwatch($gateway);
	my $reply = $gateway->get("$admin/timeline");
	is($reply->{status}, 503, 'what exceeds the queue');
	like($reply->{headers}{'retry-after'}, qr/^[1-4]$/, 'is told to come again');
	cmp_ok($began->seconds, '<', 1, 'at once');
	is($gateway->get('/healthz', token => undef)->{status}, 200, 'the gateway is there for others');

	# Who leaves makes room: then another one waits instead of being sent away.
	close $left;
	wait_for(
		'a place in the queue',
		sub {
			my $asked = time;
			$gateway->get("$admin/timeline");
			return time - $asked > 0.3;
		});
	pass('who has left is not waited for');
	is_deeply([ map { scalar end_request($_) } @waiting ], [ 503, 503 ], 'who has waited too long');
	open_gate();
	is_deeply([ map { scalar end_request($_) } @busy ], [ 200, 200 ], 'those who had begun are served');
	my ($gone) = grep { !$_->{sent} } $gateway->access_log;
	ok($gone, 'who has left meanwhile is not counted as served');
	cmp_ok($gone->{duration_ms}, '<', 1400, 'and was forgotten before his time was over');
};

subtest 'the database goes and comes' => sub {
	my $change = begin_request('/api/v1/messages', 'POST', '{"sleep": 5}');
	wait_for('a change in flight', sub { running('enqueue') == 1 });
	$node->stop('fast');
	my ($status, $answer) = end_request($change);
	is($status, 503, 'a change that it took along');
	like($answer, qr/not known whether|cannot do this now/, 'says so');

	my $began = stopwatch($gateway);
	my $reply = $gateway->get("$admin/timeline");
	is($reply->{status}, 503, 'nobody waits for ever');
	is($reply->{json}{title}, 'Service Unavailable', 'with a reason');
	cmp_ok($began->seconds, '<', 4, 'only for a while');
	$began = stopwatch($gateway);
	is($gateway->get("$admin/timeline")->{status}, 503, 'and when it has been away for that long');
	cmp_ok($began->seconds, '<', 0.5, 'not at all');
	is($gateway->get('/readyz', token => undef)->{status}, 503, 'it is not ready');
	is($gateway->get('/healthz', token => undef)->{status}, 200, 'but alive');

	my $attempts = () = $gateway->stderr =~ /^wa_gateway: database \(admin\)/mg;
	cmp_ok($attempts, '<=', 6, 'what is wrong is told once');

	$node->start;
	$began = stopwatch($gateway, $node);
	$gateway->wait_until_ready;
	cmp_ok($began->seconds, '<', 5, 'it is back soon after the database');
	is(enqueue('again')->{status}, 201, 'and works');
	wait_for('both sessions', sub { sessions() == 2 });
	pass('with all its sessions');
};

subtest 'a short interruption' => sub {
	my @codes;

	foreach (1 .. 5)
	{
		$node->safe_psql('postgres',
			"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'wa_gateway admin%'");
		push @codes, $gateway->get("$admin/timeline")->{status} foreach 1 .. 5;
	}
	is_deeply([ grep { $_ != 200 } @codes ], [], 'requests wait for the next connection, and nobody notices');

	# The same where they are being executed.
	shut_gate();
	my $socket = begin_request("$admin/timeline?wait=1");
	wait_for('a statement', sub { running('timeline') == 1 });
	$node->safe_psql('postgres',
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'wa_gateway admin%'");
	open_gate();
	is(end_request($socket), 200, 'what only reads is asked again');
};

subtest 'the extension goes and comes' => sub {
	$node->safe_psql('postgres', 'ALTER FUNCTION wa_gateway_timeline(jsonb) RENAME TO hidden');
	is($gateway->get("$admin/timeline")->{status}, 503, 'a function that is not there');
	$node->safe_psql('postgres', 'ALTER FUNCTION hidden(jsonb) RENAME TO wa_gateway_timeline');
	wait_for('the function', sub { $gateway->get("$admin/timeline")->{status} == 200 });
	pass('is found again');

	$node->safe_psql('postgres', 'CREATE DATABASE bare');
	my $bare = WaGateway->start($node, db => 'bare', wait => 0);
	is($bare->get('/readyz', token => undef)->{status}, 503, 'a database without the extension');
	wait_for('the reason', sub { $bare->stderr =~ /the extension whatsapp_shared is not installed in the database/ });
	pass('is the reason in the log');
	create_extension($node, 'bare');
	WaGateway->create_roles($node, 'bare');
	$bare->wait_until_ready;
	is($bare->get("$admin/health")->{status}, 200, 'it is ready when the extension is there');
	$node->safe_psql('bare', 'DROP EXTENSION whatsapp_shared; CREATE SCHEMA elsewhere AUTHORIZATION whatsapp');
	create_extension($node, 'bare', 'SCHEMA elsewhere');
	WaGateway->create_roles($node, 'bare');
	wait_for('the new place', sub { $bare->get("$admin/health")->{status} == 200 });
	pass('and when it is elsewhere');
};

subtest 'a standby, and a failover' => sub {
	$node->backup('copy');
	my $standby = PostgreSQL::Test::Cluster->new('gateway_standby');
	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	$standby->start;

	# One name for each host, as libpq reads it.
	my $both = sprintf 'host=%s,%s port=%d,%d dbname=postgres user=gateway_admin', $standby->host, $node->host, $standby->port, $node->port;
	my $pair = WaGateway->start(undef, database => $both, arguments => [ '--pool-size' => 2 ]);

	is($pair->get("$admin/timeline")->{status}, 200, 'the primary is found behind its standby');
	$node->stop('immediate');
	$standby->promote;
	my $began = stopwatch($pair, $standby);
	$pair->wait_until_ready;
	is($pair->get("$admin/timeline")->{status}, 200, 'so is the standby that has become one');
	cmp_ok($began->seconds, '<', 8, 'within seconds');
	is($pair->stop, 0, 'the end');
	$standby->stop('fast');
	$node->start;
	$gateway->wait_until_ready;
};

subtest 'a graceful end' => sub {
	shut_gate();
	my $socket = begin_request("$admin/timeline?wait=1");
	my $idle = $gateway->connect;
	wait_for('a statement', sub { running('timeline') == 1 });
	my $began = stopwatch($gateway, $node);
	kill 'TERM', $gateway->pid;
	open_gate();
	my ($status, $answer) = end_request($socket);
	is($status, 200, 'a request in flight is completed');
	like($answer, qr/^Connection: close\r$/m, 'the last one of its connection');
	is($gateway->stop, 0, 'then it ends');
	cmp_ok($began->seconds, '<', 5, 'without waiting for who has nothing to say');

	my $slow = WaGateway->start($node, arguments => [ '--stop-timeout-s' => 1 ]);
	$gateway = $slow;
	$socket = begin_request("$admin/timeline?sleep=7");
	wait_for('a statement', sub { running('timeline') == 1 });
	$began = stopwatch($slow, $node);
	is($slow->stop, 0, 'it does not wait for ever');
	cmp_ok($began->seconds, '<', 5, 'but as long as it was told');
};

done_testing();
