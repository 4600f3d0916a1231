# The pages of docs/reference, from what they are about: an installed extension,
# a gateway, and the sources' error messages.
#
#   my %pages = reference_pages($node, $root, $exposition);    # name => Markdown, as bytes
#
# $node has the extension in its database "postgres", and rows enough that every
# metric has a value; $exposition is what /metrics of a gateway in front of it says.
package WaReference;

use strict;
use warnings;
use utf8;

use Encode qw(encode);
use Exporter qw(import);
use WaReference::Errors;
use WaReference::Functions;
use WaReference::Metrics;
use WaReference::Settings;
use WaReference::Tables;

our @EXPORT_OK = qw(reference_pages);

sub reference_pages
{
	my ($node, $root, $exposition) = @_;
	my %pages = (
		'error-codes.md' => WaReference::Errors::page($node, $root),
		'functions.md' => WaReference::Functions::page($node),
		'metrics.md' => WaReference::Metrics::page($node, $exposition),
		'settings.md' => WaReference::Settings::page($node, $root),
		'tables.md' => WaReference::Tables::page($node));

	return map { ($_ => encode('UTF-8', $pages{$_})) } keys %pages;
}

1;
