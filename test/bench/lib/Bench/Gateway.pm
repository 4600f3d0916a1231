# A gateway, and Meta that posts statuses to it (webhook_load.c).
package Bench::Gateway;

use strict;
use warnings;

use Bench::Process qw(cpu_us free_ports private_kb start stop wait_for);
use List::Util     qw(sum);
use IO::Socket::INET;
use POSIX       ();
use Time::HiRes qw(sleep);

# $dir: where its files go; $database: another one than that of the benchmark.
sub new
{
	my ($class, $cluster, $build, $dir, $database) = @_;
	my $self = bless { cluster => $cluster, build => $build, dir => $dir, port => free_ports(1), peak_kb => 0 }, $class;

	$self->{session} = $cluster->session($database);
	$self->{role} = 'webhook_of_' . ($database // $cluster->database);
	$self->{session}->query("CREATE ROLE $self->{role} LOGIN");
	$self->{session}->query("SELECT wa_grant('$self->{role}', 'webhook')");
	# Whose the messages are that its webhooks are about.
	$self->{installation} = $cluster->query('SELECT installation_id FROM whatsapp_installation');
	open(my $secret, '>', "$dir/app_secret") or die "$dir/app_secret: $!\n";
	chmod(0600, $secret);
	print $secret "benchmark-secret\n";
	close($secret);
	my $conninfo = $cluster->conninfo($database) =~ s/user=postgres/user=$self->{role}/r;
	$self->{pid} = start(
		"$dir/$self->{role}.log", "$build/wa_gateway", '--listen', "127.0.0.1:$self->{port}",
		'--database', $conninfo, '--webhook-database', $conninfo,
		'--app-secret-file', "$dir/app_secret",
		split(' ', $ENV{BENCH_GATEWAY} // ''));
	wait_for('the gateway listens',
		20, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}) });
	return $self;
}

sub url
{
	my ($self) = @_;
	return "http://127.0.0.1:$self->{port}/webhook";
}

# CPU time so far, of the gateway and of its sessions, in microseconds.
sub cpu_so_far
{
	my ($self) = @_;
	my @sessions = split(/\n/, $self->{cluster}->query("SELECT pid FROM pg_stat_activity WHERE usename = '$self->{role}'"));

	return (cpu_us($self->{pid}), sum(0, map { cpu_us($_) } @sessions));
}

# Posts the statuses of messages and returns what webhook_load printed, with the CPU
# time of gateway and sessions for each request.  $write is given the handle on
# which it reads messages.
sub load
{
	my ($self, $write, @options) = @_;
	my $log = "$self->{dir}/load.log";

	my @cpu = $self->cpu_so_far;
	unlink($log);
	pipe(my $in, my $out) or die "pipe: $!\n";
	my $pid = fork() // die "could not fork: $!\n";
	if ($pid == 0)
	{
		close($out);
		open(STDIN, '<&', $in);
		open(STDOUT, '>', $log);
		exec { "$self->{build}/webhook_load" } 'webhook_load', '--port', $self->{port},
		  '--installation', $self->{installation}, @options
		  or POSIX::_exit(127);
	}
	close($in);
	$out->autoflush(1);
	eval { $write->($out); 1 } or do { my $error = $@; kill('KILL', $pid); waitpid($pid, 0); die $error };
	close($out);
	while (waitpid($pid, POSIX::WNOHANG) == 0)
	{
		$self->sample_memory;
		sleep(0.1);
	}
	die "webhook_load failed ($?)\n" if $?;
	open(my $result, '<', $log) or die "$log: $!\n";
	my %result = map { split(/=/, $_, 2) } split(' ', readline($result) // '');
	die "webhook_load printed nothing\n" unless %result;
	my @cpu_after = $self->cpu_so_far;
	$result{gateway_us} = ($cpu_after[0] - $cpu[0]) / $result{requests};
	$result{session_us} = ($cpu_after[1] - $cpu[1]) / $result{requests};
	return \%result;
}

sub sample_memory
{
	my ($self) = @_;
	my $kb = private_kb($self->{pid});

	$self->{peak_kb} = $kb if $kb > $self->{peak_kb};
	return;
}

sub stop_gateway
{
	my ($self) = @_;

	stop(delete $self->{pid}) if $self->{pid};
	$self->{session}->query("DROP OWNED BY $self->{role}; DROP ROLE $self->{role}");
	delete $self->{session};
	return;
}

1;
