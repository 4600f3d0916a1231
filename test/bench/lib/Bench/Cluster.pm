# A private PostgreSQL cluster with the extension, as a site would run it:
# fsync and synchronous_commit are on, autovacuum too.
package Bench::Cluster;

use strict;
use warnings;

use Bench::Process qw(free_ports start stop wait_for);
use Bench::Psql;
use Time::HiRes qw(time);

my $database = 'bench';

my $settings = <<'CONF';
shared_preload_libraries = 'whatsapp_shared'
listen_addresses = ''
shared_buffers = 1GB
max_wal_size = 16GB
checkpoint_timeout = 30min
max_connections = 50
logging_collector = off
log_checkpoints = off
whatsapp_shared.databases = 'bench'
whatsapp_shared.access_token = 'EAATESTTOKEN'
whatsapp_shared.app_secret = 'benchmark-secret'
whatsapp_shared.business_account_id = '300000000000001'
whatsapp_shared.graph_url = 'http://127.0.0.1:9'
whatsapp_shared.messages_per_second = 10000
whatsapp_shared.sync_interval = 0
CONF

# $pg_config: of the installation that holds the extension; $dir: where the
# data goes, which must be on the disk that is to be measured.
sub new
{
	my ($class, $pg_config, $dir) = @_;
	my $self = bless { dir => $dir, sessions => [] }, $class;

	chomp($self->{bindir} = `$pg_config --bindir`);
	$self->{port} = free_ports(1);
	system( "'$self->{bindir}/initdb' -D '$dir/data' -A trust -U postgres --locale=C.UTF-8 "
		  . "--encoding=UTF8 -N --no-instructions >'$dir/initdb.log' 2>&1") == 0
	  or die "initdb failed, see $dir/initdb.log\n";
	open(my $conf, '>>', "$dir/data/postgresql.conf") or die "postgresql.conf: $!\n";
	print $conf $settings, "port = $self->{port}\nunix_socket_directories = '$dir'\n";
	close($conf);

	$self->{pid} = start("$dir/postgres.log", "$self->{bindir}/postgres", '-D', "$dir/data");
	wait_for('the server starts',
		60, sub { system("$self->{bindir}/pg_isready -q -h $dir -p $self->{port}") == 0 });
	$self->session('postgres')->query("CREATE DATABASE $database");
	$self->query('CREATE EXTENSION whatsapp_shared');
	return $self;
}

sub conninfo
{
	my ($self, $name) = @_;
	$name //= $database;
	return "host=$self->{dir} port=$self->{port} user=postgres dbname=$name";
}

sub database
{
	return $database;
}

# A new session; it ends when the last reference goes.
sub session
{
	my ($self, $name) = @_;
	return Bench::Psql->new("$self->{bindir}/psql", $self->conninfo($name));
}

# In the observer's session, which is opened when it is first used.
sub query
{
	my ($self, $sql) = @_;

	my $observer = delete $self->{observer} // $self->session;
	my $answer = $observer->query($sql);
	$self->{observer} = $observer;    # after an error there is a new one
	return $answer;
}

# Changes settings and waits until the server has them.  undef resets one.
sub set
{
	my ($self, %values) = @_;

	foreach my $name (sort keys %values)
	{
		my $value = $values{$name};
		$self->query(
			defined $value
			? "ALTER SYSTEM SET $name = '$value'"
			: "ALTER SYSTEM RESET $name");
	}
	my $before = $self->query('SELECT pg_conf_load_time()');
	$self->query('SELECT pg_reload_conf()');
	wait_for('the settings are read',
		20, sub { $self->query('SELECT pg_conf_load_time()') ne $before }, 0.005);
	return;
}

# The pids of the senders of the benchmark's database, once all of them run.
sub senders
{
	my ($self) = @_;
	my @pids;

	wait_for(
		'the senders start',
		60,
		sub {
			@pids = split(/\n/, $self->query(<<SQL));
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'whatsapp_shared sender' AND datname = '$database'
SQL
			@pids == $self->query("SELECT current_setting('whatsapp_shared.senders')");
		});
	return @pids;
}

# The pid of the only one.
sub sender
{
	my ($self) = @_;
	my @pids = $self->senders;

	die "there are several senders\n" if @pids > 1;
	return $pids[0];
}

# New senders: with the HTTP settings that were changed, and with nothing in their
# memory of what was measured before.
sub restart_sender
{
	my ($self) = @_;
	my %old = map { $_ => 1 } $self->senders;

	$self->query('SELECT wa_worker_restart()');
	wait_for('the senders are restarted', 60, sub { !grep { $old{$_} } $self->senders });
	return;
}

# Runs pgbench and returns what it printed.
sub pgbench
{
	my ($self, @arguments) = @_;

	local $ENV{PGHOST} = $self->{dir};
	local $ENV{PGPORT} = $self->{port};
	local $ENV{PGUSER} = 'postgres';
	open(my $out, '-|', "$self->{bindir}/pgbench", '-n', @arguments, $database)
	  or die "pgbench: $!\n";
	local $/;
	my $text = <$out>;
	close($out) or die "pgbench failed: $text\n";
	return $text;
}

# The last errors in the server's log, for whoever wonders why it failed.
sub log_tail
{
	my ($self) = @_;

	open(my $log, '<', "$self->{dir}/postgres.log") or return '';
	my @lines = grep { /(?:ERROR|FATAL|PANIC|WARNING):/ } <$log>;
	splice(@lines, 0, -5) if @lines > 5;
	return join('', @lines);
}

# The data goes with it, so nothing has to be written first.
sub stop_server
{
	my ($self) = @_;

	$self->{observer} = undef;
	stop(delete $self->{pid}, 'QUIT') if $self->{pid};
	return;
}

1;
