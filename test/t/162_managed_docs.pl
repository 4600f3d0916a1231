# docs/managed.md: its commands, in their order, on two servers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDocs qw(blocks);
use WaOutbox qw(new_application new_sidecar);
use WaSimulator;

my $guide = "$FindBin::RealBin/../../docs/managed.md";
my $simulator = WaSimulator->start('--numbers' => 3, '--accept-any-template');
my %node = (app => new_application('application', 'bare'));
$node{sidecar} = new_sidecar('sidecar', $simulator, 'bare');

# The sidecar's login needs its password, as it does at a service.
my $hba = slurp_file($node{app}->data_dir . '/pg_hba.conf');
open(my $file, '>', $node{app}->data_dir . '/pg_hba.conf') or die $!;
print $file "local app sidecar scram-sha-256\n$hba";
close $file;
$node{app}->reload;

WaOutbox::install($node{app}, 'app', 'app_owner', 'application.sql');
my @later;
foreach my $block (grep { $_->{lang} eq 'sql' } blocks($guide))
{
	my ($where, $later) = ($block->{directive} // '') =~ /^on (app|sidecar)(, later)?$/ or die "line $block->{line}: where?";
	(my $sql = $block->{text}) =~ s/(app|sidecar)\.example\.internal/$node{$1}->host/ge;
	# Each of them is told by a name of its own; here the port tells them, too.
	my $other = $where eq 'app' ? 'sidecar' : 'app';
	$sql =~ s/port=5432/'port=' . $node{$other}->port/ge;
	$sql =~ s/port '5432'/"port '" . $node{$other}->port . "'"/ge;
	push(@later, $sql), next if $later;
	# One by one: a subscription is made outside of a transaction.
	foreach my $statement (grep { /\S/ } split /;\n/, "$sql\n")
	{
		my ($rc, $out, $err) = $node{$where}->psql($where, $statement);
		is($rc, 0, "line $block->{line}: " . substr($statement, 0, 60)) or diag($err);
		is($out, '', "line $block->{line} shows nothing") if $statement =~ /WHERE state = 'error'/ && $statement !~ /count/;
	}
}
ok($node{app}->poll_query_until('app', q{SELECT status = 'accepted' FROM whatsapp_messages}), 'the message of the guide is sent');

# A lost slot, as the guide mends it.
$node{sidecar}->safe_psql('sidecar', 'ALTER SUBSCRIPTION whatsapp_outbox DISABLE');
$node{app}->poll_query_until('app', q{SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'whatsapp_outbox'});
$node{app}->safe_psql('app', $_) foreach map { split /;\n/ } @later;
$node{sidecar}->safe_psql('sidecar', 'ALTER SUBSCRIPTION whatsapp_outbox ENABLE');
$node{app}->safe_psql('app', q{SELECT wa_enqueue_message('trigal', '+34 600 000 102', 'pedido_compra', '["x"]')});
ok($node{app}->poll_query_until('app', q{SELECT count(*) = 2 FROM whatsapp_messages WHERE status = 'accepted'}), 'a slot that was made anew is used');

# And away with it.
$node{sidecar}->safe_psql('sidecar', "DROP SUBSCRIPTION $_") foreach qw(whatsapp_outbox whatsapp_outbox_bulk);
$node{app}->safe_psql('app', 'DROP SUBSCRIPTION whatsapp_results');
$node{app}->safe_psql('app', 'DROP PUBLICATION whatsapp_outbox, whatsapp_outbox_bulk; DROP SCHEMA whatsapp, whatsapp_outbox, whatsapp_sidecar CASCADE');
is($node{app}->safe_psql('app', q{SELECT count(*) FROM pg_replication_slots}), 0, 'nothing is left of it');

$node{$_}->stop foreach qw(sidecar app);
done_testing();
