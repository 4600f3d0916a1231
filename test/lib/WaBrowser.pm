# WaBrowser: runs a test of test/browser in Chromium against a gateway.
#
#   run_browser($gateway, 'admin.mjs', 'stop the database' => sub { $node->stop });
#
# Each line that the test writes is a test here, too.  The test may ask for what
# only this side can do, by the name of one of the subs; it goes on afterwards.
#
# The packages of test/browser/package.json are installed by npm, once, into
# build/browser.  WA_BROWSER=no leaves all of this out, for machines that reach no
# registry.
package WaBrowser;

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Spec;
use IPC::Open2 qw(open2);
use Test::More;

use WaGateway;

our @EXPORT_OK = qw(browser_wanted browser_dir run_browser run_node);

my $here = File::Spec->rel2abs(dirname(__FILE__));
my $sources = "$here/../browser";

sub browser_wanted { return ($ENV{WA_BROWSER} // '') ne 'no' }

# A copy of test/browser with its packages; installed again when the lock file changes.
sub browser_dir
{
	my $dir = "$here/../../build/browser";

	make_path($dir);
	my $installed = -e "$dir/installed" && system('cmp', '-s', "$sources/package-lock.json", "$dir/installed") == 0;
	copy($_, $dir) or die "$_: $!" foreach glob "$sources/*.mjs $sources/*.json $sources/.npmrc";
	return $dir if $installed;
	system("cd '$dir' && npm ci --silent --no-audit --no-fund >&2") == 0
	  or die 'npm could not install the packages of test/browser (WA_BROWSER=no leaves these tests out)';
	copy("$dir/package-lock.json", "$dir/installed") or die "$dir/installed: $!";
	return $dir;
}

# A test that needs no browser.
sub run_node
{
	my ($script, @arguments) = @_;
	return run_script({}, {}, $script, @arguments);
}

sub run_browser
{
	my ($gateway, $script, %helps) = @_;
	my %environment = (
		WA_URL => $gateway->url,
		WA_ADMIN_TOKEN => $WaGateway::TOKEN{admin},
		WA_VIEWER_TOKEN => $WaGateway::TOKEN{viewer});

	return run_script(\%environment, \%helps, $script);
}

sub run_script
{
	my ($environment, $helps, $script, @arguments) = @_;
	my $dir = browser_dir();
	local %ENV = (%ENV, %$environment);
	my $pid = open2(my $out, my $in, 'node', "$dir/$script", @arguments);
	my $planned;

	binmode $out, ':encoding(UTF-8)';
	while (my $line = <$out>)
	{
		chomp $line;
		if ($line =~ /^(not )?ok \d+ - (.*)$/)
		{
			ok(!defined $1, $2);
		}
		elsif ($line =~ /^help: (.*)$/)
		{
			my $help = $helps->{$1};

			if (!defined $help) { fail("$script asks for help: $1") }
			else                { $help->() }
			print $in "done\n";
			$in->flush;
		}
		elsif ($line =~ /^1\.\.(\d+)$/) { $planned = $1 }
		else                            { diag($line) }
	}
	close $in;
	waitpid $pid, 0;
	ok(defined $planned, "$script comes to its end") or diag("status $?");
	return;
}

1;
