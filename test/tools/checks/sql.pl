# What an installed extension promises about its SQL objects, asked of the
# catalogs.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('catalog');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'whatsapp_shared'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE SCHEMA wa; CREATE EXTENSION whatsapp_shared SCHEMA wa');

# The query finds offenders, each in a row; there must be none.
sub none
{
	my ($what, $query) = @_;
	is($node->safe_psql('postgres', $query), '', $what);
	return;
}

my $members = q{(SELECT d.classid, d.objid FROM pg_depend d
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = 'whatsapp_shared' AND d.deptype = 'e')};
my $functions = "(SELECT p.*, l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE ('pg_proc'::regclass, p.oid) IN $members)";
my $relations = "(SELECT c.* FROM pg_class c WHERE ('pg_class'::regclass, c.oid) IN $members)";

cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM $functions f"),
	'>', 20, 'there are functions');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM $relations r WHERE relkind = 'r'"),
	'>', 10, 'and tables');

# ---- functions ------------------------------------------------------------------

none('every function in SQL or PL/pgSQL pins its search_path', "
	SELECT oid::regprocedure FROM $functions f
	WHERE lanname IN ('sql', 'plpgsql') AND prosqlbody IS NULL
	AND NOT EXISTS (SELECT FROM unnest(proconfig) s
		WHERE s IN ('search_path=pg_catalog, pg_temp', 'search_path=pg_catalog, wa, pg_temp'))");
none(q{so does every function that runs with its owner's rights}, "
	SELECT oid::regprocedure FROM $functions f
	WHERE prosecdef AND NOT EXISTS (SELECT FROM unnest(proconfig) s WHERE s LIKE 'search_path=%')");
none('no function can be called by everybody but those that policies call', "
	SELECT oid::regprocedure FROM $functions f
	WHERE proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) a WHERE a.grantee = 0)
	EXCEPT SELECT (SELECT oid::regprocedure FROM pg_proc WHERE proname = object_name)
	FROM wa.wa_internal_privilege_list() WHERE privileges = '{public}'");
none('every public function, table and view is in the list of privileges, if only as nobody\'s', "
	SELECT proname FROM $functions f WHERE NOT starts_with(proname, 'wa_internal_')
	UNION SELECT relname FROM $relations r
		WHERE relkind IN ('r', 'p', 'v', 'm') AND NOT starts_with(relname, 'wa_internal_')
	EXCEPT SELECT object_name FROM wa.wa_internal_privilege_list()");
none('once', "
	SELECT object_name FROM wa.wa_internal_privilege_list() GROUP BY 1 HAVING count(*) > 1");
none('under privileges that there are', "
	SELECT object_name, p FROM wa.wa_internal_privilege_list(), unnest(privileges) p
	WHERE p NOT IN ('admin', 'sender', 'monitor', 'webhook', 'tenant', 'public')");
none('no function names objects for privileges by a pattern', "
	SELECT oid::regprocedure FROM $functions f WHERE proname ~ 'privilege|grant' AND prosrc ~* 'like|~|starts_with'");
none('every function is described', "
	SELECT oid::regprocedure FROM $functions f
	WHERE obj_description(oid, 'pg_proc') IS NULL AND proname NOT LIKE 'wa\\_internal\\_%'");
none('a function that changes something is not called in parallel', "
	SELECT oid::regprocedure FROM $functions f WHERE provolatile = 'v' AND proparallel <> 'u'");
none('all functions have our prefix', "
	SELECT oid::regprocedure FROM $functions f WHERE proname !~ '^wa_'");

# ---- tables and views -------------------------------------------------------------

none('no table or view can be read by everybody', "
	SELECT oid::regclass FROM $relations r
	WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
	AND EXISTS (SELECT FROM aclexplode(COALESCE(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner))) a
		WHERE a.grantee = 0)");
none('every table and view is described', "
	SELECT oid::regclass FROM $relations r
	WHERE relkind IN ('r', 'p', 'v', 'm') AND obj_description(oid, 'pg_class') IS NULL");
none('so is every column that a user can see', "
	SELECT a.attrelid::regclass, a.attname FROM $relations r JOIN pg_attribute a ON a.attrelid = r.oid
	WHERE relkind IN ('r', 'p', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
	AND NOT starts_with(relname, 'wa_internal_') AND obj_description(r.oid, 'pg_class') !~ '\\mInternal\\M'
	AND col_description(r.oid, a.attnum) IS NULL");
none('all tables and views have our prefix', "
	SELECT oid::regclass FROM $relations r
	WHERE relkind IN ('r', 'p', 'v', 'm') AND relname !~ '^(whatsapp|wa)_'");
none('every check constraint has a name that says what it checks', "
	SELECT conrelid::regclass, conname FROM pg_constraint
	WHERE ('pg_class'::regclass, conrelid) IN $members AND contype = 'c'
	AND conname !~ '_(check|key)\$'");
none('no index covers a column of whatsapp_messages that changes', "
	SELECT i.indexrelid::regclass, a.attname
	FROM pg_index i
	JOIN pg_attribute a ON a.attrelid = i.indrelid
		AND (a.attnum = ANY (i.indkey)
			OR pg_get_expr(i.indpred, i.indrelid) ~ ('\\m' || a.attname || '\\M')
			OR pg_get_expr(i.indexprs, i.indrelid) ~ ('\\m' || a.attname || '\\M'))
	WHERE i.indrelid = 'wa.whatsapp_messages'::regclass
	AND a.attname NOT IN ('id', 'tenant_id', 'recipient_phone', 'recipient_user_id', 'idempotency_key', 'reference', 'created_at', 'scheduled_at')");

# Data of the site goes into a dump; what does not is named here with a reason.
my %not_dumped = (whatsapp_home => 'it is about a place');
my $dumped = $node->safe_psql('postgres', "
	SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM $relations c
	WHERE c.relkind IN ('r', 'p') AND NOT EXISTS (
		SELECT FROM pg_extension e WHERE e.extname = 'whatsapp_shared' AND c.oid = ANY (e.extconfig))");
is($dumped, join(' ', sort keys %not_dumped), 'every table with data of the site goes into a dump');
none('and with each table its sequences', "
	SELECT s.oid::regclass FROM pg_class s
	JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
		AND d.refclassid = 'pg_class'::regclass
	JOIN pg_extension e ON e.extname = 'whatsapp_shared' AND d.refobjid = ANY (e.extconfig)
	WHERE s.relkind = 'S' AND NOT s.oid = ANY (e.extconfig)");

# A publication of all tables must not make statements of ours fail.
none('every table has a key by which its rows can be replicated', "
	SELECT oid::regclass FROM $relations r
	WHERE relkind IN ('r', 'p') AND (relreplident <> 'd'
		OR NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = r.oid AND i.indisprimary))");

# ---- the script ------------------------------------------------------------------------

# Functions whose calls look like these are no functions, but syntax.
my $syntax = qr/^(?:coalesce|greatest|least|nullif|array|operator|exists|extract)$/i;
foreach my $file (sort glob 'sql/[0-9][0-9]-*.sql')
{
	my $text = slurp_file($file);
	my @lines = split /\n/, $text;

	utf8::decode($_) foreach @lines;
	is(join(', ', grep { length $lines[ $_ - 1 ] > 120 } 1 .. @lines), '', "$file: lines have 120 columns at most");

	# Strings and comments are blanked; bodies of functions, whose path is pinned, come to every second place.
	$text =~ s{/\*.*?\*/}{}gs;
	my ($script, $bodies) = ('', '');
	my @parts = split /\$\$/, $text;
	while (my ($outside, $body) = splice @parts, 0, 2)
	{
		$script .= $outside =~ s/'(?:[^']|'')*'/''/gr;
		$bodies .= $body // '';
	}
	unlike($bodies, qr/pg_catalog\./, "$file: where the path is pinned, pg_catalog stands before no name");
	is( join(', ', grep { !/$syntax/ } $script =~ /(?<![.\w"])(\w+)\(/g),
		'', "$file: elsewhere it stands before every function");
}

# ---- uninstalling ---------------------------------------------------------------------

$node->safe_psql('postgres', 'DROP EXTENSION whatsapp_shared');
none('DROP EXTENSION leaves nothing behind', q{
	SELECT 'relation', c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'wa'
	UNION ALL
	SELECT 'function', p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'wa'
	UNION ALL
	SELECT 'type', t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = 'wa'});

$node->stop;
done_testing();
