# An application's server without any library of ours, and the sidecar beside it: docs/managed.md, with real servers.
package WaOutbox;

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(dirname);
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaSimulator;

our @EXPORT_OK = qw(new_pair new_application new_sidecar connect_both work sent_by_key distribution);

our $root = File::Spec->catdir(dirname(__FILE__), '..', '..');

# Debian's own programs of the version under test, if they are there; the library is installed in a copy.
sub plain_prefix
{
	my ($major) = `pg_config --version` =~ /(\d+)/;
	my $prefix = "/usr/lib/postgresql/$major";
	return -x "$prefix/bin/postgres" && !-e "$prefix/lib/whatsapp_shared.so" ? $prefix : undef;
}

# The application's server: database "app", which a role without privileges owns.  "bare" as the first setting: that,
# and nothing of ours in it.
sub new_application
{
	my ($name, @settings) = @_;
	my $bare = @settings && $settings[0] eq 'bare' && shift @settings;
	my $prefix = plain_prefix();
	my $node = PostgreSQL::Test::Cluster->new($name, $prefix ? (install_path => $prefix) : ());

	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', "$_\n") foreach 'wal_retrieve_retry_interval = 200ms', @settings;
	$node->start;
	$node->safe_psql('postgres', $_)
	  foreach 'CREATE ROLE app_owner LOGIN', 'CREATE ROLE app LOGIN', 'CREATE DATABASE app OWNER app_owner';
	return $node if $bare;
	$node->safe_psql('postgres', $_)
	  foreach 'CREATE ROLE sidecar LOGIN REPLICATION', 'ALTER DATABASE app SET search_path = "$user", public, whatsapp';
	install($node, 'app', 'app_owner', 'application.sql');
	$node->safe_psql('app', q{SELECT whatsapp.wa_grant('app', 'sender'), whatsapp.wa_grant('app', 'monitor'),
		whatsapp.wa_grant('sidecar', 'sidecar')}, extra_params => [ '-U', 'app_owner' ]);
	return $node;
}

# Runs one of the two files.
sub install
{
	my ($node, $db, $user, $file) = @_;
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', File::Spec->devnull, '-d',
			$node->connstr($db) . " user=$user options='-c client_min_messages=warning'", '-f', "$root/sql/outbox/$file" ],
		"$file by $user");
	return;
}

sub new_sidecar
{
	my ($name, $simulator, @settings) = @_;
	my $bare = @settings && $settings[0] eq 'bare' && shift @settings;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', "$_\n") foreach
	  "shared_preload_libraries = 'whatsapp_shared'",
	  "whatsapp_shared.databases = 'sidecar'", 'whatsapp_shared.enabled = on',
	  "whatsapp_shared.access_token = 'SIMULATOR_TOKEN'", "whatsapp_shared.app_secret = 'SIMULATOR_APP_SECRET'",
	  "whatsapp_shared.graph_url = '" . $simulator->url . "'", 'whatsapp_shared.sync_interval = 0',
	  'wal_retrieve_retry_interval = 200ms', @settings;
	$node->start;
	$node->safe_psql('postgres', $_) foreach $bare ? () : 'CREATE ROLE results LOGIN REPLICATION', 'CREATE DATABASE sidecar';
	install($node, 'sidecar', current_user($node), 'sidecar.sql');
	return $node;
}

sub current_user { return $_[0]->safe_psql('postgres', 'SELECT current_user') }

sub address
{
	my (@nodes) = @_;
	return (join(',', map { $_->host } @nodes), join(',', map { $_->port } @nodes));
}

# The two subscriptions and the address of the other; several application servers are one with its standbys.
sub connect_both
{
	my ($sidecar, @applications) = @_;
	my ($host, $port) = address(@applications);
	my $info = "host=$host port=$port dbname=app user=sidecar target_session_attrs=read-write connect_timeout=5";

	$sidecar->safe_psql('sidecar', <<"SQL");
ALTER SERVER whatsapp_publisher OPTIONS (ADD host '$host', ADD port '$port', ADD dbname 'app', ADD target_session_attrs 'read-write');
CREATE USER MAPPING FOR whatsapp_outbox SERVER whatsapp_publisher OPTIONS (user 'sidecar', password_required 'false');
SQL
	$sidecar->safe_psql('sidecar', "CREATE SUBSCRIPTION $_ CONNECTION '$info' PUBLICATION $_ "
		  . 'WITH (copy_data = false, streaming = off, two_phase = false)') foreach qw(whatsapp_outbox whatsapp_outbox_bulk);
	$sidecar->safe_psql('sidecar', q{SELECT whatsapp_outbox.grant_results('results')});
	($host, $port) = address($sidecar);
	$applications[0]->safe_psql('app', "CREATE SUBSCRIPTION whatsapp_results CONNECTION 'host=$host port=$port "
		  . "dbname=sidecar user=results' PUBLICATION whatsapp_results");
	return;
}

# Both servers and the simulator, connected, with tenants t1 to t3.
sub new_pair
{
	my (%options) = @_;
	my $simulator = WaSimulator->start('--numbers' => 12, '--accept-any-template', @{ $options{simulator} // [] });
	my $application = new_application('application', @{ $options{application} // [] });
	my $sidecar = new_sidecar('sidecar', $simulator, @{ $options{sidecar} // [] });

	$sidecar->safe_psql('sidecar',
		'SELECT FROM generate_series(1, 3) AS i, wa_assign_phone(\'t\' || i, (100000000000000 + i)::text)');
	connect_both($sidecar, $application) unless $options{apart};
	return ($application, $sidecar, $simulator);
}

# What a timer does every few seconds; returns how many rows replication had left out.
sub work
{
	my ($sidecar) = @_;
	return $sidecar->safe_psql('sidecar', 'SELECT whatsapp_outbox.work()');
}

# How often each key of the outbox reached a person, by the simulator's log.
sub sent_by_key
{
	my ($sidecar, $simulator) = @_;
	my %key = map { split /\|/ } split /\n/, $sidecar->safe_psql('sidecar',
		'SELECT message_id, key FROM whatsapp_outbox.result WHERE message_id IS NOT NULL');
	my (%count, %time);

	foreach my $record ($simulator->accepted)
	{
		my ($id) = ($record->{message}{biz_opaque_callback_data} // '') =~ /^wa1:[^:]*:(\d+):/ or next;
		my $key = $key{$id} // "unknown message $id";
		$count{$key}++;
		$time{$key} //= $record->{time};
	}
	return wantarray ? (\%count, \%time) : \%count;
}

# "p50 x ms, p99 y ms" of a list of seconds.
sub distribution
{
	my @sorted = sort { $a <=> $b } @_;
	return 'nothing was measured' unless @sorted;
	return sprintf('p50 %.1f ms, p99 %.1f ms of %d', 1000 * $sorted[ $#sorted * 0.5 ], 1000 * $sorted[ $#sorted * 0.99 ],
		scalar @sorted);
}

1;
