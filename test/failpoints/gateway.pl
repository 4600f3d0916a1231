# A gateway whose allocations fail, its own and those of its libraries, each once per kind
# of request.  Running out of memory may end the program (src/bin/httpd/README.md), with a
# word and status 1, for systemd to start it again; but it does not crash, it answers nothing
# that is not so, and a request that is repeated is done once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(hmac_sha256_hex);
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaFailPoints;
use WaGateway;
use WaLoad qw(wait_until);
use WaTest qw(create_extension new_node);

my $secret = 'the-app-secret';
my $node = new_node('fail_gateway', "whatsapp_shared.databases = ''", "whatsapp_shared.app_secret = '$secret'", 'fsync = off');
create_extension($node, 'postgres');
$node->safe_psql('postgres', "SELECT wa_assign_phone('panaderia', '100000000000001')");
my $points = WaFailPoints->new(undef);
$points->{max} = $ENV{FAIL_POINTS_MAX} // 60;

my $files = PostgreSQL::Test::Utils::tempdir();

sub write_secret
{
	my ($name, $text) = @_;
	append_to_file("$files/$name", $text);
	chmod 0600, "$files/$name";
	return "$files/$name";
}
my @arguments = (
	'--app-secret-file' => write_secret('app_secret', "$secret\n"),
	'--verify-token-file' => write_secret('verify_token', "verify-me\n"));

# Which allocation is to fail, and how many there were: see allocations.c.
my $file = "$files/points";
append_to_file($file, "\0" x 16);

sub arm
{
	my ($at) = @_;
	open my $fh, '+<', $file or die "$file: $!";
	binmode $fh;
	# First that none is to fail, then that none was counted, then which.
	foreach my $place ([ 0, 0 ], [ 8, 0 ], [ 0, $at ])
	{
		sysseek $fh, $place->[0], 0;
		syswrite $fh, pack 'Q', $place->[1];
	}
	close $fh;
	return;
}

sub counted
{
	open my $fh, '<', $file or die "$file: $!";
	binmode $fh;
	sysread $fh, my $bytes, 16;
	close $fh;
	return (unpack 'QQ', $bytes)[1];
}

my $gateway;

# With the roles of the first one.
sub start_gateway
{
	arm(0);
	$gateway = WaGateway->start(
		$node,
		roles => !defined $gateway,
		arguments => \@arguments,
		environment => { LD_PRELOAD => $ENV{FAIL_POINTS_ALLOCATIONS}, FAIL_POINTS_FILE => $file });
	return;
}

# ---- requests: what is asked, what a good answer is, and how often it is done then ----

my $n = 0;

sub webhook_body
{
	return qq({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {"messaging_product": "whatsapp",)
	  . qq( "metadata": {"display_phone_number": "34600000000", "phone_number_id": "100000000000001"},)
	  . qq( "messages": [{"id": "wamid.g$n", "from": "34600000001", "timestamp": "@{[ time ]}", "type": "text", "text": {"body": "hola"}}]}}]}]});
}
my $body;

my @requests = (
	{ name => 'health', does => sub { $gateway->get('/healthz', token => undef) } },
	{ name => 'readiness', does => sub { $gateway->get('/readyz', token => undef) } },
	{ name => 'handshake', does => sub { $gateway->get('/webhook?hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=123', token => undef) } },
	{ name => 'metrics', does => sub { $gateway->get('/metrics') } },
	{ name => 'list of tenants', does => sub { $gateway->get('/api/v1/admin/whatsapp/tenants') } },
	{ name => 'compressed', does => sub { $gateway->get('/api/v1/admin/whatsapp/tenants', headers => { 'accept-encoding' => 'gzip' }) } },
	{ name => 'page', does => sub { $gateway->get('/app/admin/whatsapp', token => undef) } },
	{ name => 'unknown', does => sub { $gateway->get('/api/v1/nothing') }, status => 404 },
	{
		name => 'webhook',
		before => sub { $body = webhook_body() },
		does => sub {
			$gateway->request('POST', '/webhook', token => undef, content => $body,
				headers => { 'content-type' => 'application/json', 'x-hub-signature-256' => 'sha256=' . hmac_sha256_hex($body, $secret) });
		},
		left => sub { "SELECT count(*) FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.g$n'" }
	},
	{
		name => 'message',
		status => 201,
		again => 200,
		does => sub {
			$gateway->post('/api/v1/messages', { tenant_id => 'panaderia', recipient_phone => '+34600000001', template_name => 'aviso', parameters => ['hola'], reference => "g$n" },
				headers => { 'idempotency-key' => "g$n" });
		},
		left => sub { "SELECT count(*) FROM whatsapp_messages WHERE reference = 'g$n'" }
	});

start_gateway();
my %only = map { $_ => 1 } split /,/, $ENV{FAIL_POINTS_SCENARIOS} // '';
my $ended = 0;

# Starts it again if it has ended, which it may for one reason only.
sub revive
{
	my ($at, $wrong) = @_;

	return 0 unless waitpid($gateway->pid, WNOHANG) > 0;
	push @$wrong, "$at: ended with $?: " . $gateway->stderr if $? != 256 || $gateway->stderr !~ /memory/;
	$ended++;
	delete $gateway->{pid};
	start_gateway();
	return 1;
}

foreach my $request (@requests)
{
	next if %only && !$only{ $request->{name} };
	my ($name, $good) = ($request->{name}, $request->{status} // 200);
	my @wrong;

	# The second time it has what it keeps.
	my ($first, $second) = map { $n++; $request->{before}->() if $request->{before}; arm(0) if $_; $request->{does}->() } 0, 1;
	my $count = counted();
	is($second->{status}, $good, "$name: is answered when nothing fails") or diag(explain $second);
	foreach my $at ($points->choose("gateway $name", $count))
	{
		$n++;
		$request->{before}->() if $request->{before};
		arm($at);
		my $failed = $request->{does}->();
		arm(0);
		my $times = $request->{left} ? $node->safe_psql('postgres', $request->{left}->()) : undef;
		push @wrong, "$at: status $failed->{status}" unless $failed->{status} =~ /^(?:$good|5\d\d)$/;
		push @wrong, "$at: status $failed->{status}, and it was done $times times" if defined $times && $failed->{status} == $good && $times != 1;

		# It may have answered, and end only then.
		revive($at, \@wrong);
		my $again = $request->{does}->();
		if ($again->{status} == 599)
		{
			wait_until(sub { return revive($at, \@wrong) }) or die 'the gateway neither answers nor ends';
			$again = $request->{does}->();
		}
		push @wrong, "$at: status $again->{status} when it is repeated" unless $again->{status} == $good || $again->{status} == ($request->{again} // $good);
		if ($request->{left})
		{
			$times = $node->safe_psql('postgres', $request->{left}->());
			push @wrong, "$at: repeated, it was done $times times" unless $times == 1;
		}
		last if @wrong > 8;
	}
	is(join("\n", @wrong), '', "$name: fails without harm");
}

# ---- what it keeps ----

sub kept
{
	my $pid = $gateway->pid;
	my ($rss) = slurp_file("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;
	my @descriptors = glob "/proc/$pid/fd/*";
	return ($rss, scalar @descriptors);
}
$gateway->get('/healthz', token => undef) foreach 1 .. 20;
my @before = kept();
$gateway->get('/api/v1/admin/whatsapp/tenants') foreach 1 .. 50;
my @after = kept();
cmp_ok($after[0] - $before[0], '<', 4096, 'it keeps no memory');
cmp_ok($after[1] - $before[1], '<=', 2, 'nor descriptors');
is($gateway->stop, 0, 'and ends in order');

diag(sprintf 'gateway: %d of %d fail points; it ended %d times', $points->total, $ended);
done_testing();
