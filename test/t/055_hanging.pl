# Nobody waits for what hangs: a name server, a peer, an upload.  Not the other messages
# after a change of the settings, not whoever drops a database, not the server's stop.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use File::Temp qw(tempdir);
use JSON::PP ();
use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WaDelivery qw(new_delivery enqueue wait_for wait_status accepted_for);
use WaLoad qw(stopwatch);
use WaTest qw(set_and_reload sender_pids wait_for_senders);

my ($node, $sim) = new_delivery('hanging', settings => ["whatsapp_shared.max_attempts = 3"]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Much less than what hangs takes, and more than anything else.
my $SOON = 5;

sub soon
{
	my ($what, $act) = @_;
	my $watch = stopwatch($node, $sim);
	$act->();
	my $took = $watch->seconds;
	ok($took < $SOON, sprintf('%s: %.2f s', $what, $took));
	return;
}

# Drops databases for this many seconds.  For each of them every process of the server
# must be heard, so whoever waits in libcurl shows.  Creating one waits for nobody: that
# tells how busy the machine is.
sub drops_are_quick
{
	my ($seconds, $what) = @_;
	my ($created, $dropped, $count) = (0, 0, 0);
	my $end = time + $seconds;
	do
	{
		my $at = time;
		$node->safe_psql('postgres', 'CREATE DATABASE other');
		my $between = time;
		my $watch = stopwatch($node);
		$node->safe_psql('postgres', 'DROP DATABASE other');
		$created = max($created, $between - $at);
		$dropped = max($dropped, $watch->seconds);
		$count++;
	} while (time < $end);
	cmp_ok($dropped, '<', max(0.3, 3 * $created),
		sprintf('%s: %d databases are dropped, the slowest in %.2f s (created: %.2f s)', $what, $count, $dropped, $created));
	return;
}

sub in_flight { return sql('SELECT sum(in_flight) FROM wa_stats()') }

# ---- a peer and an upload hang, and the settings change ------------------------------------

$sim->faults(
	{ match => { recipient => '+34611000001' }, reply => 'hang', accept => JSON::PP::true },
	{ match => { edge => 'media' }, reply => 'hang' });
my $hung = enqueue($node, 't1', '+34611000001');
wait_for($node, 'SELECT sum(in_flight) = 1 FROM wa_stats()', 'a request hangs');
sql(q{SELECT wa_upload_media('t2', decode('255044462d312e370a', 'hex'), 'application/pdf', 'factura.pdf')});
$node->poll_query_until('postgres', 'SELECT sum(connections) = 2 FROM wa_stats()');
ok(1, 'an upload hangs');

my ($sender) = sender_pids($node, 'postgres');
my $last = 1;

# After each, messages leave as before.
sub goes_on
{
	my ($what) = @_;
	soon("messages leave after a change of $what", sub {
		wait_status($node, enqueue($node, 't1', sprintf('+346110001%02d', $last++)), 'accepted',
			"one is accepted")
	});
	is(in_flight(), 1, 'beside the one that hangs');
	return;
}

set_and_reload($node, max_in_flight => 500);
goes_on('max_in_flight');
set_and_reload($node, max_in_flight => 1);
goes_on('max_in_flight to what is out already');
set_and_reload($node, max_connections => 3);
goes_on('max_connections');
set_and_reload($node, request_timeout => '60s', connect_timeout => '2s');
goes_on('the timeouts');
set_and_reload($node, ca_file => slurp_ca());
goes_on('ca_file');
set_and_reload($node, access_token => 'SIMULATOR_TOKEN_2');
is(scalar sender_pids($node, 'postgres'), 1, 'one sender');
is_deeply([ sender_pids($node, 'postgres') ], [$sender], 'the same process');

# Any certificate will do.
sub slurp_ca
{
	my $tls = WaSimulator->start('--tls');
	my $copy = $node->basedir . '/ca.pem';
	append_to_file($copy, slurp_file($tls->ca_file));
	utime time - 60, time - 60, $copy;
	return $copy;
}

set_and_reload($node, access_token => 'SIMULATOR_TOKEN', max_in_flight => undef);
drops_are_quick(1, 'a peer and an upload hang');
soon('the server stops', sub { $node->stop('fast') });
$node->start;
wait_for_senders($node, 'postgres', 1);
wait_status($node, $hung, 'uncertain', 'what hung is uncertain');
is(accepted_for($sim)->{$hung}, 1, 'and was sent once');
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'as was everything');

# ---- names are looked up in vain -----------------------------------------------------------

my $library = tempdir(CLEANUP => 1) . '/silent_names.so';
is(system($ENV{CC} // 'cc', '-shared', '-fPIC', '-o', $library, "$FindBin::RealBin/lib/silent_names.c", '-ldl'),
	0, 'a library for a silent name server');
$sim->faults;
$node->stop('fast');
{
	local $ENV{LD_PRELOAD} = $library;
	$node->start;
}
set_and_reload($node, connect_timeout => '500ms', graph_url => 'https://graph.silent');
my $unknown = enqueue($node, 't1', '+34611000200');
wait_for($node, 'SELECT sum(in_flight) = 1 FROM wa_stats()', 'a name is being looked up');
drops_are_quick(3, 'look-ups have no answer, and are given up');
ok(sql("SELECT bool_and(state <> 'u') FROM whatsapp_queue WHERE message_id = $unknown") eq 't',
	'the message has not left');

sub restarts
{
	my ($old) = sender_pids($node, 'postgres');
	soon('the sender is restarted', sub {
		sql('SELECT wa_worker_restart()');
		$node->poll_query_until('postgres', "SELECT pid <> $old FROM wa_stats() WHERE pid IS NOT NULL");
	});
	return;
}

# A new sender does not remember that the network has failed.
set_and_reload($node, connect_timeout => '60s');
restarts();
$unknown = enqueue($node, 't2', '+34611000201');
wait_for($node, 'SELECT sum(in_flight) >= 1 FROM wa_stats()', 'a name is being looked up for a minute');
restarts();
wait_for($node, 'SELECT sum(in_flight) >= 1 FROM wa_stats()', 'the next sender looks it up, too');
set_and_reload($node, graph_url => $sim->url);
soon('what has not begun goes to the new address', sub {
	wait_status($node, $unknown, 'accepted', 'the message leaves when there is an address')
});
set_and_reload($node, graph_url => 'https://graph.silent');
enqueue($node, 't3', '+34611000202');
wait_for($node, 'SELECT sum(in_flight) >= 1 FROM wa_stats()', 'the next hangs');
soon('the server stops', sub { $node->stop('fast') });

done_testing();
