# Many at once: delays must not stand in each other's way, and connections stay.
use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use IO::Select;
use SimClient;
use Test::More;
use Time::HiRes qw(time);
use WaLoad qw(patience stopwatch);
use WaSimulator;

my $connections = 500;
my $rounds      = 3;
my $sim = WaSimulator->start('--delay-ms' => 300);

my @sockets = map { raw_open($sim) } 1 .. $connections;
my $start   = time;
my $watch   = stopwatch($sim);
for my $round (1 .. $rounds)
{
	for my $i (0 .. $#sockets)
	{
		raw_write($sockets[$i], message_request(text_message(biz_opaque_callback_data => "$round:$i")));
	}
	my $good = 0;
	for my $socket (@sockets)
	{
		my $seen = raw_read($socket);
		$good++ if $seen->{end} eq 'whole' && $seen->{status} == 200;
	}
	is($good, $connections, "round $round");
}
my $took = time - $start;
cmp_ok($took, '>=', $rounds * 0.3, 'each answer is late');
cmp_ok($watch->seconds, '<', $connections * $rounds * 0.3 / 10, 'but not one after the other');

my $stats = $sim->stats;
is($stats->{accepted}, $connections * $rounds, 'all accepted');
is($stats->{duplicates}, 0, 'each once');
is($stats->{connections}, $connections, 'connections were kept');
is($stats->{max_open_connections}, $connections, 'all at once');
cmp_ok($stats->{max_concurrent}, '>', $connections / 2, 'requests, too');
my %seen = map { $_->{biz_opaque_callback_data} => $_->{wamid} } $sim->accepted;
my %ids  = reverse %seen;
is(scalar keys %ids, $connections * $rounds, 'different messages, different ids');

# Requests that follow each other on a connection before the answers are there.
$sim->config(delay_ms => 20, delay_jitter_ms => 50);
my $socket = raw_open($sim);
raw_write($socket, join '', map { message_request(text_message(biz_opaque_callback_data => "p:$_")) } 1 .. 5);
my $text = '';
while (scalar(() = $text =~ /"wamid\./g) < 5)
{
	last unless IO::Select->new($socket)->can_read(patience()) && sysread($socket, $text, 65536, length $text);
}
is(scalar(() = $text =~ /"wamid\./g), 5, 'pipelined requests');

# A connection that idles is closed, also one kept alive.
my $short = WaSimulator->start('--idle-timeout-s' => 1);
$socket = raw_open($short);
raw_write($socket, message_request(text_message()));
is(raw_read($socket)->{end}, 'whole', 'a request');
is(raw_read($socket)->{end}, 'eof', 'and no other in time');

is($sim->stop, 0, 'ends in good order');
done_testing();
