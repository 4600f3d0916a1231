# clang-format would change nothing.  Its versions disagree about details, so
# only the one that the code is formatted with can say.

use strict;
use warnings;

use Test::More;

my $wanted = 14;
my ($program) = grep { (`$_ --version 2>/dev/null` // '') =~ /version $wanted\./ }
  ("clang-format-$wanted", 'clang-format');

plan skip_all => "clang-format $wanted is not here" unless defined $program;

my @files = sort split /\n/, `find src test -name '*.[ch]'`;
foreach my $file (@files)
{
	my $output = `$program --dry-run -Werror --style=file $file 2>&1`;

	is($?, 0, "$file is formatted") or diag($output);
}
done_testing();
