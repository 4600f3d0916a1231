# Outbox and sidecar under random kills -9 of either side, and failovers of the application's server, audited: what was
# committed is sent once, what was rolled back never.  make check-outbox-long
#
# OUTBOX_KILLS=200, OUTBOX_FAILOVERS=6 (every other one with lag), OUTBOX_SEED, OUTBOX_MEASURED=500

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t/lib", "$FindBin::RealBin/../lib";

use IO::Handle;
use IPC::Open3 ();
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);
use WaOutbox qw(new_pair sent_by_key distribution);
use WaTest qw(wait_for_senders);

my $kills = $ENV{OUTBOX_KILLS} // 200;
my $failovers = $ENV{OUTBOX_FAILOVERS} // 6;
my $measured = $ENV{OUTBOX_MEASURED} // 500;
my $seed = $ENV{OUTBOX_SEED} // time;
my %client;
srand $seed;
note("OUTBOX_SEED=$seed");

my ($application, $sidecar, $simulator) = new_pair(
	simulator => [ '--webhook-pull', '--log-memory' => 2_000_000 ],
	application => [ 'restart_after_crash = on', 'log_statement = none', 'max_wal_senders = 12', 'max_replication_slots = 12', 'wal_keep_size = 256MB' ],
	sidecar => [ 'whatsapp_shared.messages_per_second = 1000', 'whatsapp_shared.pair_burst = 1000', 'restart_after_crash = on', 'log_statement = none' ]);
wait_for_senders($sidecar, 'sidecar', 1);

# ---- the latency, in peace ---------------------------------------------------------------------------

# From the call, which is before COMMIT, to the moment at which Meta has read the request; both by one clock.
run_client('M', $measured);
$application->poll_query_until('app', 'SELECT count(*) = 0 FROM whatsapp_outbox.unanswered');
$sidecar->poll_query_until('sidecar', 'SELECT count(*) = 0 FROM whatsapp_queue');
my ($count, $time) = sent_by_key($sidecar, $simulator);
my %asked = map { split /\|/ } split /\n/, $application->safe_psql('app', 'SELECT key, extract(epoch FROM created_at) FROM whatsapp_outbox.outbox');
note('from the call to the wire, one message a transaction, one client: ', distribution(map { $time->{$_} - $asked{$_} } keys %$time));
open(my $load, '<', '/proc/loadavg');
note('load of the machine: ', scalar <$load>);

# ---- a client: transactions of one or two messages, a tenth rolled back ----------------------------------------

# A child process; what became of each reference goes into its file.  "committed" is written once psql has said so.
sub run_client
{
	my ($name, $transactions) = @_;
	my ($pid) = start_client($name, $transactions);
	waitpid $pid, 0;
	delete $client{$name};
	return;
}

sub start_client
{
	my ($name, $transactions) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/client_$name";
	my $pid = fork;
	die "fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		client($name, $transactions, $file);
		POSIX::_exit(0);
	}
	$client{$name} = { pid => $pid, file => $file };
	return ($pid, $file);
}

# Ends when its file "stop" is there.
sub client
{
	my ($name, $transactions, $file) = @_;
	open(my $out, '>>', $file) or die "$file: $!";
	$out->autoflush;
	$SIG{PIPE} = 'IGNORE';
	my $n = 0;
	while ($n < $transactions && !-e "$file.stop")
	{
		my $connstr = $application->connstr('app') . ' user=app connect_timeout=5';
		my $pid = IPC::Open3::open3(my $in, my $answer, undef, 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', $connstr);
		$in->autoflush;
		while ($n < $transactions && !-e "$file.stop")
		{
			my $reference = "$name-" . ++$n;
			my $end = $name ne 'M' && rand() < 0.1 ? 'ROLLBACK' : 'COMMIT';
			my $number = sprintf '+346%08d', rand 1e8;
			print $out "$reference begun\n";
			print $in "BEGIN; SELECT wa_enqueue_message('t" . (1 + int rand 3) . "', '$number', 'aviso', '[\"$reference\"]', reference => '$reference'); $end;\n\\echo ended $reference\n"
			  or last;
			my $ended = 0;
			while (my $line = <$answer>)
			{
				$ended = 1, last if $line eq "ended $reference\n";
			}
			last unless $ended;
			print $out $reference, $end eq 'COMMIT' ? " committed\n" : " rolledback\n";
			sleep($name eq 'M' ? 0.02 : 0.05);
		}
		close $in;
		waitpid $pid, 0;
		sleep 0.05;
	}
	return;
}

sub stop_clients
{
	foreach my $name (sort keys %client)
	{
		open(my $stop, '>', "$client{$name}{file}.stop") or die $!;
		close $stop;
	}
	waitpid delete($client{$_}{pid}), 0 foreach keys %client;
	my %fate;
	foreach my $file (map { $_->{file} } values %client)
	{
		/^(\S+) (\w+)$/ and $fate{$1} = $2 foreach split /\n/, slurp_file($file);
	}
	return %fate;
}

# ---- what keeps it going ----------------------------------------------------------------------------

sub quietly
{
	my ($node, $db, $sql) = @_;
	my $result;
	my $rc = eval { $node->psql($db, $sql, stdout => \$result, stderr => \my $ignored, timeout => 60) } // 1;
	return $rc == 0 ? $result : undef;
}

sub work { return quietly($sidecar, 'sidecar', "SET statement_timeout = '60s'; SELECT whatsapp_outbox.work()") }

sub webhooks
{
	my @posts = $simulator->all_webhooks;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/webhooks.sql";
	return 0 unless @posts;
	open(my $out, '>', $file) or die $!;
	while (my @some = splice @posts, 0, 100)
	{
		print $out 'SELECT count(*) FROM wa_webhook_ingest_many(ARRAY[', join(', ', map { "'\\x" . unpack('H*', $_->{body}) . "'" } @some),
		  ']::bytea[], ARRAY[', join(', ', map { "'$_->{signature}'" } @some), "]);\n";
	}
	close $out;
	# What a crash has interrupted is told again, as Meta does.
	for (1 .. 100)
	{
		my ($o, $e);
		return 1 if IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $sidecar->connstr('sidecar'), '-f', $file ], '<', \undef, '>', \$o, '2>', \$e);
		sleep 0.3;
	}
	die 'webhooks cannot be delivered';
}

sub start_again
{
	my ($node) = @_;
	for (1 .. 200)
	{
		# A start that failed takes the old file for a sign of life.
		undef $node->{_pid};
		return 1 if $node->start(fail_ok => 1);
		sleep 0.3;
	}
	die $node->name . ' does not start';
}

# Until every row has a result, nothing waits, and what is uncertain has been settled by its report.
sub settle
{
	my $deadline = time + 900;
	while (time < $deadline)
	{
		work();
		webhooks();
		my $waiting = quietly($application, 'app', 'SELECT count(*) FROM whatsapp_outbox.unanswered');
		my $queued = quietly($sidecar, 'sidecar', q{SELECT count(*) FROM whatsapp_queue WHERE state <> 'u'});
		my $leases = quietly($sidecar, 'sidecar', q{SELECT count(*) FROM whatsapp_leases});
		last if defined $waiting && defined $queued && defined $leases && $waiting + $queued + $leases == 0;
		sleep 1;
	}
	webhooks() while $simulator->all_webhooks;
	# No report has come, and none will: the request was never read.  A person who knows that says so.
	my $parked = quietly($sidecar, 'sidecar', q{SELECT count(*) FROM whatsapp_messages WHERE status = 'uncertain'}) // 'unknown';
	note("uncertain without a report: $parked");
	quietly($sidecar, 'sidecar', q{SELECT wa_resolve_message(id, 'resend') FROM whatsapp_messages WHERE status = 'uncertain'});
	$sidecar->poll_query_until('sidecar', 'SELECT count(*) = 0 FROM whatsapp_queue') or diag('something waits');
	return;
}

# What reached people, by reference.
sub sent
{
	my %sent;
	foreach my $record ($simulator->accepted)
	{
		my $text = $record->{message}{template}{components}[0]{parameters}[0]{text} // next;
		$sent{$text}++;
	}
	return %sent;
}

# ---- kills -----------------------------------------------------------------------------------------------------

if ($kills > 0)
{
	start_client("K$_", 1e9) foreach 1, 2;
	my %killed;
	for my $n (1 .. $kills)
	{
		sleep 0.2 + rand 0.8;
		my $node = rand() < 0.5 ? $application : $sidecar;
		if (rand() < 0.4)
		{
			$killed{ $node->name . ' whole' }++;
			$node->kill9;
			sleep rand 1;
			start_again($node);
		}
		else
		{
			my $type = $node == $application ? [ 'walsender', 'client backend', 'logical replication worker' ]->[rand 3]
			  : [ 'logical replication worker', 'whatsapp_shared sender', 'walsender' ]->[rand 3];
			my $pid = quietly($node, 'postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1");
			redo unless $pid;
			$killed{ $node->name . " $type" }++;
			kill 'KILL', $pid;
			quietly($node, 'postgres', 'SELECT 1') or sleep 0.1 for 1 .. 3;
		}
		work() if $n % 5 == 0;
		webhooks() if $n % 10 == 0;
		diag("$n kills") if $n % 10 == 0;
	}
	my %fate = stop_clients();
	settle();
	my %sent = sent();
	my %row = map { $_ => 1 } split /\n/, $application->safe_psql('app', q{SELECT args ->> 'reference' FROM whatsapp_outbox.outbox});
	my %n;
	$n{$_}++ foreach values %fate;
	note('kills: ', join ', ', map { "$_ $killed{$_}" } sort keys %killed);
	note('transactions: ', join ', ', map { "$n{$_} $_" } sort keys %n);
	my @reference = grep { /^K/ } keys %fate;
	is(scalar(grep { $fate{$_} eq 'committed' && !$sent{$_} } @reference), 0, 'nothing committed was lost');
	is(scalar(grep { $_ > 1 } values %sent), 0, 'nothing was sent twice');
	is(scalar(grep { $fate{$_} eq 'rolledback' && $sent{$_} } @reference), 0, 'nothing rolled back was sent');
	is(scalar(grep { !!$row{$_} ne !!$sent{$_} } @reference), 0, 'what was interrupted was sent if it had been committed');
	is($application->safe_psql('app', q{SELECT count(*) FROM whatsapp_messages WHERE status NOT IN ('accepted', 'sent', 'delivered', 'read')}), 0,
		'and the application knows of each');
	note('left out by replication and taken later: ', $sidecar->safe_psql('sidecar', 'SELECT reconciled FROM whatsapp_outbox.work_state'));
}

# ---- failovers ---------------------------------------------------------------------------------------------------

# The endpoint of the service names the new primary.
sub point_to
{
	my ($node) = @_;
	my ($host, $port) = ($node->host, $node->port);
	$sidecar->safe_psql('sidecar', "ALTER SERVER whatsapp_publisher OPTIONS (SET host '$host', SET port '$port')");
	$sidecar->safe_psql('sidecar', "ALTER SUBSCRIPTION $_ CONNECTION 'host=$host port=$port dbname=app user=sidecar connect_timeout=5'")
	  foreach qw(whatsapp_outbox whatsapp_outbox_bulk);
	return;
}

%client = ();
my (%lost_by_failover, $lagging);
for my $n (1 .. $failovers)
{
	my $lag = $n % 2 == 0;
	my $standby = PostgreSQL::Test::Cluster->new("standby$n", WaOutbox::plain_prefix() ? (install_path => WaOutbox::plain_prefix()) : ());
	$application->backup("for$n");
	$standby->init_from_backup($application, "for$n", has_streaming => 1);
	$standby->start;
	start_client("F$n", 1e9);
	sleep 3;
	if ($lag)
	{
		# What is committed from here on, the standby never hears of.
		$standby->stop;
		sleep 2;
	}
	my %fate = do { my %f = stop_clients(); %client = (); %f };
	$application->wait_for_catchup($standby) unless $lag;
	$application->kill9;
	$standby->start if $lag;
	$standby->promote;
	my %row = map { $_ => 1 } split /\n/, $standby->safe_psql('app', q{SELECT args ->> 'reference' FROM whatsapp_outbox.outbox});
	my @lost = grep { $fate{$_} eq 'committed' && !$row{$_} } keys %fate;
	is(scalar @lost, 0, "failover $n without lag loses no row") unless $lag;
	cmp_ok(scalar @lost, '>', 0, "failover $n with lag loses rows") if $lag;
	$lost_by_failover{$_} = 1 foreach @lost;
	$application = $standby;
	start_client("G$n", 1e9);
	sleep 1;
	# The service has made the slot anew, or its operator; until then, and below the lost end, nothing is replicated.
	$application->safe_psql('app', "SELECT pg_create_logical_replication_slot('$_', 'pgoutput')") foreach qw(whatsapp_outbox whatsapp_outbox_bulk);
	point_to($application);
	sleep 2;
	stop_clients();
	%client = ();
	settle();
}
if ($failovers > 0)
{
	my %sent = sent();
	my %row = map { $_ => 1 } split /\n/, $application->safe_psql('app', q{SELECT args ->> 'reference' FROM whatsapp_outbox.outbox});
	is(scalar(grep { !$sent{$_} } keys %row), 0, 'failovers: every row that the last primary has was sent');
	is(scalar(grep { $_ > 1 } values %sent), 0, 'none twice');
	note(scalar(keys %row), ' rows; lost by failovers with lag: ', scalar(keys %lost_by_failover), ', of which sent before: ',
		scalar(grep { $sent{$_} } keys %lost_by_failover), '; left out by replication and taken later: ',
		$sidecar->safe_psql('sidecar', 'SELECT reconciled FROM whatsapp_outbox.work_state'));
}

$sidecar->stop('immediate');
$application->stop('immediate');
done_testing();
