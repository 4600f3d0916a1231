# Fewer file descriptors than requests: they wait for a connection, and do not fail.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery settled accepted_for invariants_hold);
use WaTest qw(set_and_reload wait_for_senders);

my $MESSAGES = 300;
my ($node, $sim) = new_delivery(
	'descriptors',
	simulator => [ '--delay-ms' => 700 ],
	settings => [
		'whatsapp_shared.max_in_flight = 400', 'whatsapp_shared.messages_per_second = 2000',
		'whatsapp_shared.enabled = off' ]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my $HEALTH = q{SELECT state FROM wa_health() WHERE item LIKE 'connections of sender %'};
is(sql($HEALTH), '', 'nothing is said when there are enough');

sub restart_with
{
	my ($limits) = @_;
	system('prlimit', '--pid', $$, "--nofile=$limits") == 0 or die 'prlimit failed';
	$node->stop('fast');
	my $at = -s $node->logfile;
	$node->start;
	wait_for_senders($node, 'postgres', 1);
	return $at;
}

my ($hard) = qx(prlimit --pid $$ --nofile --noheadings --output HARD) =~ /(\d+)/;
my $at = restart_with("256:$hard");
is(sql($HEALTH), '', 'a soft limit is raised');
unlike(slurp_file($node->logfile, $at), qr/connections open/, 'without a word');

$at = restart_with('256:256');
is(sql($HEALTH), 'warning', 'a hard one is a warning');
my ($possible) = slurp_file($node->logfile, $at) =~ /WARNING:  a sender can have (\d+) connections open, not 400/;
ok($possible >= 30 && $possible < 128, 'and stands in the log at the start: ' . ($possible // 'nothing'));

sql(<<"SQL");
SELECT count(wa_enqueue_message('t' || i % 3 + 1, '+3461190' || lpad(i::text, 5, '0'), 'aviso', '["hola"]'))
FROM generate_series(1, $MESSAGES) AS i
SQL
set_and_reload($node, enabled => 'on');
settled($node, 'requests wait for a connection');
is(scalar(keys %{ accepted_for($sim) }), $MESSAGES, 'all are accepted');
is(sql('SELECT count(*) FROM whatsapp_messages WHERE attempts <> 1'), '0', 'at the first attempt');
is(sql(<<'SQL'), '0', 'and none has failed');
SELECT count(*) FROM whatsapp_attempts WHERE outcome NOT IN ('accepted')
SQL
is((() = slurp_file($node->logfile, $at) =~ /connections open/g), 1, 'it is said once');
unlike(slurp_file($node->logfile, $at), qr/epoll_create1 failed/, 'and the sender can wait');
invariants_hold($node);
$node->stop;
done_testing();
