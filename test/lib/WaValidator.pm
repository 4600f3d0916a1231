# WaValidator: the validator of JSON schemas that the tests of the descriptions use.
#
#   install_validator($dir, 'gateway.mjs')
#
# copies a program of test/contract into an empty directory, with the packages
# that it imports: npm's ajv and yaml.  WA_VALIDATOR names a directory where npm has
# put them already; make check-matrix sets it, so that its chroots need no npm.
package WaValidator;

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Spec;
use Test::More;

our @EXPORT_OK = qw(install_validator);

my $sources = File::Spec->rel2abs(dirname(__FILE__)) . '/../contract';

sub install_validator
{
	my ($dir, @programs) = @_;
	my $there = $ENV{WA_VALIDATOR};

	foreach my $name (@programs, qw(package.json package-lock.json .npmrc))
	{
		copy("$sources/$name", "$dir/$name") or die "$name: $!";
	}
	if (defined $there)
	{
		ok(-d "$there/node_modules/ajv" && symlink("$there/node_modules", "$dir/node_modules"),
			'WA_VALIDATOR names a directory with the validator')
		  or BAIL_OUT('without the validator there is nothing to see');
		return;
	}
	is(system("cd '$dir' && npm ci --silent --no-audit --no-fund >&2"), 0, 'npm installs the validator')
	  or BAIL_OUT('without the validator there is nothing to see');
	return;
}

1;
