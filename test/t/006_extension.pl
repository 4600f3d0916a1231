# The extension in a schema of the site's choice, dropped and created anew.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(new_node create_extension wait_for_senders sender_pids logged_nothing_bad);

my $node = new_node('extension');

$node->safe_psql('postgres', 'CREATE SCHEMA "My messages"');
create_extension($node, 'postgres', 'SCHEMA "My messages"');
my ($first) = wait_for_senders($node, 'postgres', 1);
is( $node->safe_psql('postgres', 'SELECT count(*) FROM "My messages".wa_stats()'),
	'1', 'the functions are in the chosen schema');
is( $node->safe_psql(
		'postgres', q{
		SELECT string_agg(format('%s.%s', n.nspname, c.relname), ', ')
		FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
		JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE e.extname = 'whatsapp_shared' AND d.deptype = 'e' AND n.nspname <> 'My messages'}),
	'',
	'and so is everything else');

$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION whatsapp_shared; ROLLBACK');
is_deeply([ sender_pids($node, 'postgres') ],
	[$first], 'a rolled-back DROP EXTENSION changes nothing');

$node->safe_psql('postgres', 'DROP EXTENSION whatsapp_shared');
wait_for_senders($node, 'postgres', 0);
ok(1, 'the sender leaves when the extension is dropped');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'My messages'}),
	'0', 'nothing is left of it');

create_extension($node, 'postgres');
my ($second) = wait_for_senders($node, 'postgres', 1);
isnt($second, $first, 'created anew in another schema, it gets a sender again');

$node->safe_psql('postgres', 'CREATE SCHEMA other; DROP EXTENSION whatsapp_shared; CREATE EXTENSION whatsapp_shared SCHEMA other');
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM other.wa_stats() WHERE pid IS NOT NULL')
  or die 'waited in vain for a sender';
ok(1, 'dropped and created in a breath, it keeps or gets one');
$node->safe_psql('postgres', 'DROP SCHEMA other CASCADE');
wait_for_senders($node, 'postgres', 0);
ok(1, 'the sender leaves when the schema is dropped');

# Idle databases cost nothing: no sender comes back by itself to look.
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'whatsapp_shared' AND installed_version IS NULL"),
	'1', 'the extension is gone');

# The stop comes first: it must not be noisy either.  A sender may be in the
# middle of a cycle when its tables go; it then says so once, and leaves.  Or it
# has to wait for the statement that drops them, which it does not do for long.
$node->stop;
logged_nothing_bad(
	$node,
	'and nobody complained of anything else',
	qr/ERROR:  (?:(?:relation|function) .* does not exist|could not open relation with OID|canceling statement due to lock timeout)/);

done_testing();
