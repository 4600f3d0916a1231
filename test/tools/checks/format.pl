# clang-format would change nothing.  Its versions disagree about details, so
# only the one that the code is formatted with can say.

use strict;
use warnings;

use Test::More;

my $wanted = 14;
my ($program) = grep { (`$_ --version 2>/dev/null` // '') =~ /version $wanted\./ }
  ("clang-format-$wanted", 'clang-format');

plan skip_all => "clang-format $wanted is not here" unless defined $program;

# Starting it takes longer than what it does: many files at once.
my @files = sort split /\n/, `find src test -name '*.[ch]'`;
while (my @some = splice @files, 0, 100)
{
	my $output = `$program --dry-run -Werror --style=file @some 2>&1`;
	my $status = $?;
	my %complaints;

	foreach my $line (split /\n/, $output)
	{
		$complaints{$1} .= "$line\n" if $line =~ /^([^:\s]+):\d+:\d+: /;
	}
	is($complaints{$_} // '', '', "$_ is formatted") foreach @some;
	is($status == 0, !%complaints, 'what is wrong with them is said of a file') or diag($output);
}
done_testing();
