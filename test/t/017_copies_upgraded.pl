# pg_upgrade makes a new cluster of the old one's files: it is silent until it is
# adopted, whether the files were copied or linked.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaCopies qw(enqueue_some doubt is_silent is_at_home sent_once);
use WaDelivery qw(new_delivery);
use WaTest qw(new_node wait_for_senders);

my ($old, $sim) = new_delivery('old');
my $bindir = bindir();

sub bindir
{
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pg_config', '--bindir' ], '>', \$out, '2>', \$err) or die $err;
	chomp $out;
	return $out;
}

foreach my $mode ([], ['--link'])
{
	my $name = "pg_upgrade @$mode";
	my $new = PostgreSQL::Test::Cluster->new(@$mode ? 'linked' : 'copied');
	my @ids = enqueue_some($old);

	$old->stop;
	$new->init;
	$new->append_conf('postgresql.conf', "shared_preload_libraries = 'whatsapp_shared'");
	chdir $new->basedir or die $!;
	command_ok(
		[
			'pg_upgrade', '--no-sync', @$mode, '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir,
			'-s', $new->host, '-p', $old->port, '-P', $new->port
		],
		$name);
	$new->append_conf('postgresql.conf', $_)
	  for "max_worker_processes = 24", "log_min_messages = info", "client_min_messages = warning",
	  "whatsapp_shared.access_token = 'SIMULATOR_TOKEN'", "whatsapp_shared.sync_interval = 0",
	  "whatsapp_shared.graph_url = '" . $sim->url . "'";
	$new->start;
	wait_for_senders($new, 'postgres', 1);
	is_silent($new, qr/It was copied, or upgraded by pg_upgrade, from another cluster/, $name);
	if (!@$mode)
	{
		$old->start;
		is_at_home($old, 'the old cluster can be started again, and sends', @ids);
		sent_once($sim, $name, @ids);
	}
	else
	{
		is($new->safe_psql('postgres', 'SELECT wa_adopt()'), 't', 'the new cluster is adopted');
		is_at_home($new, 'and sends', @ids);
		is(doubt($new), '', 'without a doubt');
		sent_once($sim, $name, @ids);
	}
	$new->stop;
}

done_testing();
