# The admin page in a browser, against a gateway, a server and the simulator: what
# an operator does, by mouse, by keyboard, on a phone, in Spanish, as a viewer, and
# while the database is away.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaBrowser qw(browser_wanted run_browser run_node);
use WaDelivery qw(enqueue new_delivery wait_for wait_status);
use WaGateway;
use WaLoad qw(stopwatch);
use WaTest qw(wait_for_senders);

plan skip_all => 'WA_BROWSER=no' unless browser_wanted();

run_node('pages.mjs', "$FindBin::RealBin/../../src/bin/gateway/pages");

my ($node, $sim) = new_delivery(
	'admin_page',
	tenants => 0,
	settings => [
		"whatsapp_shared.business_account_id = '300000000000001'",
		"whatsapp_shared.uncertain_policy = 'park'",
		"whatsapp_shared.uncertain_grace = '1s'"
	]);

# The numbers as Meta writes them, and who has them.
$node->safe_psql('postgres', 'SELECT wa_sync_phone_numbers()');
wait_for($node, 'SELECT bool_and(display_phone_number IS NOT NULL) AND count(*) >= 12 FROM whatsapp_phone_numbers',
	'the numbers are known');
$node->safe_psql('postgres', <<'SQL');
SELECT wa_assign_phone(t) FROM unnest('{alba,trigal,forn-sant-jordi,la-espiga}'::text[]) AS t;
SELECT wa_configure_tenant(t, is_new => true) FROM unnest('{pan-de-oro,obrador-norte}'::text[]) AS t;
SQL

# What went well, what failed, what nobody knows, and what waits.
my @failing = map { "+3461100000$_" } 1 .. 3;
enqueue($node, 'alba', '+346110001' . sprintf('%02d', $_), reference => "'PED-20$_'") for 10 .. 14;
$sim->faults(
	(map { { match => { recipient => $_ }, code => 131026, status => 400 } } @failing),
	{ match => { recipient => '+34611000009' }, times => 1, cut => 'accepted' });
enqueue($node, 'alba', $failing[$_], reference => "'PED-204$_'") for 0 .. 2;
my $uncertain = enqueue($node, 'forn-sant-jordi', '+34611000009', reference => "'PED-2049'");
enqueue($node, 'pan-de-oro', "+3461100002$_", reference => "'PED-205$_'") for 1 .. 2;
wait_for($node, q{SELECT count(*) = 3 FROM whatsapp_messages WHERE status = 'failed'}, 'three messages fail');
wait_for($node, "SELECT hold_reason = 'parked' FROM whatsapp_queue WHERE message_id = $uncertain",
	'one waits for a decision');

my $gateway = WaGateway->start($node);

run_browser(
	$gateway, 'admin.mjs',
	'mend the recipients' => sub { $sim->faults() },
	'enqueue a message' => sub { enqueue($node, 'alba', '+34611000077', reference => q{'PED-3000'}) },
	'stop the database' => sub { $node->stop('fast') },
	'start the database' => sub { $node->start; wait_for_senders($node, 'postgres', 1) },
	'make many tenants' => sub {
		$node->safe_psql('postgres', <<'SQL');
INSERT INTO whatsapp_tenants (tenant_id, enabled) SELECT 'tenant-' || to_char(i, 'FM0000'), false FROM generate_series(1, 3000) AS i
SQL
		my $watch = stopwatch($gateway, $node);
		is($gateway->get('/api/v1/admin/whatsapp/tenants?limit=50')->{status}, 200, 'three thousand tenants are listed');
		cmp_ok($watch->seconds, '<', 1, 'within a second');
	});

done_testing();
