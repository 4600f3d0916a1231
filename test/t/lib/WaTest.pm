# What the TAP tests of whatsapp_shared have in common: a server that preloads
# the library, and looking at its processes.
package WaTest;

use strict;
use warnings;

use Exporter qw(import);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT_OK = qw(
  new_node
  create_extension
  set_and_reload
  sender_pids
  wait_for_senders
  wait_for_launcher
  launcher_pid
  fails_like
  logged_nothing_bad
  keep_open
  let_go
  end_child
);

# PostgreSQL's modules give a session of background_psql() a time for all that it will ever do.  A
# test that holds one open for long would fail for that on a busy machine: so the time is that of a query.
{
	no warnings qw(redefine);
	my $open = \&PostgreSQL::Test::Cluster::background_psql;
	my $quit = \&PostgreSQL::Test::BackgroundPsql::quit;

	*PostgreSQL::Test::Cluster::background_psql = sub {
		my $session = $open->(@_);

		$session->set_query_timer_restart();
		return $session;
	};
	*PostgreSQL::Test::BackgroundPsql::quit = sub {
		my ($self) = @_;

		$self->{timeout}->start();
		return $quit->(@_);
	};
}

# It polls by a psql that reads the query from a pipe, and fails if that has ended before, as it does
# while the server restarts after a crash: then there is no result yet.
{
	no warnings qw(redefine);
	my $poll = \&PostgreSQL::Test::Cluster::poll_query_until;

	*PostgreSQL::Test::Cluster::poll_query_until = sub {
		while (1)
		{
			my $reached = eval { $poll->(@_) };

			return $reached if !$@;
			die $@ if $@ !~ /Broken pipe/;
			usleep(100_000);
		}
	};
}

our $LAUNCHER = 'whatsapp_shared launcher';
our $SENDER = 'whatsapp_shared sender';

# A running server with the library preloaded.  Settings are lines of
# postgresql.conf.  Sending is off, and the Graph API is at a closed port, so
# that nothing can ever leave the machine.  The extension will belong to the role
# "whatsapp", so its senders run as that and not as a superuser; "superuser" as
# the first setting leaves that out.
sub new_node
{
	my ($name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $superuser = @settings && $settings[0] eq 'superuser' && shift @settings;

	$node->init;
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'whatsapp_shared'
whatsapp_shared.graph_url = 'http://127.0.0.1:9'
max_worker_processes = 24
log_min_messages = info
CONF
	$node->append_conf('postgresql.conf', "$_\n") for @settings;
	$node->start;
	$node->safe_psql('postgres', 'CREATE ROLE whatsapp NOLOGIN') unless $superuser;
	return $node;
}

sub create_extension
{
	my ($node, $db, $clause) = @_;
	$node->safe_psql($db, 'CREATE EXTENSION whatsapp_shared ' . ($clause // ''));
	return;
}

# Changes settings with ALTER SYSTEM and reloads.
sub set_and_reload
{
	my ($node, %settings) = @_;

	foreach my $name (sort keys %settings)
	{
		my $value = $settings{$name};
		$node->safe_psql('postgres',
			defined $value
			? "ALTER SYSTEM SET whatsapp_shared.$name = '$value'"
			: "ALTER SYSTEM RESET whatsapp_shared.$name");
	}
	$node->reload;
	return;
}

# The process ids of a database's senders, as a sorted list.
sub sender_pids
{
	my ($node, $db) = @_;
	my $pids = $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = '$SENDER' AND datname = '$db' ORDER BY pid"
	);
	return split /\n/, $pids;
}

# Waits until a database has exactly so many senders, all of them attached to
# their slots if it has the extension; returns their process ids.
sub wait_for_senders
{
	my ($node, $db, $count) = @_;

	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	# What is returned is what was counted: a moment later there may be others.
	while (time < $deadline)
	{
		my @pids = sender_pids($node, $db);
		return @pids if @pids == $count;
		usleep(50_000);
	}
	die "waited in vain for $count senders of database \"$db\"";
}

sub launcher_pid
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = '$LAUNCHER'");
}

# Waits for a launcher other than the one with this process id.
sub wait_for_launcher
{
	my ($node, $not_pid) = @_;
	$not_pid //= 0;

	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = '$LAUNCHER' AND pid <> $not_pid"
	) or die "waited in vain for the launcher";
	return launcher_pid($node);
}

# A session in which a transaction has done this, and stays open.
sub keep_open
{
	my ($node, $statement) = @_;
	my $session = $node->background_psql('postgres');

	$session->query_safe("BEGIN; $statement");
	return $session;
}

# The end of that.
sub let_go
{
	my ($session) = @_;

	$session->query_safe('ROLLBACK');
	$session->quit;
	return;
}

# Ends a process that the test has forked.  TERM would end it as a test whose servers are to
# be stopped: later modules catch that.
sub end_child
{
	my ($pid) = @_;

	kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}

# The server log has no error, except for processes that were told to end and for
# what $allowed matches.
sub logged_nothing_bad
{
	my ($node, $name, $allowed) = @_;
	my @bad =
	  grep { /(?:ERROR|FATAL|PANIC):  (?!terminating (?:background worker|connection))/ && !(defined $allowed && $_ =~ $allowed) }
	  split /\n/, slurp_file($node->logfile);

	is_deeply(\@bad, [], $name);
	return;
}

# The statement fails with this SQLSTATE and a message like this.
sub fails_like
{
	my ($node, $db, $sql, $state, $pattern, $name) = @_;
	my ($status, undef, $stderr) = $node->psql($db, $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	ok($status != 0 && $stderr =~ /ERROR:  \Q$state\E: / && $stderr =~ $pattern, $name)
	  or diag("status $status, standard error: $stderr");
	return;
}

1;
