# make demo, from its first line to its last: it succeeds, its check would
# notice a message that is lost, doubled or altered, and nothing is left when it
# is interrupted.

use strict;
use warnings;

use FindBin;
use IPC::Run ();
use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $tmp = PostgreSQL::Test::Utils::tempdir;
chomp(my $bindir = `pg_config --bindir`);

local $ENV{WA_DEMO_PREFIX} = $bindir =~ s{/bin$}{}r;
local $ENV{KEEP} = 1;
delete local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)};

my ($out, $err) = ('', '');
my $demo = IPC::Run::start([ 'bash', "$root/demo/run.sh" ], '<', \undef, '>', \$out, '2>', \$err);
my $timer = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);

$timer->start;
until ($out =~ m{/_control/log} || $timer->is_expired || !$demo->pumpable)
{
	$demo->pump_nb;
	select undef, undef, undef, 0.05;
}
like($out, qr/Every message arrived once\.$/m, 'the demo comes to its end') or diag($out, $err);
is($err, '', 'without a word on standard error');
unlike($out, qr/WRONG/, 'all its checks hold');
is(() = $out =~ /^  ok +\d+ /mg, 12, 'each of them is shown');
like($out, qr/ERROR:  the 24-hour window of this recipient is closed/, 'free text is refused before the supplier has written');
like($out, qr/┃ Hola: la entrega del pedido COR-0388 pasa del \d+ de \w+ de \d+ al \d+ de \w+ de \d+\./,
	'a change of the order was told by a notification');
like($out, qr/^ +TRI-2041 +\| confirmed +\|/m, "the supplier's answer has confirmed the order");

my ($work) = $out =~ m{-h (\S+)/socket} or BAIL_OUT('the demo does not say where it is');
my ($control) = $out =~ m{(http://\S+)/_control/log};

# ---- the pages ------------------------------------------------------------------------

my ($gateway) = $out =~ m{(http://\S+)/app/admin/whatsapp$}m;
my ($token) = $out =~ /token is (\S+)$/m;
my ($link, $key) = $out =~ m{(http://\S+/app/settings/notifications/trigal)#key=(\S+)$}m;
my $http = HTTP::Tiny->new;

is($http->get("$gateway/app/admin/whatsapp")->{status}, 200, "the platform's page is there");
my $messages = $http->get("$gateway/api/v1/admin/whatsapp/messages?status=read&limit=100",
	{ headers => { authorization => "Bearer $token" } });
is($messages->{status}, 200, 'its token is one') or diag($messages->{content});
cmp_ok(scalar @{ JSON::PP::decode_json($messages->{content}) }, '>', 20, 'messages have come as far as read, by webhooks over HTTP');
is($http->get($link)->{status}, 200, "the bakery's page is there");
my $own = $http->get("$gateway/api/v1/tenants/trigal/messages", { headers => { authorization => "Bearer $key" } });
is($own->{status}, 200, 'its link is one');
like($own->{content}, qr/TRI-2041/, 'and shows its orders');
is($http->get("$gateway/api/v1/tenants/alba/messages", { headers => { authorization => "Bearer $key" } })->{status},
	403, 'and nobody else\'s');

# ---- the check, with a log that says something else ------------------------------------

my $json = JSON::PP->new->utf8;
my $log = HTTP::Tiny->new->get("$control/_control/log?limit=100000")->{content};

sub check_says
{
	my ($change) = @_;
	my $doc = $json->decode($log);

	$change->($doc->{records});
	open(my $file, '>', "$tmp/log.json") or die "could not write: $!";
	print $file $json->encode($doc);
	close $file or die "could not write: $!";
	return IPC::Run::run(
		[
			"$bindir/psql", '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', "$work/socket", '-U', 'postgres',
			'-d', 'bakery', '-v', "file=$tmp/log.json", '-f', "$root/demo/check.sql"
		],
		'<', \undef, '>', \my $ignored, '2>&1') ? 'good' : 'bad';
}

is(check_says(sub { }), 'good', 'the check passes on what was logged');
is(check_says(sub { pop @{ $_[0] } }), 'bad', 'it notices a message that is not in the log');
is(check_says(sub { push @{ $_[0] }, $_[0][0] }), 'bad', 'one that is there twice');
is(check_says(sub { $_[0][0]{to} = '34600000999' }), 'bad', 'one that went to somebody else');
is(check_says(sub { $_[0][0]{number} = '100000000000099' }), 'bad', 'one from another number');
is(check_says(sub { $_[0][0]{body} =~ s/(TRI|COR|ALB)-/XYZ-/ }), 'bad', 'one with another value');
is(check_says(sub { (grep { $_->{type} eq 'text' } @{ $_[0] })[0]{body} =~ s/sin problema/con mucho gusto/ }),
	'bad', 'and one with another text');

# ---- the end ------------------------------------------------------------------------------

ok(-e "$work/socket/.s.PGSQL.5432", 'the server is there until then');
$demo->signal('INT');
$demo->finish;
is($demo->full_result(0) >> 8, 130, 'interrupted, it ends with the status that says so');
ok(!-e $work, 'its directory is gone');
is(HTTP::Tiny->new(timeout => 5)->get("$control/_control/stats")->{status}, 599, 'the simulator, too');

done_testing();
