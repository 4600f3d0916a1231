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
make_path($dir);
system('cp', '-R', 'Makefile', 'whatsapp_shared.control', 'sql', 'src', $dir) == 0 or die 'cp failed';
system("find $dir/src -name '*.o' -delete");

# All of them, whatever happens to one.
my $output = `make -k -j2 -C $dir with_llvm=no PG_CONFIG="$ENV{PG_CONFIG}" PG_CFLAGS="$flags" all 2>&1`;
foreach my $source (map { s/\.c$//r } sort split /\n/, `find src -path src/bin -prune -o -name '*.c' -print`)
{
	ok(-e "$dir/$source.o", "$source.c compiles without a warning")
	  or diag(grep { /\Q$source\E\.c/ } map { "$_\n" } split /\n/, $output);
}
ok(-e "$dir/whatsapp_shared.so", 'the library links') or diag($output);

# The programs that are no part of the server choose their own warnings.
foreach my $program (grep { -e "$_/Makefile" } glob 'src/bin/*')
{
	system("make -s -C $dir/$program clean >/dev/null");
	$output = `make -j2 -C $dir/$program CFLAGS='-O2 -g -Werror' 2>&1`;
	is($?, 0, "$program compiles without a warning") or diag($output);
}

remove_tree($dir);
done_testing();
