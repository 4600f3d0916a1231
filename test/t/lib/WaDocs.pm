# Reads the fenced blocks of the manual's Markdown files, with what they say
# about how they are to be tested.
#
# Every ```sql block is run.  A comment on the line before it may say more:
#
#   <!-- test: error 23505 -->    it has to fail, with this SQLSTATE
#   <!-- test: until -->          it is repeated until its answer is true
#   <!-- test: not run: why -->   it is not run
#
# Programs and commands (sh, bash, python, js) say which test reads and runs them,
# or why none does; test/tools/checks/lists.pl insists on it:
#
#   <!-- test: run by test/t/151_gateway_docs.pl -->
#   <!-- file: high-availability/etcd.conf -->    it is no command, but this file
#
# A ```text block right after a ```sql block is what psql has to print for it.
package WaDocs;

use strict;
use warnings;

use Exporter qw(import);
our @EXPORT_OK = qw(blocks);

# The blocks of a file, each with lang, text, line, and, where they are given,
# directive (what follows "test:") and output (of an SQL block).
sub blocks
{
	my ($file) = @_;
	open(my $in, '<:encoding(UTF-8)', $file) or die "could not open $file: $!";
	my (@blocks, $block, $indent, $directive, $just_ended);

	while (my $line = <$in>)
	{
		if ($block)
		{
			if ($line =~ /^\s*```\s*$/)
			{
				if ($block->{lang} eq 'text' && $just_ended && $just_ended->{lang} eq 'sql')
				{
					$just_ended->{output} = $block->{text};
				}
				push @blocks, $block;
				($just_ended, $block) = ($block, undef);
				next;
			}
			$line =~ s/^\Q$indent\E//;
			$block->{text} .= $line;
		}
		elsif ($line =~ /^(\s*)```(\w*)\s*$/)
		{
			$indent = $1;
			$block = { file => $file, line => $., lang => $2, text => '', directive => $directive };
			$directive = undef;
		}
		elsif ($line =~ /^\s*<!-- (?:test: |(?=file: ))(.*?) -->\s*$/)
		{
			$directive = $1;
		}
		elsif ($line =~ /\S/)
		{
			die "$file line $.: a test directive must stand right before its block\n" if $directive;
			$just_ended = undef;
		}
	}
	die "$file: the block of line $block->{line} does not end\n" if $block;
	return @blocks;
}

1;
