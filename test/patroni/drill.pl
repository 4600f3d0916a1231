# The drill of docs/high-availability.md; run.sh prepares it.
#
# Three machines, whose configuration are the files of docs/high-availability/, but for
# paths and what only a drill has (drill.yml below).  Applications enqueue all the time,
# half of them through haproxy, half through libpq's list of hosts; the simulator is Meta
# and sends its webhooks to a gateway.  Each round is a kind of loss:
#
#   kill        kill -9 of the leader's Patroni and postmaster
#   partition   the leader is cut off from the others and from etcd; applications and Meta
#               still reach it, and it takes itself for the leader
#   switchover  somebody asks for it
#   stop        SIGSTOP for the leader's Patroni and postmaster: its other processes go on
#   freeze      the whole machine stands still, its watchdog with it, until another has
#               taken over; then it goes on as if nothing had happened
#
# WA_KINDS chooses some, WA_ROUNDS (3) how often each; after WA_SECONDS none begins any
# more.  WA_DCS=etcd3 with WA_WATCHDOG=off shows what the recipe excludes, and WA_STRICT=no
# what synchronous_mode_strict is for.

use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use WaClients;
use WaMachine;
use WaSimulator;

$| = 1;
my @kinds = split ' ', $ENV{WA_KINDS} // 'kill partition switchover stop freeze';
my $rounds = $ENV{WA_ROUNDS} // 3;
my $seconds = $ENV{WA_SECONDS} // 1e9;
my $patience = $ENV{PG_TEST_TIMEOUT_DEFAULT} // 180;
my ($prefix, $work) = @ENV{qw(PREFIX WORK)};
my $here = '10.77.0.100';
my $json = JSON::PP->new->utf8;
my $http = HTTP::Tiny->new(timeout => 2);
my $started = time;

sub contents
{
	my ($file) = @_;
	open(my $fh, '<', $file) or die "$file: $!";
	local $/;
	return scalar <$fh>;
}

sub write_file
{
	my ($file, $text) = @_;
	open(my $fh, '>', $file) or die "$file: $!";
	print $fh $text;
	close $fh or die "$file: $!";
	chmod 0600, $file;
	chown((getpwnam 'postgres')[2, 3], $file);
	return $file;
}

sub say_so { return note(sprintf '%7.1f  %s', time - $started, join '', @_) }

# ---- the machines ------------------------------------------------------------------------

WaMachine::make_bridge($here);
my @names = qw(node1 node2 node3);
my %machine;
write_file("$work/hosts", join '', "127.0.0.1 localhost\n", map { "10.77.0.$_ node$_\n" } 1 .. 3);
chmod 0755, $work;
chmod 0644, "$work/hosts";
WaMachine::run('mount', '--bind', "$work/hosts", '/etc/hosts');

my $simulator = WaSimulator->start('--listen' => "$here:8443", '--control' => '127.0.0.1:0', '--numbers' => 4,
	'--accept-any-template', '--log-memory' => 2_000_000, '--webhook-url' => 'http://127.0.0.1:8080/webhook',
	'--webhook-sent-ms' => 30, '--webhook-delivered-ms' => 100, '--webhook-read-ms' => 200,
	'--webhook-retry-ms' => 500, '--webhook-retry-max-ms' => 2000);

# NAME=value, as in the files for systemd, for this machine.
sub environment_of
{
	my ($file, $name) = @_;
	my %environment = contents("docs/high-availability/$file") =~ /^(\w+)=(.*)$/mg;
	foreach my $key (grep { !/CLUSTER$/ } keys %environment)
	{
		$environment{$key} =~ s/\bnode1\b/$name/g;
	}
	return %environment;
}

my $patroni_yml = contents('docs/high-availability/patroni.yml');
$patroni_yml =~ s/^etcd:/etcd3:/m if ($ENV{WA_DCS} // '') eq 'etcd3';
$patroni_yml =~ s/^( +synchronous_mode_strict:) true/$1 false/m if ($ENV{WA_STRICT} // '') eq 'no';
my $watchdog = ($ENV{WA_WATCHDOG} // 'on') ne 'off';
my %secret = (access_token => 'SIMULATOR_TOKEN', app_secret => 'SIMULATOR_APP_SECRET');

sub boot
{
	my ($name) = @_;
	my $machine = $machine{$name};
	my $dir = $machine->dir;

	$machine->start('etcd', { environment_of('etcd.conf', $name), ETCD_DATA_DIR => "$work/etcd/$name" }, 'etcd');
	$machine->start('patroni', { environment_of('patroni_env.conf', $name) }, '/usr/bin/patroni', "$dir/etc");
	return;
}

mkdir "$work/etcd" or die $!;
WaMachine::run('mount', '-t', 'tmpfs', 'tmpfs', "$work/etcd");
foreach my $i (1 .. 3)
{
	my $name = "node$i";
	my $dir = "$work/$name";
	foreach my $made ($dir, "$dir/etc", "$dir/socket", "$work/etcd/$name")
	{
		mkdir $made, 0700 or die "$made: $!";
		chown((getpwnam 'postgres')[2, 3], $made);
	}
	my $machine = $machine{$name} = WaMachine->new($name, "10.77.0.$i", $dir);
	$machine->forward(8443, "$here:8443");
	write_file("$dir/$_", "$secret{$_}\n") foreach keys %secret;
	write_file("$dir/etc/config.yml", $patroni_yml);
	my $device = $watchdog ? "  driver: testing\n  device: " . $machine->make_watchdog : '  mode: off';
	# Read after config.yml, and on top of it.
	write_file("$dir/etc/drill.yml", <<"YML");
postgresql:
  data_dir: $dir/data
  bin_dir: $prefix/bin
  pgpass: $dir/pgpass
  parameters:
    unix_socket_directories: $dir/socket
    whatsapp_shared.graph_url: http://127.0.0.1:8443
    whatsapp_shared.access_token_file: $dir/access_token
    whatsapp_shared.app_secret_file: $dir/app_secret
    whatsapp_shared.sync_interval: 0
    log_line_prefix: '%m [%p] %b '
    log_lock_waits: 'on'
    max_connections: 60
watchdog:
$device
YML
	boot($name);
}

# ---- looking at them ----------------------------------------------------------------------

# Until it returns something true, which is returned; meanwhile the watchdogs work.
sub until_true
{
	my ($what, $look, $seconds) = @_;
	my $deadline = time + ($seconds // $patience);

	while (1)
	{
		watch();
		my $result = $look->();
		return $result if $result;
		if (time > $deadline)
		{
			diag("waited in vain: $what");
			return;
		}
		sleep 0.4;
	}
	return;
}

my %reset_at;
sub watch
{
	foreach my $name (@names)
	{
		next unless $machine{$name}->watch;
		$reset_at{$name} = time;
		say_so("the watchdog resets $name");
	}
	return;
}

# The members, as the first of these machines' Patroni knows them; by their names.
sub members
{
	my (@of) = @_;
	foreach my $name (@of)
	{
		my $response = $http->get("http://$name:8008/cluster");
		my $cluster = $response->{success} ? eval { $json->decode($response->{content}) } : undef;
		return { map { $_->{name} => $_ } @{ $cluster->{members} } } if $cluster;
	}
	return {};
}

sub leader
{
	my (@of) = @_;
	my $members = members(@of);
	my ($leader) = grep { ($members->{$_}{role} // '') eq 'leader' && ($members->{$_}{state} // '') eq 'running' } keys %$members;
	return $leader;
}

# A leader, and two standbys that stream from it, for one of which it waits.  What the
# members say of themselves may be old: a machine that has just woken up still says "running".
sub whole
{
	my $leader = leader(@names) or return 0;
	my $response = $http->get("http://$leader:8008/patroni");
	my $state = $response->{success} ? eval { $json->decode($response->{content}) } : undef;
	my @streaming = grep { $_->{state} eq 'streaming' } @{ $state->{replication} // [] };
	return @streaming == 2 && grep { $_->{sync_state} eq 'sync' } @streaming;
}

# Asks the server on this machine, as its administrator; undef if it does not answer in time.
sub ask
{
	my ($name, $sql, $database, $seconds) = @_;
	my $dir = $machine{$name}->dir;
	open(my $psql, '-|', qw(timeout -s KILL), $seconds // 10, qw(setpriv --reuid=postgres --regid=postgres --init-groups),
		"$prefix/bin/psql", qw(-X -A -t -q -v ON_ERROR_STOP=1 -h), "$dir/socket", '-d', $database // 'app', '-c', $sql) or die $!;
	local $/;
	my $answer = <$psql> // '';
	chomp $answer;
	return close($psql) ? $answer : undef;
}

# Of whoever leads, as soon as it answers.
sub ask_leader
{
	my ($sql) = @_;
	my $answer;
	until_true("an answer to: $sql", sub {
		my $leader = leader(@names) or return 0;
		$answer = ask($leader, $sql);
		return defined $answer;
	});
	return $answer;
}

# ---- what an installation has -----------------------------------------------------------------

until_true('three machines, one of them synchronous', \&whole) or BAIL_OUT('the cluster does not come up');
say_so('the cluster is up');
my $leader = leader(@names);

# The document's own, with passwords.  The first statements are for the server, the rest for its database.
my $document = contents('docs/high-availability.md');
my ($in_server, $in_database) = $document =~ /^```sql\n(CREATE ROLE whatsapp .*?)^\\c app\n(.*?)^```$/ms or BAIL_OUT('the document does not set up a database');
$in_database =~ s/PASSWORD '[^']*'/PASSWORD 'drill'/g;
foreach my $statement ($in_server =~ /[^;]+;/g)
{
	defined ask($leader, $statement, 'postgres', $patience) or BAIL_OUT($statement);
}
defined ask($leader, <<"SQL", 'app', $patience) or BAIL_OUT('the extension cannot be installed');
SET client_min_messages = warning;
$in_database
CREATE ROLE app LOGIN PASSWORD 'drill';
SELECT wa_grant('app', 'sender');
CREATE TABLE purchase_order (reference text PRIMARY KEY, created_at timestamptz DEFAULT now());
GRANT INSERT ON purchase_order TO app;
SELECT FROM generate_series(1, 4) AS i, wa_assign_phone('t' || i, (100000000000000 + i)::text);
SQL

my $pgpass = "$work/pgpass";
open(my $passwords, '>', $pgpass) or die $!;
print $passwords "*:*:*:*:drill\n";
close $passwords;
chmod 0600, $pgpass;
$ENV{PGPASSFILE} = $pgpass;

# And its check, which must not be out of order: what it prints is an alarm.
my ($check) = $document =~ /^```sh\n(psql [^`]* wa_health\(\)[^`]*)^```$/m or BAIL_OUT('the document has no check');

sub alarms
{
	my $alarms = `$check 2>&1`;
	return $? == 0 ? $alarms : "it fails: $alarms";
}

my %service;
$service{haproxy} = WaMachine::spawn("$work/haproxy.log", 'haproxy', '-db', '-f', 'docs/high-availability/haproxy.cfg');
foreach my $file (qw(admin_token app_secret verify_token))
{
	open(my $fh, '>', "$work/$file") or die $!;
	print $fh $file eq 'app_secret' ? "$secret{app_secret}\n" : "0123456789012345678901234567890123456789\n";
	close $fh;
	chmod 0600, "$work/$file";
}
$service{gateway} = WaMachine::spawn("$work/gateway.log", WaSimulator->binary =~ s/simulator/gateway/gr,
	'--config' => 'docs/high-availability/wa_gateway.conf', '--admin-token-file' => "$work/admin_token",
	'--app-secret-file' => "$work/app_secret", '--verify-token-file' => "$work/verify_token");
until_true('the gateway is ready', sub { $http->get('http://127.0.0.1:8080/readyz')->{success} }) or BAIL_OUT(contents("$work/gateway.log"));

my $several = 'host=node1,node2,node3 target_session_attrs=read-write';
my $common = 'dbname=app user=app connect_timeout=2 tcp_user_timeout=4000 keepalives_idle=2 keepalives_interval=2 keepalives_count=2';
WaClients::start("$work/proxied$_", "host=127.0.0.1 $common") foreach 1 .. 2;
WaClients::start("$work/direct$_", "$several $common") foreach 1 .. 2;

# ---- the rounds -------------------------------------------------------------------------------

sub others { my ($name) = @_; return grep { $_ ne $name } @names }

my %lose = (
	kill => sub { my ($name) = @_; kill 'KILL', $machine{$name}->patroni_and_postmaster; },
	partition => sub { my ($name) = @_; $machine{$name}->cut_off(map { $machine{$_}->address } others($name)); },
	stop => sub { my ($name) = @_; kill 'STOP', $machine{$name}->patroni_and_postmaster; },
	freeze => sub {
		my ($name) = @_;
		$machine{$name}->hold_watchdog;
		kill 'STOP', $machine{$name}->processes;
	},
	switchover => sub {
		my ($name) = @_;
		my %patroni = environment_of('patroni_env.conf', $name);
		my $response = $http->post("http://$patroni{PATRONI_RESTAPI_USERNAME}:$patroni{PATRONI_RESTAPI_PASSWORD}\@$name:8008/switchover",
			{ content => $json->encode({ leader => $name }), headers => { 'Content-Type' => 'application/json' } });
		say_so("switchover: $response->{status} ", $response->{content} =~ s/\s+\z//r);
	});

# Afterwards, the machine comes back: repaired, started again, or awake.  One that the watchdog
# has reset starts by itself.
my %bring_back = (
	kill => sub { my ($name) = @_; restart($name); },
	partition => sub { my ($name) = @_; $machine{$name}->join_again; },
	stop => sub {
		my ($name) = @_;
		kill 'CONT', $machine{$name}->processes;
	},
	freeze => sub {
		my ($name) = @_;
		kill 'CONT', $machine{$name}->processes;
		$machine{$name}->go_on_with_watchdog;
	},
	switchover => sub { });

sub restart
{
	my ($name) = @_;
	$machine{$name}->reset;
	boot($name);
	return;
}

# [kind, from, to, began, ended] of each.
my @history;

ROUND: foreach my $n (1 .. $rounds)
{
	foreach my $kind (@kinds)
	{
		last ROUND if time - $started > $seconds;
		until_true('whole again', \&whole) or last;
		$leader = leader(@names);
		%reset_at = ();
		sleep 1;
		watch();
		my $began = time;
		say_so("round $n: $kind of $leader");
		$lose{$kind}->($leader);
		my $successor;
		my $ok = until_true('a new leader', sub { ($successor) = grep { $_ && $_ ne $leader } leader(others($leader)); $successor }, 60);
		my $took = time - $began;
		my $sent = $simulator->stats->{accepted};
		$ok &&= until_true('messages leave again', sub { $simulator->stats->{accepted} > $sent + 20 }, 60);
		# A machine that wakes up finds somebody else in its place.
		$bring_back{$kind}->($leader);
		$ok &&= until_true('whole again', sub {
			boot($_) foreach grep { $machine{$_}->is_down } @names;
			return whole();
		});
		$ok &&= until_true('no alarm', sub { alarms() eq '' }, 60) || diag(alarms());
		push @history, [ $kind, $leader, $successor // 'nobody', $began, time ];
		ok($ok, sprintf 'round %d: %s of %s: %s leads after %.1f s', $n, $kind, $leader, $successor // 'nobody', $took);
		is(scalar(keys %reset_at), 1, "the watchdog has reset $leader") if $watchdog && $kind =~ /^(?:kill|stop)$/;
	}
}
sleep 2;
my @notes = WaClients::stop();

# ---- the audit ------------------------------------------------------------------------------------

until_true('whole at the end', \&whole);
until_true('the queue is worked off', sub { (ask_leader(q{SELECT count(*) FROM whatsapp_queue WHERE state <> 'u'}) // 1) == 0 });
until_true('all webhooks have arrived', sub {
	my $webhooks = $simulator->stats->{webhooks};
	return !$webhooks->{pending_messages} && !$webhooks->{pending_posts};
});
my (%sent, @send_times);
foreach my $record ($simulator->accepted)
{
	push @send_times, $record->{time};
	$sent{ $record->{message}{template}{components}[0]{parameters}[0]{text} }++;
}
my %row = map { split /\|/ } split /\n/, ask_leader('SELECT reference, status FROM whatsapp_messages') // '';
my %uncertain = map { $_ => 1 } grep { $row{$_} eq 'uncertain' } keys %row;
is(scalar(grep { $sent{$_} } keys %uncertain), 0, 'what was sent is known to be sent: webhooks have settled it');
say_so(scalar(keys %uncertain), ' messages are uncertain, and were never sent: their leases had been written when the leader was lost');
# Nothing has reached Meta, and somebody who knows that says so.
ask_leader(q{SELECT count(wa_resolve_message(id, 'resend')) FROM whatsapp_messages WHERE status = 'uncertain'});
until_true('nothing is left', sub { (ask_leader('SELECT count(*) FROM whatsapp_queue') // 1) == 0 });
%sent = ();
$sent{ $_->{message}{template}{components}[0]{parameters}[0]{text} }++ foreach $simulator->accepted;

my %fate;
$fate{ $_->[2] } = $_->[1] foreach @notes;
my %n;
$n{$_}++ foreach values %fate;
my @lost = grep { $fate{$_} eq 'committed' && !$sent{$_} } keys %fate;
my @no_row = grep { $fate{$_} eq 'committed' && !$row{$_} } keys %fate;
my @twice = grep { $sent{$_} > 1 } keys %sent;
my @not_there = grep { !$row{$_} } keys %sent;
my @rolled_back = grep { $fate{$_} eq 'rolledback' && $sent{$_} } keys %fate;
my @unsent = grep { !$sent{$_} } keys %row;
is(scalar @lost, 0, 'nothing committed was lost');
is(scalar @no_row, 0, 'every transaction that an application knows to be committed is there');
is(scalar @twice, 0, 'nothing was sent twice');
is(scalar @not_there, 0, 'nothing was sent of a transaction that is not there');
is(scalar @rolled_back, 0, 'nothing rolled back was sent');
is(scalar @unsent, 0, 'what was interrupted was sent, if it is there');

sub gap
{
	my ($began, $ended, @times) = @_;
	my ($longest, $last) = (0, $began);
	foreach my $time (sort { $a <=> $b } grep { $_ >= $began && $_ <= $ended } @times)
	{
		$longest = $time - $last if $time - $last > $longest;
		$last = $time;
	}
	return $longest;
}

sub percentile
{
	my ($part, @values) = @_;
	@values = sort { $a <=> $b } @values;
	return $values[POSIX::ceil($part * @values) - 1] // 0;
}

my @commit_times = map { $_->[0] } grep { $_->[1] eq 'committed' } @notes;
my (@all_commits, @all_sends);
note(sprintf '%-11s %6s %28s %28s', 'kind', 'rounds', 'commits: p50, p99, max (s)', 'sends: p50, p99, max (s)');
foreach my $kind (@kinds)
{
	my @of = grep { $_->[0] eq $kind } @history;
	my @commits = map { gap($_->[3], $_->[4], @commit_times) } @of;
	my @sends = map { gap($_->[3], $_->[4], @send_times) } @of;
	push @all_commits, @commits;
	push @all_sends, @sends;
	note(sprintf '%-11s %6d %28s %28s', $kind, scalar @of,
		map { my @v = @$_; join ', ', map { sprintf '%.1f', percentile($_, @v) } 0.5, 0.99, 1 } \@commits, \@sends);
}
cmp_ok(percentile(0.99, @all_commits), '<=', 15, 'applications can commit again after 15 s');
cmp_ok(percentile(0.99, @all_sends), '<=', 15, 'messages leave again after 15 s');
# What webhooks lock while their COMMIT waits for a standby must not stop a sender.
my @errors = map { grep { /\] whatsapp_shared sender ERROR: / } split /\n/, contents($machine{$_}->dir . '/patroni.log') } @names;
is(scalar @errors, 0, 'no sender has met an error') or diag(join "\n", @errors);
note(join ', ', map { "$n{$_} $_" } sort keys %n);
note(scalar(keys %row), ' messages; ', scalar(keys %uncertain), ' uncertain at the end');
my @alerts = split /\n/, ask_leader(q{SELECT severity, kind, key, message, resolved_at IS NULL FROM whatsapp_alerts ORDER BY created_at}) // '';
my $promotions = grep { $_->[2] ne 'nobody' } @history;
cmp_ok(scalar(grep { /\|takeover\|/ } @alerts), '>=', $promotions, 'each take-over is an alert');
is(scalar(grep { /^warning\|takeover\|.*What the former primary may have sent/ } @alerts), 0, 'none of them holds anything');
note('alerts:');
note($_) foreach @alerts;
note("wa_health():\n", ask_leader(q{SELECT item, state, detail FROM wa_health() WHERE state <> 'ok'}));

kill 'TERM', values %service;
done_testing();
