# The gateway as a service: what it and systemd tell each other, what --check finds,
# and that its manual and its units are right.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Fcntl qw(F_SETFD);
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(time);
use WaGateway;
use WaTest qw(create_extension new_node);

my $node = new_node('service', "whatsapp_shared.databases = ''");
create_extension($node, 'postgres');
WaGateway->create_roles($node, 'postgres');

my $root = "$FindBin::RealBin/../..";
my $binary = WaGateway->binary;
my $dir = File::Temp->newdir('service.XXXXXX', TMPDIR => 1);
my $token = '0123456789abcdef0123456789abcdef';

sub write_file
{
	my ($name, $text, $mode) = @_;
	open my $fh, '>', "$dir/$name" or die "$name: $!";
	chmod $mode // 0600, $fh;
	print $fh $text;
	close $fh or die "$name: $!";
	return "$dir/$name";
}

my $admin = WaGateway->conninfo($node, 'gateway_admin');
my $webhook = WaGateway->conninfo($node, 'gateway_webhook');
my @files = (
	'--admin-token-file' => write_file('admin', "$token\n"),
	'--viewer-token-file' => write_file('viewer', "v$token\n"),
	'--app-secret-file' => write_file('secret', "app secret\n"),
	'--verify-token-file' => write_file('verify', "verify token\n"));

# ---- systemd ---------------------------------------------------------------------------

my $notified = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$dir/notify") or die "notify: $!";

# The next message but one of the watchdog; or any within so many seconds.
sub told
{
	my ($wanted) = @_;
	my $until = time + ($wanted // 20);

	while (time < $until && IO::Select->new($notified)->can_read($until - time))
	{
		$notified->recv(my $message, 4096);
		return $message if $wanted || $message !~ /^WATCHDOG/;
	}
	return 'nothing';
}

# Starts it as systemd does, with these sockets at descriptor 3 and up.
sub start_with
{
	my ($names, @sockets) = @_;
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		open STDOUT, '>', "$dir/stdout" or die;
		open STDERR, '>', "$dir/stderr" or die;
		my @fds = map { fileno $_ } @sockets;

		# To other places first, so that none overwrites another.
		my @shell;
		push @shell, "exec 2$_<&$fds[$_]" foreach 0 .. $#fds;
		push @shell, map { 'exec ' . ($_ + 3) . "<&2$_ 2$_<&-" } 0 .. $#fds;
		fcntl $_, F_SETFD, 0 foreach @sockets;
		$ENV{NOTIFY_SOCKET} = "$dir/notify";
		$ENV{WATCHDOG_USEC} = 400_000;
		$ENV{LISTEN_FDS} = @sockets;
		$ENV{LISTEN_FDNAMES} = $names;
		exec 'bash', '-c', join('; ', @shell, 'export LISTEN_PID=$$ WATCHDOG_PID=$$', 'exec "$@"'), 'bash',
		  $binary, '--database' => $admin, '--webhook-database' => $webhook, '--listen' => '127.0.0.1:1', '--access-log' => '', @files;
		die "exec: $!";
	}
	return $pid;
}

sub get
{
	my ($port, $path, @headers) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10) or return "no connection: $@";

	print $socket join "\r\n", "GET $path HTTP/1.1", 'Host: localhost', 'Connection: close', @headers, '', '';
	local $/;
	my $answer = <$socket> // '';
	return $answer =~ m{^HTTP/1\.1 (\d+)} ? $1 : "nonsense: $answer";
}

subtest 'systemd' => sub {
	my @sockets = map { IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1', LocalPort => 0) // die $! } 1 .. 2;
	my ($pages, $hooks) = map { $_->sockport } @sockets;
	my $pid = start_with('admin:webhook', @sockets);
	my $auth = "Authorization: Bearer $token";

	like(told(), qr/^READY=1\nSTATUS=serving$/, 'is told when it serves');
	close $_ foreach @sockets;
	is(get($pages, '/api/v1/session', $auth), 200, 'the socket "admin" has the API');
	is(get($pages, '/webhook'), 404, 'and no webhook');
	is(get($hooks, '/api/v1/session', $auth), 404, 'the socket "webhook" has no API');
	isnt(get($hooks, '/webhook'), 404, 'but the webhook');
	is(get($_, '/healthz'), 200, 'both can be asked after') foreach $pages, $hooks;
	my $printed = slurp_file("$dir/stdout");
	unlike($printed, qr/127\.0\.0\.1:1$/m, 'the address of the settings does not count');

	is(told(5), 'WATCHDOG=1', 'the watchdog hears of it') foreach 1 .. 2;
	kill HUP => $pid;
	like(told(), qr/^RELOADING=1\nMONOTONIC_USEC=\d+$/, 'is told of a reload');
	like(told(), qr/^READY=1/, 'and of its end');
	kill TERM => $pid;
	like(told(), qr/^STOPPING=1/, 'and that it stops');
	waitpid $pid, 0;
	is($?, 0, 'which it does');

	# One without a name is for everything; and it survives the service.
	my $all = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1', LocalPort => 0) // die $!;
	foreach my $start (1, 2)
	{
		$pid = start_with('wa_gateway.socket', $all);
		told();
		is(get($all->sockport, '/api/v1/session', $auth), 200, "one socket for everything, start $start");
		kill TERM => $pid;
		told();
		waitpid $pid, 0;
	}

	# A proxy may be at the other end of a Unix socket: it says who has failed too often.
	my $local = IO::Socket::UNIX->new(Listen => 100, Local => "$dir/http") // die $!;
	my $try = sub {
		my ($client, $shown) = @_;
		my $socket = IO::Socket::UNIX->new(Peer => "$dir/http") // die $!;
		print $socket join "\r\n", 'GET /api/v1/session HTTP/1.1', 'Host: localhost', 'Connection: close', "X-Forwarded-For: $client", $shown, '', '';
		return (split / /, do { local $/; <$socket> })[1];
	};
	$pid = start_with('http', $local);
	told();
	is($try->('192.0.2.1', $auth), 200, 'a Unix socket');
	my @answers = map { $try->('192.0.2.1', 'Authorization: Bearer wrong') } 1 .. 12;
	is($answers[-1], 429, 'a client behind it who has failed too often');
	is($try->('192.0.2.2', 'Authorization: Bearer wrong'), 401, 'is not another one');
	kill TERM => $pid;
	told();
	waitpid $pid, 0;

	$pid = start_with('http:wa_gateway.socket', $all, $all);
	waitpid $pid, 0;
	like(slurp_file("$dir/stderr"), qr/passes two sockets for everything/, 'two of those are a mistake');
};

# ---- --check ---------------------------------------------------------------------------

# What it prints, and its status.
sub check
{
	my (%change) = @_;
	my %arguments = ('--database' => $admin, '--webhook-database' => $webhook, @files, %change);
	my @command = ($binary, '--check', map { ($_, $arguments{$_}) } sort keys %arguments);
	my $pid = open my $out, '-|';

	defined $pid or die "fork: $!";
	if ($pid == 0)
	{
		open STDERR, '>&', \*STDOUT;
		exec @command;
	}
	local $/;
	my $text = <$out>;
	close $out;
	return ($text, $? >> 8);
}

sub check_finds
{
	my ($status, $pattern, $name, %change) = @_;
	my ($text, $got) = check(%change);

	is($got, $status, "$name: status $status") or diag $text;
	like($text, $pattern, $name);
	return;
}

subtest 'check' => sub {
	my ($text, $status) = check();
	is($status, 0, 'all is well') or diag $text;
	unlike($text, qr/^(?:FAILED|warning)/m, 'and nothing is to be done');
	like($text, qr/^ok +\Q$_\E/m, $_)
	  foreach 'tokens of the admin: 1', 'app secret', 'admin login: role gateway_admin', 'admin login: may call all', 'webhook login: may call all';

	check_finds(1, qr/^FAILED .*can be read by others.*\n +-> /m, 'a token that others can read', '--admin-token-file' => write_file('open', $token, 0644));
	check_finds(1, qr/^FAILED .*shorter than 32/m, 'a short token', '--admin-token-file' => write_file('short', 'secret'));
	check_finds(1, qr/^FAILED .*No such file/m, 'no token', '--viewer-token-file' => "$dir/nothing");
	check_finds(0, qr/^warning +tokens of the admin: no file/m, 'no admin', '--admin-token-file' => '');
	check_finds(1, qr/^FAILED +app secret: .*can be read by others/m, 'a secret that is none', '--app-secret-file' => write_file('open', 'x', 0644));
	check_finds(1, qr/^FAILED +admin login: .*"nothing" does not exist/m, 'no database', '--database' => WaGateway->conninfo($node, 'gateway_admin', 'nothing'));
	check_finds(1, qr/^FAILED +admin login: .*has no extension whatsapp_shared/m, 'no extension', '--database' => WaGateway->conninfo($node, 'gateway_admin', 'template1'));
	check_finds(1, qr/^FAILED +admin login: role gateway_webhook lacks the privilege admin/m, 'the wrong role', '--database' => $webhook);
	check_finds(1, qr/^wa_gateway: --trusted-proxy: "nonsense" is neither/m, 'a network that is none', '--trusted-proxy' => 'nonsense');
	check_finds(1, qr/^wa_gateway: --trusted-user-role must be/m, 'a role that is none', '--trusted-user-role' => 'root');
	my $super = $node->safe_psql('postgres', 'SELECT current_user');
	check_finds(0, qr/^warning +admin login: role \Q$super\E is a superuser/m, 'a superuser', '--database' => WaGateway->conninfo($node, $super));
	my $both = WaGateway->conninfo($node, 'gateway_both');
	$node->safe_psql('postgres', q(CREATE ROLE gateway_both LOGIN; SELECT wa_grant('gateway_both', p) FROM unnest('{admin,webhook}'::text[]) AS p));
	check_finds(0, qr/^warning +webhook login: role gateway_both can read messages/m, 'one who can do more than webhooks', '--webhook-database' => $both);
	check_finds(0, qr/^warning +webhook login: that of --database/m, 'one for both', '--database' => $both, '--webhook-database' => '');
	check_finds(1, qr/^FAILED +webhook login: role gateway_admin lacks the privilege webhook/m, 'which must have both privileges', '--webhook-database' => '');

	$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
	check_finds(1, qr/^FAILED +webhook login: role nobody lacks the privilege webhook/m, 'one without rights', '--webhook-database' => WaGateway->conninfo($node, 'nobody'));
};

# ---- manual and units --------------------------------------------------------------------

subtest 'manual' => sub {
	my $manual = slurp_file("$root/docs/man/wa_gateway.8") =~ s/\\-/-/gr;
	my @options = `'$binary' --help` =~ /^  (--[\w-]+)/mg;

	cmp_ok(scalar @options, '>', 20, 'there are options');
	ok($manual =~ /^\.(?:BI|B) \Q$_\E(?: |$)/m, "it has $_") foreach @options;
	my %known = map { $_ => 1 } @options;
	is(join(' ', grep { !$known{$_} } $manual =~ /^\.(?:BI|B) (--[\w-]+)/mg), '', 'and none that there is not');
	my ($program) = grep { -x } '/usr/bin/man', '/bin/man';
	is($program ? `LC_ALL=C.UTF-8 MANWIDTH=80 $program --warnings -l '$root/docs/man/wa_gateway.8' 2>&1 >/dev/null` : '', '', 'it is written as manuals are');
};

subtest 'units' => sub {
	my ($systemd) = grep { -x } '/usr/bin/systemd-analyze';
	my $service = slurp_file("$root/packaging/systemd/wa_gateway.service");

	like($service, qr/^$_$/m, $_) foreach 'Type=notify', 'WatchdogSec=\d+', 'NoNewPrivileges=yes', 'ProtectSystem=strict', 'CapabilityBoundingSet=';
	plan skip_all => 'systemd is not here' unless $systemd;

	write_file('wa_gateway.service', $service =~ s{/usr/bin/wa_gateway}{$binary}r =~ s/^Documentation.*\n//mr, 0644);
	write_file('wa_gateway.socket', slurp_file("$root/packaging/systemd/wa_gateway.socket"), 0644);
	is(`$systemd verify $dir/wa_gateway.service $dir/wa_gateway.socket 2>&1`, '', 'systemd understands them');
	my $exposure = `$systemd security --offline=true --threshold=20 $dir/wa_gateway.service 2>&1`;
	is($?, 0, 'the exposure is 2.0 at most') or diag $exposure;
};

$node->stop;
done_testing();
