# sql/outbox/application.sql judges calls as the extension does: the same calls, the same errors.  And whoever may
# only send can do nothing else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaOutbox qw(new_application);
use WaTest qw(new_node fails_like);

my $application = new_application('application');
my $extension = new_node('extension', 'client_min_messages = error');
$extension->safe_psql('postgres', q{CREATE EXTENSION whatsapp_shared; SELECT wa_assign_phone('t1', '100000000000001')});

# ---- the same errors ----------------------------------------------------------------------------

my $calls = "$FindBin::RealBin/../outbox/calls.sql";

sub judgements
{
	my ($node, $db) = @_;
	my ($out, $err) = run_command([ 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-f', $calls, '-d', $node->connstr($db) ]);
	is($err, '', 'the calls run');
	return split /\n(?=\d+ wa_|\d+ count)/, $out;
}

my @here = judgements($application, 'app');
my @there = judgements($extension, 'postgres');
my @differences = grep { $here[$_] ne $there[$_] } 0 .. $#there;

cmp_ok(scalar @there, '>', 250, 'there are many calls');
cmp_ok(scalar(grep { !/=> ok$/ } @there), '>', 180, 'most of which are wrong');
cmp_ok(scalar(grep { /=> ok$/ } @there), '>', 40, 'and some are right');
is(scalar @here, scalar @there, 'each was judged');

# What depends on tables is decided at the sidecar: these two cannot be told here.
@differences = grep { $there[$_] !~ /type of button \d is unknown|the 24-hour window of this recipient is closed/ || $here[$_] !~ /=> ok$/ }
  @differences;
is_deeply([ map { "$here[$_] here, but $there[$_]" } @differences ], [], 'and alike');

# ---- the same functions ---------------------------------------------------------------------------

my $signatures = q{SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ') ' || pg_get_function_result(p.oid) FROM pg_proc AS p
	WHERE p.proname IN ('wa_enqueue_message', 'wa_enqueue_text', 'wa_enqueue_media', 'wa_enqueue_interactive', 'wa_enqueue_payload', 'wa_enqueue_bulk')
	ORDER BY 1};
is($application->safe_psql('app', $signatures), $extension->safe_psql('postgres', $signatures), 'names, arguments and defaults are the same');

# ---- rights -----------------------------------------------------------------------------------------

is($application->safe_psql('app', q{SELECT rolsuper OR rolreplication OR rolcreaterole FROM pg_roles WHERE rolname = 'app_owner'}), 'f',
	'all of it belongs to a role without privileges');
is($application->safe_psql('app', q{SELECT count(*) FROM pg_proc AS p, aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a
	WHERE p.pronamespace IN ('whatsapp'::regnamespace, 'whatsapp_outbox'::regnamespace) AND a.grantee = 0}), 0,
	'nothing may be called by everybody');
is($application->safe_psql('app', q{SELECT string_agg(p.proname, ', ') FROM pg_proc AS p
	WHERE p.pronamespace IN ('whatsapp'::regnamespace, 'whatsapp_outbox'::regnamespace)
		AND NOT COALESCE(p.proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']}), '', 'every function has its path pinned');
foreach my $forbidden ('SELECT FROM whatsapp_outbox.outbox', 'DELETE FROM whatsapp_outbox.result', q{UPDATE whatsapp_messages SET status = 'read'},
	q{SELECT whatsapp.wa_internal_write('message', 't1', NULL, '{}')}, q{SELECT whatsapp.wa_grant('app', 'sidecar')},
	q{INSERT INTO whatsapp_outbox.outbox (kind, tenant_id, args) VALUES ('text', 't1', '{}')})
{
	my ($rc, undef, $err) = $application->psql('app', $forbidden, extra_params => [ '-U', 'app' ]);
	like($err, qr/permission denied|cannot update view/, "a sender may not: $forbidden");
}
like(($application->psql('app', q{SELECT whatsapp.wa_grant('app', 'all')}, extra_params => [ '-U', 'app_owner' ]))[2],
	qr/ERROR:  invalid privilege "all"\nHINT:  Use "sender", "monitor" or "sidecar"\./, 'a privilege that does not exist is named');

# Objects in a caller's path, or of his own, mean nothing to the functions.
is($application->safe_psql('app', q{CREATE FUNCTION pg_temp.octet_length(text) RETURNS integer LANGUAGE sql AS 'SELECT 1/0';
	SET search_path = pg_temp, pg_catalog; SELECT whatsapp.wa_enqueue_message('t1', '+34600112233', 'aviso', idempotency_key => 'k') > 0},
	extra_params => [ '-U', 'app' ]), 't', 'a function of the caller\'s is not called');

# ---- a second time, and elsewhere ---------------------------------------------------------------------

my $before = $application->safe_psql('app', 'SELECT count(*) FROM whatsapp_outbox.outbox');
WaOutbox::install($application, 'app', 'app_owner', 'application.sql');
is($application->safe_psql('app', 'SELECT count(*) FROM whatsapp_outbox.outbox'), $before, 'run again, it leaves the data alone');
my @file = ('-f', "$FindBin::RealBin/../../sql/outbox/application.sql");
$application->command_fails_like([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $application->connstr('app') . ' user=app', @file ],
	qr/belongs to another role/, 'it refuses to work in a schema of somebody else');
$extension->command_fails_like([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $extension->connstr('postgres'), @file ],
	qr/this database has the extension whatsapp_shared itself/, 'and beside the extension');

$application->stop;
$extension->stop;
done_testing();
