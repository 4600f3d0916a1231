# What the Makefiles do: which files are made, when they are made again, where
# they are installed, and that nothing is left behind.  The compiler is one that
# only writes down how it was called, so that a build takes a moment; that the
# code compiles is the business of other suites.

use strict;
use warnings;

use Cwd qw(getcwd);
use File::Path qw(make_path remove_tree);
use Test::More;

my $root = getcwd() . '/build/rules';
my ($tree, $tools, $stage) = map { "$root/$_" } qw(tree tools stage);
my $log = "$root/made";
my $real = `sh -c 'command -v "\$0"' "$ENV{PG_CONFIG}"`;
chomp $real;

remove_tree($root);
make_path($tree, $tools);
system("tar -cf - --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude='whatsapp_shared--*.sql' Makefile whatsapp_shared.control sql src test/unit test/fuzz test/simulator | tar -C $tree -xf -") == 0
  or die 'tar failed';

sub write_tool
{
	my ($name, $script) = @_;
	open my $fh, '>', "$tools/$name" or die "$tools/$name: $!";
	print $fh "#!/bin/sh\n$script";
	close $fh;
	chmod 0755, "$tools/$name";
	return;
}

# A compiler, linker and archiver of bitcode: its output says how it was called.
write_tool($_, <<"SH") foreach qw(cc clang llvm-lto);
for argument; do
    [ "\$previous" = -o ] && output=\$argument
    previous=\$argument
done
[ -n "\$output" ] || exit 0
echo "\$output" >> '$log'
echo "\$0 \$*" > "\$output"
SH

# Another installation of PostgreSQL, which has the same files elsewhere.
write_tool('other_pg_config', <<"SH");
'$real' "\$@" | sed 's,^/.*/bin\$,$root/other/bin,'
SH

# Runs make, which must succeed; returns what was made with the tools above.
sub make_in
{
	my ($dir, $what, @arguments) = @_;

	unlink $log;
	my $output = `make -C $dir CC=$tools/cc CLANG=$tools/clang LLVM_BINPATH=$tools @arguments 2>&1`;
	is($?, 0, "$what: make succeeds") or diag($output);
	open my $fh, '<', $log or return;
	my @made = <$fh>;
	close $fh;
	chomp @made;
	return @made;
}

sub files_below
{
	my ($dir) = @_;
	return [ sort map { s{^\Q$dir\E/}{}r } split /\n/, `find $dir -type f -o -type l` ];
}

make_in($tree, 'clean', "PG_CONFIG=$real", 'clean'); # of what the copy has brought along
my @sources = map { s{^\Q$tree\E/}{}r } split /\n/, `find $tree/src -path $tree/src/bin -prune -o -name '*.c' -print`;
my $all = @sources;
my $before = files_below($tree);
my $plain = "PG_CONFIG=$real with_llvm=no";
my $other = "PG_CONFIG=$tools/other_pg_config with_llvm=no";

# How many objects there are among what was made, and of which kind.
sub count_of
{
	my ($pattern, @made) = @_;
	return scalar grep { $_ =~ $pattern } @made;
}

# ---- made once, and again when it must be ----

my @made = make_in($tree, 'in the tree', $plain, '-j4');
is(count_of(qr/\.o$/, @made), $all, 'every source is compiled');
is(count_of(qr/\.so$/, @made), 1, 'the library is linked');
is(count_of(qr/\.bc$/, @made), 0, 'no bitcode is made without LLVM');
ok(-s "$_", "$_ is made") foreach glob "$tree/sql/whatsapp_shared--*.sql";

is_deeply([ make_in($tree, 'again', $plain) ], [], 'the second time there is nothing to do');
is(count_of(qr/\.o$/, make_in($tree, 'other PostgreSQL', $other)), $all, 'nothing is taken over for another PostgreSQL');
is(count_of(qr/\.o$/, make_in($tree, 'the first again', $plain)), $all, 'nor back');
is(count_of(qr/\.o$/, make_in($tree, 'other flags', $plain, 'PG_CFLAGS=-DOTHER')), $all, 'nor for other flags');
make_in($tree, 'the first again', $plain);
utime time + 5, time + 5, "$tree/src/compat.h"; # clocks of file systems are coarse
is(count_of(qr/\.o$/, make_in($tree, 'a header', $plain)), $all, 'a header that has changed is noticed');
utime 0, 0, "$tree/src/compat.h";

# A fragment that has gone must leave the install script.
my ($script) = glob "$tree/sql/whatsapp_shared--*.sql";
my $size = -s $script;
my ($fragment) = reverse sort glob "$tree/sql/[0-9][0-9]-*.sql";
rename $fragment, "$root/fragment" or die;
make_in($tree, 'without a fragment', $plain);
cmp_ok(-s $script, '<', $size, 'a fragment that has gone leaves the script');
rename "$root/fragment", $fragment or die;

my $llvm = "PG_CONFIG=$real with_llvm=yes";
is(count_of(qr/\.bc$/, make_in($tree, 'with LLVM', $llvm)), $all, 'bitcode is made with LLVM');
is(count_of(qr/\.bc$/, make_in($tree, 'with LLVM, other PostgreSQL', "PG_CONFIG=$tools/other_pg_config with_llvm=yes")),
	$all, 'and again for another PostgreSQL');

# ---- installed ----

# What is installed, without the directories that differ between machines.
sub installed
{
	my ($dir, $what, @arguments) = @_;
	my @found;

	remove_tree($stage);
	make_in($dir, $what, @arguments, "DESTDIR=$stage", 'install');
	@found = grep { !m{/bitcode/} } @{ files_below($stage) };
	return [ sort map { s{.*/}{}r } @found ];
}

my @product = ('whatsapp_shared.control', 'whatsapp_shared.so', $script =~ s{.*/}{}r, 'application.sql', 'sidecar.sql');
@product = sort @product;
is_deeply(installed($tree, 'install', $plain), \@product, 'the library, the control file and the scripts are installed');
is_deeply(installed($tree, 'install with LLVM', $llvm), \@product, 'the same with LLVM');
is(scalar(grep { m{/bitcode/whatsapp_shared/src/.*\.bc$} } @{ files_below($stage) }), $all, 'and the bitcode');

make_in($tree, 'clean', $llvm, 'clean');
is_deeply(files_below($tree), $before, 'cleaning leaves nothing');

# ---- in a directory of its own ----

my $vpath = "$root/vpath";
make_path($vpath);
@made = make_in($vpath, 'outside of the tree', '-f', "$tree/Makefile", $plain, '-j4');
is(count_of(qr/\.o$/, @made), $all, 'every source is compiled outside of the tree');
is_deeply(installed($vpath, 'install from outside', '-f', "$tree/Makefile", $plain), \@product, 'and installed');
is_deeply([ make_in($vpath, 'again', '-f', "$tree/Makefile", $plain) ], [], 'there is nothing left to do');
is_deeply(files_below($tree), $before, 'the tree stays as it is');
make_in($vpath, 'clean', '-f', "$tree/Makefile", $plain, 'clean');
is_deeply(files_below($vpath), [], 'cleaning leaves nothing there either');

# ---- programs and tests; these are compiled with the server's headers, too ----

foreach my $program (qw(simulator gateway))
{
	cmp_ok(scalar(make_in($tree, $program, $plain, $program)), '>', 3, "$program: there is something to make");
	is_deeply([ make_in($tree, "$program again", $plain, $program) ], [], "$program: once");
}

# Its pages are part of the gateway: one that is changed, one that is new, one that has gone.
my $pages = "$tree/src/bin/gateway/pages/common";
system("echo >> $pages/base.css && touch -d '+1 minute' $pages/base.css") == 0 or die 'touch failed';
is_deeply([ sort(make_in($tree, 'another page', $plain, 'gateway')) ], [ 'build/embedded.o', 'wa_gateway' ], 'gateway: again for a page');
system("touch -d '-1 minute' $pages/base.css; echo > $pages/new.css; touch -d '-1 hour' $pages/new.css");
is_deeply([ sort(make_in($tree, 'one more page', $plain, 'gateway')) ], [ 'build/embedded.o', 'wa_gateway' ], 'gateway: and for one that is new');
unlink "$pages/new.css";
is_deeply([ sort(make_in($tree, 'a page less', $plain, 'gateway')) ], [ 'build/embedded.o', 'wa_gateway' ], 'gateway: and for one that has gone');

foreach my $suite (qw(unit fuzz))
{
	my $dir = "$tree/test/$suite";
	my $first = () = make_in($dir, $suite, $plain);

	cmp_ok($first, '>', 3, "$suite: there is something to make");
	is_deeply([ make_in($dir, "$suite again", $plain) ], [], "$suite: once");
	is(scalar(() = make_in($dir, "$suite, other PostgreSQL", $other)), $first, "$suite: and again for another PostgreSQL");
}
make_in($tree, 'clean', $plain, 'clean');
is_deeply(files_below($tree), $before, 'cleaning leaves nothing of them');

remove_tree($root);
done_testing();
