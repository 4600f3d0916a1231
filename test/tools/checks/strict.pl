# Everything compiles without a warning, assertions included.

use strict;
use warnings;

use Cwd qw(getcwd);
use File::Path qw(make_path remove_tree);
use Test::More;

my $flags = join ' ', qw(-DUSE_ASSERT_CHECKING -Wall -Wextra -Werror -Wno-unused-parameter
  -Wno-sign-compare -Wno-missing-field-initializers);
my $dir = getcwd() . '/build/strict';

remove_tree($dir);
make_path("$dir/src");
system('cp', '-R', 'Makefile', 'whatsapp_shared.control', 'sql', $dir) == 0 or die 'cp failed';
system('cp', glob('src/*.c src/*.h'), "$dir/src") == 0 or die 'cp failed';

# All of them, whatever happens to one.
my $output = `make -k -j2 -C $dir with_llvm=no PG_CONFIG="$ENV{PG_CONFIG}" PG_CFLAGS="$flags" all 2>&1`;
foreach my $source (map { m{(\w+)\.c$} } sort glob 'src/*.c')
{
	ok(-e "$dir/src/$source.o", "src/$source.c compiles without a warning")
	  or diag(grep { /\Q$source\E\.[ch]/ } map { "$_\n" } split /\n/, $output);
}
ok(-e "$dir/whatsapp_shared.so", 'the library links') or diag($output);

# The programs that are no part of the server choose their own warnings.
foreach my $program (grep { -e "$_/Makefile" } glob 'src/*')
{
	my $name = $program =~ s{.*/}{}r;

	system('cp', '-R', $program, "$dir/src") == 0 or die 'cp failed';
	system("make -s -C $dir/src/$name clean >/dev/null");
	$output = `make -j2 -C $dir/src/$name CFLAGS='-O2 -g -Werror' 2>&1`;
	is($?, 0, "src/$name compiles without a warning") or diag($output);
}

remove_tree($dir);
done_testing();
