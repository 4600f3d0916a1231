# What the pages of docs/reference have in common: rows of a server, and Markdown.
package WaReference::Markdown;

use strict;
use warnings;
use utf8;

use Exporter qw(import);
use JSON::PP ();

our @EXPORT_OK = qw(rows title prose cell table);

my $json = JSON::PP->new->utf8;

# The rows of a query, as hashes, in their order.
sub rows
{
	my ($node, $query) = @_;
	return @{ $json->decode($node->safe_psql('postgres', "SELECT coalesce(json_agg(q), '[]') FROM ($query) AS q")) };
}

sub title
{
	my ($text, $introduction) = @_;
	chomp $introduction;
	return "<!-- Made by \"make references\" from the catalog; test/tools/checks/references.pl compares it. -->\n"
	  . "# $text\n\n$introduction\n";
}

# A comment of the catalog as Markdown: nothing in it is markup, and names are set as code.
sub prose
{
	my ($text) = @_;

	return '' unless defined $text;
	my @parts = split /(\b(?:whatsapp_shared\.\w+|(?:wa|whatsapp)_\w+)(?:\([^()]*\))?)/, $text;
	foreach my $i (0 .. $#parts)
	{
		if ($i % 2)
		{
			$parts[$i] = "`$parts[$i]`";
			next;
		}
		$parts[$i] =~ s/([\\`*<\[\]])/\\$1/g;
	}
	return join '', @parts;
}

# The same within a table.
sub cell
{
	my ($text) = @_;
	return prose($text) =~ s/\|/\\|/gr =~ s/\s*\n\s*/ /gr;
}

# Cells are Markdown already.
sub table
{
	my ($head, @rows) = @_;
	return join '', map { '| ' . join(' | ', @$_) . " |\n" } $head, [ map { '---' } @$head ], @rows;
}

1;
