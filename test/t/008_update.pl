# ALTER EXTENSION UPDATE: a next version is made up, and a database that is
# updated to it must have the same catalog as one in which it is created.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $pg_config = $ENV{PG_CONFIG} // 'pg_config';

# ---- a copy of the installation, to which versions can be added -----------------------

my %dir;
foreach my $name (qw(bindir sharedir pkglibdir))
{
	chomp($dir{$name} = `$pg_config --$name`);
}

# PostgreSQL finds its files relative to its programs.
my $common = $dir{bindir};
$common =~ s{[^/]+/*$}{} until $dir{sharedir} =~ /^\Q$common\E/ && $dir{pkglibdir} =~ /^\Q$common\E/;
my $installation = PostgreSQL::Test::Utils::tempdir;
foreach my $path (values %dir)
{
	my $copy = "$installation/" . substr $path, length $common;

	make_path($copy);
	system_or_bail('cp', '-RLp', "$path/.", $copy);
}
my $bindir = "$installation/" . substr $dir{bindir}, length $common;
my $extensions = "$installation/" . substr("$dir{sharedir}/extension", length $common);

sub write_script
{
	my ($name, @parts) = @_;

	open my $fh, '>', "$extensions/whatsapp_shared--$name.sql" or die "$name: $!";
	print $fh map { "$_\n" } @parts;
	close $fh;
	return;
}

# ---- the next version ---------------------------------------------------------------

my ($version) = slurp_file("$extensions/whatsapp_shared.control") =~ /^default_version = '(.*)'/m;
my $script = slurp_file("$extensions/whatsapp_shared--$version.sql");

# What it adds, by how an update script adds it: all that a script may forget.
my %new = (
	column => 'ALTER TABLE @extschema@.whatsapp_sync ADD COLUMN note text;',
	column_comment => q{COMMENT ON COLUMN @extschema@.whatsapp_sync.note IS 'A note.';},
	table => 'CREATE TABLE @extschema@.whatsapp_examples (tenant_id text PRIMARY KEY);',
	table_comment => q{COMMENT ON TABLE @extschema@.whatsapp_examples IS 'Examples.';},
	dump => 'SELECT @extschema@.wa_internal_mark_for_dump();',
	function => 'CREATE FUNCTION @extschema@.wa_example(tenant_id text, again boolean DEFAULT false) RETURNS text
		LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT tenant_id $$;',
	function_comment => q{COMMENT ON FUNCTION @extschema@.wa_example(text, boolean) IS 'An example.';},
	twins => 'SELECT @extschema@.wa_internal_create_twins();',
	settle => 'SELECT @extschema@.wa_internal_settle_privileges();');

# The script of the whole version has these among all others.
sub change
{
	my ($what, $pattern, $replacement) = @_;

	is(($script =~ s/$pattern/$replacement/), 1, "the script of the next version: $what");
	return;
}
change('a column', qr/(?=\n\);\s+INSERT INTO \@extschema\@\.whatsapp_sync)/, ",\n    note text");
change('a table and a function', qr/^(?=SELECT \@extschema\@\.wa_internal_create_twins)/m,
	join("\n", @new{qw(column_comment table table_comment function function_comment)}) . "\n");
change('for senders and monitors', qr/wa_explain\}/, 'wa_explain, wa_example}');
change('for administrators', qr/whatsapp_installation\}/, 'whatsapp_installation, whatsapp_examples}');
write_script('next', $script);

my ($list) = $script =~ /^(CREATE FUNCTION \@extschema\@\.wa_internal_privilege_list\(.*?^\$\$;)/ms;
$new{list} = $list =~ s/^CREATE/CREATE OR REPLACE/r;

# The script that updates to it, and such that forget something.
my @steps = qw(column column_comment table table_comment dump function function_comment list twins settle);
sub write_update
{
	my ($to, @forgotten) = @_;
	my %forgotten = map { $_ => 1 } @forgotten;

	write_script("$version--$to", map { $new{$_} } grep { !$forgotten{$_} } @steps);
	return;
}
write_update('next');

# ---- both have the same catalog --------------------------------------------------------

my $node = PostgreSQL::Test::Cluster->new('update', install_path => $bindir =~ s{/bin/*$}{}r);
$node->init;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'whatsapp_shared'\nwhatsapp_shared.databases = ''\n");
$node->start;

sub create
{
	my ($db, $as, @then) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, join '; ', 'CREATE SCHEMA wa',
		"CREATE EXTENSION whatsapp_shared SCHEMA wa VERSION '$as'", @then);
	return catalog($db);
}

sub catalog
{
	my ($db) = @_;

	return [ split /\n/, $node->safe_psql($db, slurp_file("$root/test/lib/catalog.sql"),
			extra_params => [ '--set', 'extension=whatsapp_shared' ]) ];
}

# What one catalog has and the other has not.
sub difference
{
	my ($one, $other) = @_;
	my %in = map { $_ => 1 } @$one;
	my %in_other = map { $_ => 1 } @$other;

	return ((map { "- $_" } grep { !$in_other{$_} } @$one), map { "+ $_" } grep { !$in{$_} } @$other);
}

my $before = create('before', $version);
my $fresh = create('fresh', 'next');
my $updated = create('updated', $version, "ALTER EXTENSION whatsapp_shared UPDATE TO 'next'");

cmp_ok(scalar @$before, '>', 1000, 'the catalog has many facts');
my @news = difference($before, $fresh);
foreach my $what (
	qr/^\+ function wa\.wa_example\(text,boolean\): comment 'An example\.'/,
	qr/^\+ function wa\.wa_example\(anyelement,boolean\): comment /,
	qr/^\+ column note of table wa\.whatsapp_sync: comment 'A note\.'/,
	qr/^\+ wa\.whatsapp_examples: dumped/,
	qr/^\+ function wa\.wa_example\(text,boolean\): initial privileges pg_monitor=EXECUTE/)
{
	ok((grep { /$what/ } @news), "the next version has what $what says");
}
is_deeply([ difference($fresh, $updated) ], [], 'an updated database has the catalog of a new one');

# ---- every version that was released leads to the present one --------------------------

foreach my $file (sort glob "$root/sql/released/whatsapp_shared--*.sql")
{
	my ($old) = $file =~ m{--([^/]+)\.sql$};
	my @update = $old eq $version ? () : ("ALTER EXTENSION whatsapp_shared UPDATE TO '$version'");

	copy($file, $extensions) or die "$file: $!";
	is_deeply([ difference($before, create('released_' . $old =~ s/\W/_/gr, $old, @update)) ],
		[], "what was released as $old leads to the catalog of $version");
}

# ---- what a script forgets is seen ---------------------------------------------------

my %missed = (
	column_comment => qr/^- column note of table wa\.whatsapp_sync: comment 'A note/,
	table_comment => qr/^- table wa\.whatsapp_examples: comment 'Examples/,
	dump => qr/^- wa\.whatsapp_examples: dumped/,
	function_comment => qr/^- function wa\.wa_example\(text,boolean\): comment 'An/,
	list => qr/^- function wa\.wa_example\(text,boolean\): initial privileges pg_monitor=EXECUTE/,
	twins => qr/^- function wa\.wa_example\(anyelement,boolean\): comment /,
	settle => qr/^- function wa\.wa_example\(text,boolean\): initial privileges /);
foreach my $step (sort keys %missed)
{
	write_update("without_$step", $step);
	my $catalog = create("without_$step", $version, "ALTER EXTENSION whatsapp_shared UPDATE TO 'without_$step'");
	my @lines = difference($fresh, $catalog);

	ok((grep { /$missed{$step}/ } @lines), "an update script that forgets \"$step\" is found out")
	  or diag(join "\n", @lines);
}

# ---- privileges of the site ------------------------------------------------------------

$node->safe_psql('postgres', 'CREATE ROLE app');
create('site', $version, q{SELECT wa.wa_grant('app', 'sender')}, "ALTER EXTENSION whatsapp_shared UPDATE TO 'next'");

sub may_call
{
	my ($function) = @_;
	return $node->safe_psql('site', "SELECT has_function_privilege('app', '$function', 'EXECUTE')");
}
is(may_call('wa.wa_explain(bigint)'), 't', 'a role keeps what it was granted');
is(may_call('wa.wa_example(text, boolean)'), 'f', 'what is new is granted to nobody');
$node->safe_psql('site', q{SELECT wa.wa_grant('app', 'sender')});
is(may_call('wa.wa_example(text, boolean)'), 't', 'until wa_grant() is called again');
is( $node->safe_psql(
		'site', q{SELECT count(*) FROM pg_init_privs i, aclexplode(i.initprivs) a WHERE a.grantee = 'app'::regrole}),
	'0', 'and pg_dump takes no right of the site for the extension\'s own');
$node->stop;

# ---- update scripts are kept and installed ------------------------------------------------

my $tree = PostgreSQL::Test::Utils::tempdir;
make_path("$tree/sql/outbox");
copy("$root/$_", "$tree/$_") or die "$_: $!" foreach qw(Makefile whatsapp_shared.control .gitignore);
copy($_, "$tree/sql") or die "$_: $!" foreach glob "$root/sql/[0-9][0-9]-*.sql";
copy($_, "$tree/sql/outbox") or die "$_: $!" foreach glob "$root/sql/outbox/*.sql";
copy("$extensions/whatsapp_shared--$version--next.sql", "$tree/sql") or die "update script: $!";

# Without the library, which is not in question here.
system_or_bail('make', '-s', '-C', $tree, 'install',
	'MODULE_big=', 'OBJS=', "PG_CONFIG=$pg_config", "DESTDIR=$tree/to");
is_deeply(
	[ map { s{.*/}{}r } sort glob "$tree/to/$dir{sharedir}/extension/*" ],
	[ map { "whatsapp_shared$_" } "--$version--next.sql", "--$version.sql", '.control' ],
	'make install installs the script of the version and those that update');

SKIP:
{
	skip 'there is no git', 2 if system('git --version > /dev/null 2>&1') != 0;
	system_or_bail('git', '-C', $tree, 'init', '-q');
	isnt(system("git -C $tree check-ignore -q sql/whatsapp_shared--$version--next.sql"), 0, 'git keeps an update script');
	is(system("git -C $tree check-ignore -q sql/whatsapp_shared--$version.sql"), 0, 'and not the built one');
}

done_testing();
