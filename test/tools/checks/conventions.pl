# What the code promises about itself and a compiler does not check.

use strict;
use warnings;

use Test::More;

sub contents
{
	my ($path) = @_;
	open my $fh, '<', $path or die "$path: $!";
	local $/;
	my $text = <$fh>;
	close $fh;
	return $text;
}

# The text has nothing like this in it; if it does, the lines are shown.
sub lacks
{
	my ($text, $pattern, $name) = @_;
	my @hits;

	while ($text =~ /$pattern/g)
	{
		my $line = 1 + substr($text, 0, $-[0]) =~ tr/\n//;
		push @hits, "line $line: $&";
	}
	ok(!@hits, $name) or diag(join "\n", @hits);
	return;
}

my @sources = sort split /\n/, `find src -name '*.[ch]'`;
ok(@sources > 10, 'there are sources');

foreach my $file (@sources)
{
	my $text = contents($file);

	lacks($text, qr/\b(?:strcpy|strcat|sprintf|vsprintf|strncpy|strncat|gets|alloca)\s*\(/,
		"$file calls no function that cannot be called safely");
	lacks($text, qr/\bPG_VERSION_NUM\b|\bLIBCURL_VERSION_NUM\b/, "$file tests no version")
	  unless $file eq 'src/compat.h' || $file =~ m{^src/bin/};
	# They come along with other headers in one version and do not in the next.
	ok($text =~ /^#include "(?:compat|wa_c)\.h"$/m, "$file takes what a value of variable length has from compat.h")
	  if $text =~ /\b(?:SET_VARSIZE|VAR(?:DATA|SIZE|ATT))\w*\(/ && $file ne 'src/compat.h' && $file !~ m{^src/bin/};
	lacks($text, qr{^\s*//|[;{}]\s+//}m, "$file has comments of one kind");
	ok($text =~ qr{\A/\*\n \* \Q@{[ $file =~ s{.*/}{}r ]}\E\n}, "$file begins by saying what it is");
}

# The files that the READMEs of the code name are there.
foreach my $readme (sort split /\n/, `find src test -name README.md`)
{
	my ($folder) = $readme =~ m{^(.*/)};
	my $text = contents($readme);
	my @named = $text =~ m{`([\w./-]+/[\w.-]+\.(?:c|h|sql|pl|sh))`}g;
	my @missing = grep { my $name = $_; !grep { -e "$_$name" } '', 'src/', $folder } @named;

	is("@missing", '', "$readme names files that exist");
}

# What the documents print of a file is what the file has.
my $printed = 0;
foreach my $document (sort glob 'docs/*.md')
{
	my $text = contents($document);
	while ($text =~ /^<!-- file: (\S+) -->\n```\w*\n(.*?)^```$/msg)
	{
		my ($file, $shown) = ($1, $2);
		$printed++;
		ok($shown eq contents("docs/$file"), "$document prints docs/$file as it is");
	}
}
ok($printed >= 5, 'there are such files');

# The settings stand in alphabetical order, which is how they are looked for.
my @settings = contents('src/base/guc.c') =~ /"whatsapp_shared\.(\w+)"/g;
ok(@settings > 20, 'there are settings');
is_deeply(\@settings, [ sort @settings ], 'the settings are in alphabetical order');

# The words of the log's lines: each is documented, is written by something, and is no other.
my ($words) = contents('src/base/life_cycle.c') =~ /\} words\[\] = \{(.*?)\n\};/s;
my %noted = $words =~ /\{"(\w+)", (true|false)\}/g;
my ($table) = contents('docs/operating.md') =~ /\| word \| when \|\n\|---\|---\|\n((?:\|.*\n)+)/;
is_deeply([ sort map { /`(\w+)`/g } $table =~ /^\| ([^|]+) \|/mg ], [ sort keys %noted ], "docs/operating.md lists the log's words");
my %direct = map { $_ => 1 } map { contents($_) =~ /WA_LIFE_CYCLE\(\s*"(\w+)"\)/g } @sources;
my $events = contents('sql/82-timeline.sql');
foreach my $word (sort keys %noted)
{
	ok($noted{$word} eq 'true' ? $events =~ /'$word'|[',]$word[',]/ : $direct{$word}, "something logs $word");
}
is_deeply([ grep { !exists $noted{$_} } sort keys %direct ], [], 'nothing is logged under another word');

# The install script.
my @fragments = sort glob 'sql/[0-9][0-9]-*.sql';
my $script = join '', map { contents($_) } @fragments;
ok($script =~ /^\\echo Use "CREATE EXTENSION whatsapp_shared" to load this file\. \\quit$/m,
	'the install script refuses to be run by psql');
(my $code = $script) =~ s{/\*.*?\*/|--[^\n]*}{}gs;
lacks($code, qr/CREATE\s+OR\s+REPLACE\N*|CREATE\N*\s+IF\s+NOT\s+EXISTS\N*/i,
	'it takes over no object that somebody has put in its way');
lacks($code, qr/^SET\b|\bset_config\s*\(\s*'search_path'/mi, 'it changes no setting of the session');

# The version stands once, and there is a script to every version from the one before.
my ($version) = contents('whatsapp_shared.control') =~ /^default_version = '([0-9.]+)'$/m;
ok(defined $version, 'the control file names the version');
like(contents('META.json'), qr/"version"\s*:\s*"\Q$version\E"/, 'META.json has the same');
my @updates = glob 'sql/whatsapp_shared--*--*.sql';
my @released = map { m{--([0-9.]+)\.sql$} } glob 'sql/released/whatsapp_shared--*.sql';
ok(@released > 0, 'there are released versions');
foreach my $old (@released)
{
	if ($old eq $version)
	{
		ok(contents("sql/released/whatsapp_shared--$old.sql") eq $script,
			"the fragments give what was released as $old; if not, a new version is due (sql/README.md)");
		next;
	}
	ok((grep { m{--\Q$old\E--[0-9.]+\.sql$} } @updates), "an update script leads on from $old");
}
foreach my $update (@updates)
{
	like($update, qr/--[0-9.]+--[0-9.]+\.sql$/, "$update leads from a version to a version");
}

done_testing();
