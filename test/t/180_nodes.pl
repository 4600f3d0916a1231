# Two independent installations behind one webhook address: what belongs to the other one is passed on,
# whole and once, through an end that hangs, is away, dies or refuses; and nobody else waits for it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(enqueue);
use WaGateway;
use WaSimulator;
use WaTest qw(create_extension logged_nothing_bad new_node wait_for_senders);

my $secret = 'SIMULATOR_APP_SECRET';
my $sim = WaSimulator->start('--numbers' => 6, '--accept-any-template', '--webhook-pull');
my %number = (a => '100000000000001', b => '100000000000002', moved => '100000000000003');

sub installation
{
	my ($name) = @_;
	my $node = new_node(
		$name,
		'whatsapp_shared.enabled = on',
		"whatsapp_shared.access_token = 'SIMULATOR_TOKEN'",
		"whatsapp_shared.app_secret = '$secret'",
		"whatsapp_shared.graph_url = '" . $sim->url . "'",
		'whatsapp_shared.sync_interval = 0',
		'restart_after_crash = on',
		'wal_level = replica',
		'max_wal_senders = 2',
		'client_min_messages = warning');
	create_extension($node, 'postgres');
	wait_for_senders($node, 'postgres', 1);
	return $node;
}

sub gateway
{
	my ($node, $secrets, @arguments) = @_;
	return WaGateway->start($node, arguments => [ '--app-secret-file' => $secrets, @arguments ]);
}

my $secret_file = "$PostgreSQL::Test::Utils::tmp_check/app-secret";
append_to_file($secret_file, "$secret\n");
chmod 0600, $secret_file;
my ($front, $other) = (installation('front'), installation('other'));
my ($front_gateway, $other_gateway) = (gateway($front, $secret_file), gateway($other, $secret_file));
my $other_port = $other_gateway->port;

sub front { return $front->safe_psql('postgres', $_[0]) }
sub other { return $other->safe_psql('postgres', $_[0]) }

front("SELECT wa_assign_phone('alba', '$number{a}')");
front("SELECT wa_register_node('other', '" . $other_gateway->url . "/webhook')");
front("SELECT wa_assign_number_to_node(n, 'other') FROM unnest('{$number{b},$number{moved}}'::text[]) AS n");
other("SELECT wa_assign_phone('bruna', '$number{b}'), wa_assign_phone('carla', '$number{moved}')");

sub post
{
	my ($body, $signature) = @_;
	return $front_gateway->request(
		'POST', '/webhook',
		token => undef,
		content => $body,
		headers => {
			'content-type' => 'application/json',
			'x-hub-signature-256' => $signature // 'sha256=' . hmac_sha256_hex($body, $secret)
		})->{status};
}

# Everything that Meta has to tell, to its one address; the status codes that were not 200.
sub meta_tells { return join ' ', grep { $_ != 200 } map { post($_->{body}, $_->{signature}) } $sim->all_webhooks }

sub body
{
	my (@changes) = @_;
	return JSON::PP->new->canonical->encode(
		{ object => 'whatsapp_business_account', entry => [ { id => '300000000000001', time => time, changes => \@changes } ] });
}

sub words
{
	my ($to, $wamid, $text) = @_;
	return {
		field => 'messages',
		value => {
			metadata => { phone_number_id => $number{$to} },
			messages =>
			  [ { from => '34600999888', id => "wamid.$wamid", timestamp => '' . time, type => 'text', text => { body => $text } } ]
		}
	};
}

sub waits
{
	my ($node, $query, $what) = @_;
	ok($node->poll_query_until('postgres', $query), $what)
	  or diag(front('SELECT * FROM wa_node_status') . "\n" . $front->safe_psql('postgres', 'TABLE whatsapp_forwards'));
	return;
}

# Of texts like this: how many are stored, and how many different ones.
sub stored { return other("SELECT count(*), count(DISTINCT whatsapp_message_id) FROM whatsapp_inbound_messages WHERE text LIKE '$_[0]%'") }

my $nothing_waits = 'SELECT NOT EXISTS (SELECT FROM whatsapp_forwards)';

# ---- statuses and replies --------------------------------------------------------------

my @alba = map { enqueue($front, 'alba', "+3460011000$_") } 1 .. 3;
my @bruna = map { enqueue($other, 'bruna', "+3460022000$_") } 1 .. 3;
$_->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM whatsapp_queue)') foreach $front, $other;
$sim->inbound(number => $number{b}, from => '+34600220001', type => 'text', text => { body => 'vale' });
is(meta_tells(), '', 'Meta gets 200 for everything');
waits($other, "SELECT bool_and(status = 'read') FROM whatsapp_messages", 'messages of the other node learn what became of them');
waits($front, "SELECT bool_and(status = 'read') FROM whatsapp_messages", 'and so do those of the front');
waits($other, "SELECT EXISTS (SELECT FROM whatsapp_inbound_messages WHERE tenant_id = 'bruna' AND text = 'vale')",
	'what its customer writes is there, too');
is(front('SELECT count(*) FROM whatsapp_inbound_messages') . front('SELECT count(*) FROM whatsapp_parked_events'), '00', 'and nowhere else');
waits($front, $nothing_waits, 'nothing is left');
is(front("SELECT delivered > 0 AND errors = 0 AND failing_since IS NULL FROM whatsapp_nodes"), 't', 'which the front has counted');

# ---- of each what is its own -------------------------------------------------------------

my $alert = { field => 'account_alerts', value => { entity_type => 'WABA', entity_id => '300000000000001', alert_severity => 'WARNING',
		alert_status => 'ACTIVE', alert_type => 'OBA', alert_description => 'x' } };
is(post(body(words('b', 'mixed.b', 'mixta b'), words('a', 'mixed.a', 'mixta a'), $alert)), 200, 'a webhook for both of them');
waits($other, "SELECT EXISTS (SELECT FROM whatsapp_account_events WHERE field = 'account_alerts')", 'what concerns the account comes to both');
waits($front, $nothing_waits, 'after the rest');
is(stored('mixta b') . ' ' . stored('mixta a'), '1|1 0|0', 'the other node has its own part of it');
is(front("SELECT string_agg(text, ',') FROM whatsapp_inbound_messages WHERE text LIKE 'mixta%'"), 'mixta a', 'and the front its own');
is(front("SELECT count(*) FROM whatsapp_account_events WHERE field = 'account_alerts'"), '1', 'with the event');

is(post(body(words('b', 'forged', 'falsa')), 'sha256=' . '0' x 64), 401, 'a wrong signature is refused');
is(front('SELECT count(*) FROM whatsapp_forwards') . stored('falsa'), '00|0', 'and nothing of it passed on');

# ---- the other node hangs, the front is killed --------------------------------------------

kill 'STOP', $other_gateway->pid;
is(post(body(words('b', "hang.$_", "colgada $_"))), 200, 'a webhook for a node that hangs') for 1 .. 3;
is(post(body(words('a', 'own.1', 'propia'))), 200, 'and one for the front');
is(front("SELECT count(*) FROM whatsapp_inbound_messages WHERE text = 'propia'"), '1', 'which is taken in at once');
is(stored('colgada'), '0|0', 'the others wait');
$front->poll_query_until('postgres', "SELECT count(*) = 3 FROM whatsapp_forwards") or die 'they do not wait';
my $sender = front("SELECT pid FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'");
kill 'KILL', $sender;
$front->poll_query_until('postgres',
	"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender' AND pid <> $sender")
  or die 'no sender comes back';
$front->poll_query_until('postgres', "SELECT count(*) = 3 FROM whatsapp_forwards") or die 'something is gone';
kill 'CONT', $other_gateway->pid;
waits($front, $nothing_waits, 'after kill -9 of the front\'s sender all is delivered');
is(stored('colgada'), '3|3', 'and is there once');

# ---- the other node is away --------------------------------------------------------------

$other_gateway->stop;
is(post(body(words('b', "away.$_", "ausente $_"))), 200, 'a webhook for a node that is away') for 1 .. 5;
@alba = (enqueue($front, 'alba', '+34600110009'));
$front->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM whatsapp_queue)');
is(meta_tells(), '', 'the front\'s own go on');
waits($front, "SELECT status = 'read' FROM whatsapp_messages WHERE id = $alba[0]", 'and have their effect');
waits($front, "SELECT failing_since IS NOT NULL AND last_error <> '' FROM whatsapp_nodes", 'the front notes what is wrong');
$front->stop('immediate');
$front->start;
is(front('SELECT count(*) FROM whatsapp_forwards'), '5', 'what waits survives a crash of the front');
$other_gateway = gateway($other, $secret_file, '--listen' => "127.0.0.1:$other_port");
$front_gateway->wait_until_ready;
waits($front, $nothing_waits, 'when the node is back, everything is delivered');
is(stored('ausente'), '5|5', 'once');
is(other("SELECT string_agg(text, ',' ORDER BY inbound_id) FROM whatsapp_inbound_messages WHERE text LIKE 'ausente%'"),
	'ausente 1,ausente 2,ausente 3,ausente 4,ausente 5', 'in the order in which it came');
is(front("SELECT failing_since IS NULL FROM whatsapp_nodes"), 't', 'and all is well');

# ---- the other node's database is away -----------------------------------------------------

$other->stop('immediate');
is(post(body(words('b', "db.$_", "sin base $_"))), 200, 'a webhook for a node whose database is down') for 1 .. 3;
waits($front, "SELECT failing_since IS NOT NULL AND last_error LIKE '%503%' FROM whatsapp_nodes", 'its gateway says so');
$other->start;
waits($front, $nothing_waits, 'when the database is back, everything is delivered');
is(stored('sin base'), '3|3', 'once');

# ---- too much waits --------------------------------------------------------------------------

kill 'STOP', $other_gateway->pid;
front("SELECT wa_register_node('other', url, 3) FROM whatsapp_nodes");
post(body(words('b', "much.$_", "mucho $_"))) for 1 .. 4;
front("UPDATE whatsapp_forwards SET received_at = received_at - interval '1 minute'");
waits($front, 'SELECT is_full FROM wa_node_status', 'a node for which too much waits is full');
is(front("SELECT count(*) FROM whatsapp_alerts WHERE kind = 'node_full' AND resolved_at IS NULL"), '1', 'an alert says so');
is(post(body(words('b', 'full', 'llena'))), 503, 'a webhook for it is refused, and Meta keeps it');
is(post(body(words('b', 'full', 'llena'), words('a', 'full.a', 'llena a'))), 503, 'with whatever else it has');
is(post(body(words('a', 'own.2', 'propia 2'))), 200, 'others are not');
kill 'CONT', $other_gateway->pid;
waits($front, $nothing_waits, 'when the node goes on, all is delivered');
waits($front, 'SELECT NOT is_full FROM wa_node_status', 'and it is full no longer');
is(front("SELECT count(*) FROM whatsapp_alerts WHERE kind = 'node_full' AND resolved_at IS NULL"), '0', 'nor does an alert say so');
is(post(body(words('b', 'full', 'llena'), words('a', 'full.a', 'llena a'))), 200, 'what Meta kept is taken when it comes again');
waits($front, $nothing_waits, 'and passed on');
is(stored('mucho') . ' ' . stored('llena') . ' ' . front("SELECT count(*) FROM whatsapp_inbound_messages WHERE text = 'llena a'"),
	'4|4 1|1 1', 'each part where it belongs, once');

# ---- what a node has not taken for a week -----------------------------------------------------

kill 'STOP', $other_gateway->pid;
post(body(words('b', 'week', 'vieja')));
front("UPDATE whatsapp_forwards SET received_at = received_at - interval '8 days'");
waits($front, $nothing_waits, 'what a node has not taken for a week is given up, as Meta does');
is(front('SELECT expired FROM wa_node_status'), '1', 'which is counted');
is(front("SELECT count(*) FROM whatsapp_alerts WHERE kind = 'node_expired'"), '1', 'and told');
kill 'CONT', $other_gateway->pid;

# ---- over https ---------------------------------------------------------------------------------

my $tmp = $PostgreSQL::Test::Utils::tmp_check;
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=node "
	  . "-addext subjectAltName=IP:127.0.0.1 -keyout $tmp/key.pem -out $tmp/cert.pem 2> /dev/null") == 0
  or die 'openssl makes no certificate';
chmod 0600, "$tmp/key.pem";
my $tls = gateway($other, $secret_file, '--tls-cert' => "$tmp/cert.pem", '--tls-key' => "$tmp/key.pem");
front("SELECT wa_register_node('other', '" . $tls->url . "/webhook')");
is(post(body(words('b', "tls.$_", "cifrada $_"))), 200, 'a webhook for a node whose certificate nobody knows') for 1, 2;
waits($front, "SELECT failing_since IS NOT NULL AND last_error ~* 'certificate' FROM whatsapp_nodes", 'which is not trusted');
is(stored('cifrada'), '0|0', 'and gets nothing');
$front->append_conf('postgresql.conf', "whatsapp_shared.ca_file = '$tmp/cert.pem'");
$front->reload;
waits($front, $nothing_waits, 'once its authority is in ca_file, it does');
is(stored('cifrada'), '2|2', 'once');
front("SELECT wa_register_node('other', '" . $other_gateway->url . "/webhook')");
$tls->stop;

# ---- a copy of the front -------------------------------------------------------------------

kill 'STOP', $other_gateway->pid;
post(body(words('b', "copied.$_", "copiada $_"))) for 1, 2;
$front->backup('copied');
kill 'CONT', $other_gateway->pid;
waits($front, $nothing_waits, 'the front delivers');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($front, 'copied');
$copy->start;
$copy->wait_for_log(qr/whatsapp_shared copy: /);
my $silent = $copy->safe_psql('postgres', 'SELECT pid FROM wa_stats()');
$copy->safe_psql('postgres', 'SELECT wa_worker_restart()');
waits($copy, "SELECT pid <> $silent FROM wa_stats()", 'a copy of it, whose sender has gone and come');
is($copy->safe_psql('postgres', 'SELECT count(*) FROM whatsapp_forwards'), '2', 'passes on nothing of what waits in it');
$copy->safe_psql('postgres', 'SELECT wa_adopt()');
waits($copy, $nothing_waits, 'until it is adopted');
is(stored('copiada'), '2|2', 'then the node gets again what it has, and takes it in once');
$copy->stop;

# ---- what the other node refuses -----------------------------------------------------------

other(q{
CREATE FUNCTION no_poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.text LIKE 'veneno%' THEN RAISE EXCEPTION 'not this one'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER no_poison BEFORE INSERT ON whatsapp_inbound_messages FOR EACH ROW EXECUTE FUNCTION no_poison()});
kill 'STOP', $other_gateway->pid;    # so that they come together
post(body(words('b', 'first', 'primera')));
post(body(words('b', "mild.$_", $_ == 4 ? 'veneno' : "sana $_"))) for 1 .. 8;
kill 'CONT', $other_gateway->pid;
waits($other, "SELECT count(*) = 7 FROM whatsapp_inbound_messages WHERE text LIKE 'sana%'", 'what is refused takes nobody else with it');
waits($front, 'SELECT count(*) = 1 AND min(attempts) > 0 FROM whatsapp_forwards', 'it is put off');
other('DROP TRIGGER no_poison ON whatsapp_inbound_messages');
waits($front, $nothing_waits, 'and is taken when the node takes it');
is(stored('veneno') . ' ' . stored('sana'), '1|1 7|7', 'once, as the others');

# ---- a number moves --------------------------------------------------------------------------

my $carla = enqueue($other, 'carla', '+34600330001');
$other->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM whatsapp_queue)');
other("SELECT wa_unassign_phone('carla')");
front("SELECT wa_unassign_number_from_node('$number{moved}')");
front("SELECT wa_assign_phone('carla', '$number{moved}')");
is(meta_tells(), '', 'statuses of what was sent before a number moved');
waits($other, "SELECT status = 'read' FROM whatsapp_messages WHERE id = $carla", 'come to where it was sent');
is(post(body(words('moved', 'moved', 'mudada'))), 200, 'what its customers write');
is(front("SELECT tenant_id FROM whatsapp_inbound_messages WHERE text = 'mudada'"), 'carla', 'comes to where it is now');
waits($front, $nothing_waits, 'nothing is left');
is(stored('mudada'), '0|0', 'and only there');
is(front('SELECT count(*) FROM whatsapp_parked_events') . other('SELECT count(*) FROM whatsapp_parked_events'), '00',
	'all in all neither has got anything that it could not use');

$_->stop foreach $front_gateway, $other_gateway;
logged_nothing_bad($front, 'the front\'s log is clean', qr/terminat|the database system is/);
$_->stop foreach $front, $other;
done_testing();
