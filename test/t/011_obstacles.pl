# What keeps a whole server from sending, as wa_explain(), wa_health() and
# wa_diagnose() tell it: each obstacle in turn, until nothing is in the way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(create_extension new_node set_and_reload wait_for_senders);

my $node = PostgreSQL::Test::Cluster->new('obstacles');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "max_connections = 40\nmax_worker_processes = 24");
$node->start;
create_extension($node, 'postgres');
$node->safe_psql(
	'postgres', q{
	SELECT FROM wa_assign_phone('panaderia', '100000000000001');
	SELECT FROM wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "hola"}')});

# The reason is given for the message, and all three functions agree on the words.
# More may follow; after the reason something of its own.
sub obstacle_is
{
	my ($server, $db, $reason, $name, $more, $explained) = @_;
	my $words = $server->safe_psql('postgres', "SELECT rtrim(meaning, '.') FROM wa_reason_codes WHERE reason = '$reason'");

	$server->poll_query_until($db, "SELECT reason = '$reason' FROM wa_explain(1)")
	  or diag('reason is ' . $server->safe_psql($db, 'SELECT reason FROM wa_explain(1)'));
	$more //= qr/\.$/;
	like($server->safe_psql($db, 'SELECT reason, explanation FROM wa_explain(1)'), qr/^\Q$reason|$words\E@{[ $explained || $more ]}/, $name);
	like($server->safe_psql($db, "SELECT detail FROM wa_health() WHERE item = 'sending'"), qr/^\Q$words\E$more/i,
		'... wa_health() says the same');
	like($server->safe_psql($db, "SELECT detail FROM wa_diagnose('panaderia') WHERE item = 'sending'"), qr/^\Q$words\E$more/i,
		'... and so does wa_diagnose()');
	return;
}

obstacle_is($node, 'postgres', 'not_preloaded', 'the library is not preloaded');

$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'whatsapp_shared'
whatsapp_shared.graph_url = 'http://127.0.0.1:9'
whatsapp_shared.databases = ''
CONF
$node->restart;
obstacle_is($node, 'postgres', 'sending_disabled', 'sending is switched off');

set_and_reload($node, enabled => 'on');
obstacle_is($node, 'postgres', 'credentials_missing', 'there is no token');
is($node->safe_psql('postgres', q{SELECT state FROM wa_health() WHERE item = 'access_token'}), 'error', 'which is an error of its own');

my $token_file = $node->basedir . '/token';
append_to_file($token_file, "EAAG-for-tests\n");
chmod 0600, $token_file;
set_and_reload($node, access_token_file => $token_file);
obstacle_is($node, 'postgres', 'database_not_listed', 'no sender is configured for the database');

$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
set_and_reload($node, databases => '"postgres" , Other');
my $no_room = 'the server has room for 0 of 1 senders; max_worker_processes must be 3 at least';
$node->poll_query_until('postgres', "SELECT explanation LIKE '%$no_room%' FROM wa_explain(1)");
obstacle_is($node, 'postgres', 'sender_not_running', 'there is no room for a sender', undef, qr/ \($no_room\)\.$/);

# Paused, so that the sender does not try the closed port.
$node->safe_psql('postgres', q{SELECT wa_pause('account', reason => 'test')});
$node->append_conf('postgresql.conf', 'max_worker_processes = 24');
$node->restart;
wait_for_senders($node, 'postgres', 1);
is($node->safe_psql('postgres', 'SELECT reason FROM wa_explain(1)'), 'account_paused', 'then only the pause is left');
is($node->safe_psql('postgres', q{SELECT state FROM wa_health() WHERE item = 'sending'}), 'ok', 'and the server is well');
is($node->safe_psql('postgres', q{SELECT state || ': ' || remedy FROM wa_diagnose('panaderia') WHERE item = 'pause account'}),
	q{error: SELECT wa_resume('account');}, 'wa_diagnose() says how to end it');

# ---- a default number -----------------------------------------------------------------

my $without = $node->safe_psql('postgres', q{
	SELECT FROM wa_configure_tenant('horno', is_new => true);
	SELECT wa_enqueue_payload('horno', '+34600000001', 'text', '{"body": "hola"}')});
is($node->safe_psql('postgres', q{SELECT status FROM wa_tenant_status WHERE tenant_id = 'horno'}), 'no_number', 'a tenant without a number');
set_and_reload($node, phone_number_id => '900000000000001');
$node->poll_query_until('postgres', q{SELECT status = 'ready' FROM wa_tenant_status WHERE tenant_id = 'horno'});
ok(1, 'can send as soon as there is a default number');
my $fallback = $node->safe_psql('postgres', q{SELECT wa_enqueue_payload('horno', '+34600000001', 'text', '{"body": "hola"}')});
is($node->safe_psql('postgres', "SELECT phone_number_id FROM whatsapp_queue WHERE message_id = $fallback"),
	'900000000000001', 'from which its messages leave');
$node->safe_psql('postgres', q{SELECT FROM wa_assign_phone('horno', '100000000000002')});
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT phone_number_id, ',') FROM whatsapp_queue WHERE message_id IN ($without, $fallback)"),
	'100000000000002', 'until it gets a number of its own');
my (undef, undef, $stderr) = $node->psql('postgres', q{SELECT FROM wa_assign_phone('tahona', '900000000000001')});
like($stderr, qr/WARNING:  phone number "900000000000001" is the default number/, 'giving away the default number is worth a warning');

# ---- copies -----------------------------------------------------------------------------

set_and_reload($node, databases => '');
wait_for_senders($node, 'postgres', 0);
$node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
obstacle_is($node, 'copy', 'clone_not_adopted', 'a copy of the database knows that it is one',
	qr/.*it is a copy of another database of this cluster/i);
(undef, my $answer, $stderr) = $node->psql('copy', 'SELECT wa_adopt()');
is($answer, 't', 'until it is adopted');
like($stderr, qr/NOTICE:  3 queued messages can now be sent from here/, 'which tells what will be sent');
isnt($node->safe_psql('copy', 'SELECT reason FROM wa_explain(1)'), 'clone_not_adopted', 'then it is at home');
is( $node->safe_psql('copy', 'SELECT installation_id FROM whatsapp_installation'),
	$node->safe_psql('postgres', 'SELECT installation_id FROM whatsapp_installation'),
	'it goes on as the same installation');
$node->safe_psql('copy', 'SELECT wa_adopt(new_identity => true)');
isnt($node->safe_psql('copy', 'SELECT installation_id FROM whatsapp_installation'),
	$node->safe_psql('postgres', 'SELECT installation_id FROM whatsapp_installation'), 'or as another one');

# ---- a standby ----------------------------------------------------------------------------

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
obstacle_is($standby, 'postgres', 'standby', 'a standby leaves it to the primary');

$standby->stop;
$node->stop;
done_testing();
