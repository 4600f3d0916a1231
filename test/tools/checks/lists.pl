# The tests that exist are the tests that run: every input has its expected
# output and the other way round, and no name keeps a test from being found.

use strict;
use warnings;

use Test::More;
use lib 'test/t/lib';
use WaDocs qw(blocks);

sub names
{
	my ($pattern) = @_;
	return map { m{([^/]+)\.[^./]+$} } sort glob $pattern;
}

my %expected = map { $_ => 1 } names('expected/*.out');
my %fragment = map { $_ => 1 } names('sql/*.sql');

# pg_regress accepts alternative outputs NAME_1.out to NAME_9.out.
my %known;
foreach my $test (names('test/sql/*.sql'), names('test/specs/*.spec'))
{
	ok($expected{$test}, "$test has an expected output");
	ok(!$known{$test}, "$test is the name of one test only");
	$known{$test} = 1;
}
foreach my $test (names('test/sql/*.sql'))
{
	ok(!$fragment{$test}, "$test is not the name of an install script, which pg_regress would run");
}
foreach my $output (sort keys %expected)
{
	my $test = $output =~ s/_[1-9]$//r;

	ok($known{$output} || $known{$test}, "$output.out belongs to a test");
}

foreach my $file (sort glob 'test/t/*.pl')
{
	like($file, qr{^test/t/[0-9]{3}_[a-z0-9_]+\.pl$}, "$file has a number and a name");
}
foreach my $file (sort grep { !/\.(?:pl|pm)$/ && -f } glob 'test/t/*')
{
	fail("$file would not be run");
}
foreach my $file (sort glob 'test/security/*')
{
	like($file, qr{^test/security/[a-z_]+\.pl$}, "$file would be run");
}
foreach my $file (sort grep { -f && !/\.sql$/ } glob 'test/pgtap/*')
{
	fail("$file would not be run");
}
foreach my $file (sort glob 'test/simulator/*')
{
	ok(-d $file || $file =~ /\.t$/, "$file would be run");
}

# Every program and command of the manual is run by a test that reads it there, or it says why not.
foreach my $block (map { blocks($_) } 'README.md', sort glob 'docs/*.md')
{
	next unless $block->{lang} =~ /^(?:sh|bash|python|js)$/;
	my $where = "$block->{file} line $block->{line}";
	my $directive = $block->{directive} // '';
	my ($test) = $directive =~ /^run by (\S+)$/;

	ok(defined $test || $directive =~ /^(?:not run|file): \S/, "$where says by which test it is run, or why it is not") or next;
	ok(-e $test, "$where is run by a test that exists") if defined $test;
}

my %number;
push @{ $number{ substr $_, 7, 3 } }, $_ foreach sort glob 'test/t/*.pl';
is(scalar @{ $number{$_} }, 1, "number $_ is given once") foreach sort keys %number;

# Every C file is compiled into something.
open my $fh, '<', 'Makefile' or die "Makefile: $!";
my $makefile = do { local $/; <$fh> };
close $fh;
foreach my $source (map { s/\.c$//r } sort split /\n/, `find src -path src/bin -prune -o -name '*.c' -print`)
{
	ok($makefile =~ m{^\t\Q$source\E\.o(?: \\)?$}m, "$source.c is in the Makefile's list");
}
my @listed = $makefile =~ m{^\t(src/\S+\.o)(?: \\)?$}mg;
is_deeply(\@listed, [ sort @listed ], 'the list is in alphabetical order');

done_testing();
