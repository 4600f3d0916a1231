# The manual: every SQL snippet of README.md and docs/*.md runs and prints what
# it is said to print, every function that users may call is described, names and
# links lead somewhere, and what the program is said to say, it says.  The pages of
# docs/reference are compared by test/tools/checks/references.pl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDocs qw(blocks);
use WaSimulator;

my $root = "$FindBin::RealBin/../..";
my @files = ("$root/README.md", sort glob "$root/docs/*.md");

# ---- a server set up as README.md says ---------------------------------------

my $tmp = PostgreSQL::Test::Utils::tempdir;
append_to_file("$tmp/access_token", "TOKEN_OF_THE_MANUAL\n");
chmod 0600, "$tmp/access_token" or die "could not chmod: $!";
my $simulator = WaSimulator->start(
	'--token' => 'TOKEN_OF_THE_MANUAL',
	'--numbers' => 0,
	'--config' => "$root/demo/account.json");
my $graph_url = $simulator->url;

my ($conf) = grep { $_->{lang} eq 'ini' } blocks($files[0]);
ok($conf && $conf->{text} =~ /^shared_preload_libraries/m, 'README.md shows the settings');

my $node = PostgreSQL::Test::Cluster->new('manual');
$node->init;
$node->append_conf('postgresql.conf', $conf->{text});
$node->append_conf('postgresql.conf', <<"CONF");
whatsapp_shared.graph_url = '$graph_url'
whatsapp_shared.access_token_file = '$tmp/access_token'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->command_ok(
	[
		'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('app'),
		'-f', "$root/demo/schema.sql", '-f', "$root/demo/data.sql"
	],
	'the application of the demo is there');

# ---- the snippets --------------------------------------------------------------

# psql's answer to a snippet, errors included, in the form the manual shows.
sub run_snippet
{
	my ($sql) = @_;
	my $output = '';
	my $ok = IPC::Run::run(
		[
			'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-v', 'SHOW_CONTEXT=never', '-P', 'footer=off',
			'-d', $node->connstr('app') . " application_name='manual'"
		],
		'<', \$sql, '>&', \$output);
	$output =~ s/ +$//mg;
	$output =~ s/\n\n+\z/\n/;
	return ($ok, $output);
}

sub test_snippet
{
	my ($block) = @_;
	my $directive = $block->{directive} // '';
	(my $name = "$block->{file} line $block->{line}") =~ s{.*/(?=[\w-]+\.md)}{};

	if ($directive =~ /^not run: (.+)/)
	{
		note("$name is not run: $1");
		return;
	}
	if ($directive eq 'until')
	{
		(my $query = $block->{text}) =~ s/;\s*\z//;
		ok($node->poll_query_until('app', $query), "$name becomes true");
		return;
	}
	my ($ok, $output) = run_snippet(($directive =~ /^error/ ? "\\set VERBOSITY verbose\n" : '') . $block->{text});
	if ($directive =~ /^error (\w{5})$/)
	{
		like($output, qr/ERROR:  $1:/, "$name is refused with $1");
	}
	elsif ($directive ne '')
	{
		fail("$name: unknown directive \"$directive\"");
	}
	else
	{
		ok($ok, "$name runs") or diag($output);
	}
	if (defined $block->{output})
	{
		(undef, $output) = run_snippet($block->{text}) if $directive =~ /^error/;
		is($output, $block->{output}, "$name prints what the manual shows");
	}
	return;
}

my $snippets = 0;
# docs/managed.md is about two other servers: t/162_managed_docs.pl.
foreach my $block (map { blocks($_) } grep { !m{/managed\.md$} } @files)
{
	next if $block->{lang} ne 'sql';
	test_snippet($block);
	$snippets++;
}
cmp_ok($snippets, '>', 10, 'there are snippets');

# ---- the functions and their arguments -----------------------------------------------

# Every function for users as name(argument, argument=), where = means that it
# has a default.  Variants for other types of tenant_id are one with theirs;
# what only the sender, the views and the gateway call is not for users.
my %functions = map { $_ => 1 } split /\n/, $node->safe_psql(
	'app', q{
	SELECT format('%s(%s)', p.proname, (
		SELECT string_agg(n.name || CASE WHEN n.no > p.pronargs - p.pronargdefaults THEN '=' ELSE '' END,
						  ', ' ORDER BY n.no)
		FROM (SELECT a.name, row_number() OVER (ORDER BY a.no) AS no
			  FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS a (name, mode, no)
			  WHERE a.mode IS NULL OR a.mode IN ('i', 'b')) AS n))
	FROM pg_depend d
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
	WHERE e.extname = 'whatsapp_shared' AND d.deptype = 'e'
		AND 'anyelement'::regtype <> ALL (p.proargtypes::oid[])
		AND p.proname !~ '^wa_(internal|gateway)_'});

my $options = 'scheduled_at=, expires_at=, priority=, idempotency_key=, reference=, on_uncertain=';
my %stands_for = (
	options => $options,
	free_form_options => "$options, context_message_id=, fallback_template=, fallback_parameters=");
my %headings = map {
	my ($name, $arguments) = @$_;
	my @arguments = map { s/ = .*/=/r } split /, (?=\w)/, $arguments;
	(sprintf('%s(%s)', $name, join ', ', map { $stands_for{$_} // $_ } @arguments) => 1);
} map { [/^### `(wa_\w+)\((.*?)\)(?: → [^`]+)?`$/] } grep { /^### `wa_/ } split /\n/,
  PostgreSQL::Test::Utils::slurp_file("$root/docs/sql-reference.md");

is_deeply([ sort keys %headings ], [ sort keys %functions ],
	'the SQL reference has every function with its arguments');

# ---- names in the text ------------------------------------------------------------------

my %exists = map { $_ => 1 } split /\n/, $node->safe_psql(
	'app', q{
	SELECT coalesce(p.proname, c.relname)
	FROM pg_depend d
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
	WHERE e.extname = 'whatsapp_shared' AND d.deptype = 'e' AND coalesce(p.proname, c.relname) IS NOT NULL
	UNION
	SELECT attname FROM pg_attribute WHERE attrelid = 'whatsapp_messages'::regclass
	UNION
	SELECT rolname FROM pg_roles});
# Programs, what they set, Meta's own names, and keys of the settings document.
$exists{$_} = 1
  foreach qw(wa_simulator wa_gateway wa_admin wa_owner wa_id whatsapp_business_messaging whatsapp_business_management
  whatsapp_enabled whatsapp_phone_number_id whatsapp_display_phone_number whatsapp_default_language
  whatsapp_access_token whatsapp_shared);
# Metrics, as their page has them.
$exists{$_} = 1 foreach slurp_file("$root/docs/reference/metrics.md") =~ /^\| `(whatsapp_\w+)` \|/mg;
# What performance is made of is told in terms of the code: there, and only
# there, a name may also be one of the functions that src/*.h declare.
my %in_code = map { $_ => 1 } map { slurp_file($_) =~ /\b(wa_[a-z]+_[a-z0-9_]+)\(/g } glob "$root/src/*.h $root/src/*/*.h $root/src/*/*/*.h";
# What sql/outbox makes is named where that is explained.
my %of_outbox = map { $_ => 1 } map { slurp_file($_) =~ /\b(wa_\w+|whatsapp_\w+)\b/g } glob "$root/sql/outbox/*.sql";
my @unknown;
foreach my $file (@files)
{
	my %names = map { $_ => 1 } slurp_file($file) =~ /\b(wa_[a-z0-9_]+|whatsapp_[a-z0-9_]+)\b/g;
	my $inside = $file =~ m{/benchmarks\.md$};
	my $outbox = $file =~ m{/(?:managed|README)\.md$};
	push @unknown, map { "$file: $_" =~ s{.*/}{}r }
	  grep { !$exists{$_} && !($inside && $in_code{$_}) && !($outbox && $of_outbox{$_}) } sort keys %names;
}
is_deeply(\@unknown, [], 'every function, table and view that the manual names exists');

# ---- links -----------------------------------------------------------------------------

# As GitHub makes them of headings.
sub anchors
{
	my ($file) = @_;
	my %anchors;

	foreach my $heading (slurp_file($file) =~ /^#+ (.+)$/mg)
	{
		utf8::decode($heading);
		my $anchor = lc $heading;
		$anchor =~ s/[^\w\- ]//g;
		$anchor =~ tr/ /-/;
		$anchors{$anchor} = 1;
	}
	return \%anchors;
}

my @broken;
foreach my $file (@files, glob "$root/docs/reference/*.md")
{
	(my $dir = $file) =~ s{/[^/]*$}{};
	foreach my $link (slurp_file($file) =~ /\]\(([^)\s]+)\)/g)
	{
		next if $link =~ /^https?:/;
		my ($path, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
		my $target = $path eq '' ? $file : "$dir/$path";
		push @broken, "$file: $link"
		  unless -e $target && (!defined $anchor || anchors($target)->{$anchor});
	}
}
is_deeply(\@broken, [], 'links lead somewhere');

# ---- quotations ------------------------------------------------------------------------

# What incidents.md has the program say stands in the sources, whose literals are parted by line ends.
my $said = join '', map { slurp_file($_) } glob "$root/sql/*-*.sql $root/src/*/*.c";
$said =~ s/(['"])\s*\n\s*\1//g;
$said =~ s/\n\s+/ /g;
$said =~ s/''/'/g;
my @quoted = map { s/…$//r } slurp_file("$root/docs/incidents.md") =~ /«(.*?)»/g;
cmp_ok(scalar @quoted, '>', 20, 'incidents.md quotes the program');
is_deeply([ grep { index($said, $_) < 0 } @quoted ], [], 'which says just that');

$node->stop;
done_testing();
