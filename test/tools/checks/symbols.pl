# Before PostgreSQL 16 every symbol of the library is visible to the whole
# server, so all of ours must have our prefix.  And the library needs no symbol
# that a server of the same major version might lack, nor lacks a function that a
# script of an installed extension may name.

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use Test::More;

my @symbols = map { (split)[2] } `nm -D --defined-only --extern-only whatsapp_shared.so`;

is($?, 0, 'nm reads the library');
ok(scalar(grep { $_ eq '_PG_init' } @symbols), 'it is a module');
foreach my $symbol (sort @symbols)
{
	like($symbol, qr/^(?:wa_\w+|pg_finfo_wa_\w+|_PG_init|Pg_magic_func|_init|_fini)$/,
		"$symbol has our prefix");
}

# What only some minor releases of a major version have.
sub slurp
{
	my ($file) = @_;
	open my $fh, '<', $file or die "$file: $!";
	local $/;
	return scalar <$fh>;
}

my @minor = grep { /^\w/ } split /\n/, slurp('test/tools/checks/minor-symbols.txt');
my $minor = join '|', @minor;
foreach my $file (sort split /\n/, `find src -path src/bin -prune -o -name '*.[ch]' -print`)
{
	my $code = slurp($file) =~ s{/\*.*?\*/}{}gsr;
	my @named = $code =~ /\b($minor)\b/g;

	is_deeply(\@named, [], "$file names nothing that only later minor releases have");
}

# The build refuses what no library defines: a planted symbol must fail it.
my $dir = "$ENV{TESTDATADIR}/symbols";
remove_tree($dir);
make_path($dir);
system('cp', '-R', 'Makefile', 'whatsapp_shared.control', 'sql', 'src', $dir) == 0 or die 'cp failed';
open my $plant, '>>', "$dir/src/init.c" or die "init.c: $!";
print $plant "extern void wa_nobody_has_this(void);\nPGDLLEXPORT void wa_planted(void);\n"
  . "void\nwa_planted(void)\n{\n\twa_nobody_has_this();\n}\n";
close $plant;
my $output = `make -C $dir with_llvm=no PG_CONFIG="$ENV{PG_CONFIG}" all 2>&1`;
isnt($?, 0, 'the build fails for a symbol that nobody defines');
like($output, qr/has no symbol wa_nobody_has_this$/m, 'and names it') or diag($output);
open $plant, '>>', "$dir/src/init.c" or die "init.c: $!";
print $plant "void wa_implicit(void);\nvoid\nwa_implicit(void)\n{\n\twa_undeclared();\n}\n";
close $plant;
$output = `make -C $dir with_llvm=no PG_CONFIG="$ENV{PG_CONFIG}" all 2>&1`;
isnt($?, 0, 'so it does for a function that nobody declares');
like($output, qr/implicit declaration of function .*wa_undeclared/, 'and names it');
remove_tree($dir);

# A script stays in a database until ALTER EXTENSION UPDATE: the functions that any
# script names are there, or every call of them fails.
my %defined = map { $_ => 1 } @symbols;
foreach my $script (sort glob 'sql/whatsapp_shared--*.sql')
{
	my %named = map { $_ => 1 } slurp($script) =~ /'MODULE_PATHNAME',\s*'(\w+)'/g;

	ok(scalar(keys %named) > 0 || $script =~ /--.*--/, "$script names functions of the library");
	is_deeply([ sort grep { !$defined{$_} || !$defined{"pg_finfo_$_"} } keys %named ],
		[], "the library has every function that $script names");
}
done_testing();
