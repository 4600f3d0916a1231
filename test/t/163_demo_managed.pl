# make demo-managed, from its first line to its last: it succeeds, and nothing is left of it.

use strict;
use warnings;

use FindBin;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
chomp(my $bindir = `pg_config --bindir`);
local $ENV{WA_DEMO_PREFIX} = $bindir =~ s{/bin$}{}r;
delete local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE KEEP)};

my %before = map { $_ => 1 } glob '/tmp/whatsapp_shared-demo.*';
my ($out, $err) = ('', '');
my $ok = IPC::Run::run([ 'bash', "$root/demo/managed.sh" ], '<', \undef, '>', \$out, '2>', \$err,
	IPC::Run::timeout(4 * $PostgreSQL::Test::Utils::timeout_default));

ok($ok, 'the demo comes to its end') or diag($out, $err);
is($err, '', 'without a word on standard error');
like($out, qr/the application's: .* shared_preload_libraries = ''$/m, 'the application\'s server has no library');
like($out, qr/ERROR:  invalid recipient phone number/, 'a bad call is refused at once');
like($out, qr/tenant "nadie" does not exist/, 'what the sidecar refuses comes back');
like($out, qr/left out by replication and taken later: 1$/m, 'what replication left out is found');
like($out, qr/^22 messages were accepted by Meta, each once/m, 'every message arrived once');
is_deeply([ grep { !$before{$_} && -O $_ } glob '/tmp/whatsapp_shared-demo.*' ], [], 'nothing is left of it');

done_testing();
