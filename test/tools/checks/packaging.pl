# What the packages say of themselves: the version, which several files name, and the
# rules of the formats that nothing else here reads.

use strict;
use warnings;

use JSON::PP;
use Test::More;

sub contents
{
	my ($path) = @_;
	open my $fh, '<:encoding(UTF-8)', $path or die "$path: $!";
	local $/;
	my $text = <$fh>;
	close $fh;
	return $text;
}

# ---- one version ----

my ($version) = contents('whatsapp_shared.control') =~ /^default_version = '(\d+\.\d+\.\d+)'$/m;
ok(defined $version, 'the control file names a version of three numbers') or BAIL_OUT('there is none');

my ($packaged, $distribution) = contents('packaging/debian/changelog') =~ /\Awhatsapp-shared \(([^)]+)\) (\S+);/;
is($packaged =~ s/-[^-]+\z//r, $version, 'the newest entry of the packages is of that version');
is($distribution, 'unstable', 'and could be uploaded');

# The library is of the version that the control file names, and serves older scripts
# only if they were released.
my ($served) = contents('src/base/version.c') =~ /\bserved\[\] = \{([^}]*)\}/;
my @served = split /,\s*/, $served;
is(shift @served, 'VERSION_TEXT(WA_VERSION)', 'the library serves the scripts of that version');
my %released = map { m{--([0-9.]+)\.sql\z} ? ($1 => 1) : () } glob 'sql/released/*.sql';
is(join(' ', grep { !$released{ $_ =~ s/"//gr } } @served), '', 'and of no others than released ones');
like(contents('Makefile'), qr/-DWA_VERSION=\$\(EXTVERSION\)/, 'WA_VERSION is the version of the control file');

my ($newest) = contents('CHANGELOG.md') =~ /^## \[([^\]]+)\]/m;
ok($newest eq 'Unreleased' || $newest eq $version, 'the changelog begins with it, or with what is not released yet');

# ---- META.json: the PGXN Meta Spec, version 1.0.0 ----

my $meta = JSON::PP->new->decode(contents('META.json'));
my %known = map { $_ => 1 } qw(abstract maintainer license provides meta-spec name version
  description generated_by tags no_index prereqs release_status resources);

is(join(' ', grep { !$known{$_} && !/\Ax_/i } sort keys %$meta), '', 'META.json has no key that the specification does not have');
is(join(' ', grep { !defined $meta->{$_} } qw(abstract maintainer license provides meta-spec name version)), '', 'and all that it demands');
is($meta->{'meta-spec'}{version}, '1.0.0', 'it names the version of the specification');
is($meta->{name}, 'whatsapp_shared', 'and the name');
is($meta->{version}, $version, 'the version of the distribution is that of the control file');
is($meta->{license}, 'postgresql', 'the licence is one that the specification knows');
ok(!ref $meta->{maintainer} && length $meta->{maintainer}, 'there is a maintainer');
is($meta->{release_status}, $released{$version} ? 'stable' : 'testing', 'it is stable when it has been released');
is_deeply([ keys %{ $meta->{provides} } ], ['whatsapp_shared'], 'it provides the extension');
my $provided = $meta->{provides}{whatsapp_shared};
is($provided->{version}, $version, 'of that version');
ok(-f $provided->{$_}, "its $_ is there") foreach qw(file docfile);
foreach my $tag (@{ $meta->{tags} })
{
	ok(length $tag < 256 && $tag !~ m{[/\\[:cntrl:]]}, "tag $tag");
}
foreach my $phase (sort keys %{ $meta->{prereqs} })
{
	like($phase, qr/\A(?:configure|build|test|runtime|develop)\z/, "prerequisites: $phase");
	foreach my $relation (sort keys %{ $meta->{prereqs}{$phase} })
	{
		like($relation, qr/\A(?:requires|recommends|suggests|conflicts)\z/, "prerequisites: $phase, $relation");
		like($_, qr/\A(?:0|\d+\.\d+\.\d+)\z/, 'a version') foreach values %{ $meta->{prereqs}{$phase}{$relation} };
	}
}
my ($oldest) = contents('src/compat.h') =~ /PG_VERSION_NUM < (\d+)0000\n#error/;
is($meta->{prereqs}{runtime}{requires}{PostgreSQL}, "$oldest.0.0", 'it requires the server that compat.h requires');
like(contents('packaging/debian/pgversions'), qr/^\Q$oldest\E\+$/m, 'the packages are for these versions');

# Where it is published nobody knows yet: the resources are complete, and either all of
# them are placeholders of a domain that is reserved for these, or none is.
my $resources = $meta->{resources};
is_deeply([ sort grep { !/\Ax_/i } keys %$resources ], [qw(bugtracker homepage repository)], 'it has the three kinds of resources');
is_deeply([ sort keys %{ $resources->{repository} } ], [qw(type url web)], 'the repository has all that the specification knows');
like($resources->{repository}{type}, qr/\A[a-z]+\z/, 'and a type in lower case');
my %tracker = %{ $resources->{bugtracker} };
ok(%tracker && !grep({ !/\A(?:web|mailto|x_.+)\z/ } keys %tracker), 'bugs are reported to an address of the web or of mail');
my @addresses = ($resources->{homepage}, @{ $resources->{repository} }{qw(url web)}, grep { defined } @tracker{qw(web mailto)});
like($_, qr{\A(?:https?://[\w.-]+(?:/\S*)?|[^\s\@/]+\@[\w.-]+)\z}, "$_ is an address") foreach @addresses;
my @reserved = grep { m{[/\@.]example\.com(?:/|\z)} } @addresses;
ok(@reserved == 0 || @reserved == @addresses, 'no address is left to be replaced where others have been');

# ---- the packages ----

my $control = contents('packaging/debian/control.in');
my @packages = $control =~ /^Package: (\S+)/mg;
is_deeply(\@packages, [qw(postgresql-PGVERSION-whatsapp-shared whatsapp-shared-gateway whatsapp-shared-simulator)], 'there are three packages');
is($control =~ /^(?:Homepage|Vcs-\w+):\s*(.*)/m ? $1 : '', '', 'they name no address that is none of ours');
(my $licence = contents('LICENSE')) =~ s/\A.*?(?=Permission)//s;
(my $copyright = contents('packaging/debian/copyright')) =~ s/\A.*^License: PostgreSQL\n(?= )//ms;
$copyright =~ s/^ //mg;
$copyright =~ s/^\.$//mg;
is($copyright, $licence, 'the licence of the packages is ours, word for word');
unlike(contents($_), qr{/usr/local|/root\b|/home\b}, "$_ names no place of a machine") foreach grep { -f } glob 'packaging/debian/*';

done_testing();
