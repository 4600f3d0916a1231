# A network that was gone costs little time once it is back, and no message its attempt
# or its place: nobody listens, the address is wrong, a certificate is not trusted,
# connections hang.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WaDelivery qw(new_delivery wait_for invariants_hold);
use WaLoad qw(stopwatch);
use WaTest qw(end_child set_and_reload);

my ($node, $sim) = new_delivery('outages', tenants => 6);
my $session = $node->background_psql('postgres', on_error_stop => 1);

sub sql { my $result = $session->query_safe($_[0]); return $result }

my $last_recipient = 34651000000;

sub open_alert
{
	my ($scope, $key) = @_;
	return "EXISTS (SELECT FROM whatsapp_alerts WHERE kind = 'network' AND scope = '$scope'"
	  . " AND key = '$key' AND resolved_at IS NULL)";
}

# A gate before the simulator: it accepts a connection and passes on what comes, or,
# while it is shut, does nothing at all; then its queue is full, and nobody can connect.
my $gate = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "no gate: $!";
my $gate_url = 'http://127.0.0.1:' . $gate->sockport;
my $gatekeeper = fork // die "fork: $!";
if ($gatekeeper == 0)
{
	my $open = 1;
	my (%peer, %early);
	local $SIG{USR1} = sub { $open = 1 };
	local $SIG{USR2} = sub { $open = 0 };
	while (1)
	{
		my $select = IO::Select->new($gate, map { $_->{socket} } values %peer);
		my @ready = $select->can_read(0.02);
		next unless $open;
		foreach my $socket (@ready)
		{
			if ($socket == $gate)
			{
				my $in = $gate->accept or next;
				my $out = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $sim->port) or next;
				$peer{$in} = { socket => $in, other => $out };
				$peer{$out} = { socket => $out, other => $in };
				next;
			}
			my $entry = $peer{$socket} or next;
			if (!sysread($socket, my $data, 65536)) { close $_ for $socket, $entry->{other}; delete @peer{ $socket, $entry->{other} }; }
			else { syswrite($entry->{other}, $data) }
		}
	}
}
close $gate;

# Three messages to each of ten people, of five tenants; and the rest of the story.
my @people;

sub write_to_people
{
	@people = map { '+' . ++$last_recipient } 1 .. 10;
	foreach my $i (0 .. 9)
	{
		my $tenant = 't' . (2 + $i % 5);
		sql("SELECT wa_enqueue_message('$tenant', '$people[$i]', 'aviso', '[\"$_\"]')") for 1 .. 3;
	}
	return;
}

# Seconds from then until all of them have arrived.
sub all_arrive
{
	my ($since, $what, $most, $watch) = @_;
	my (%got, %last);
	my $list = join ', ', map { "'$_'" } @people;
	wait_for($node, "SELECT bool_and(status = 'accepted') FROM whatsapp_messages WHERE recipient_phone IN ($list)", "$what: all are sent");
	my $waited = $watch->waited;
	# In the order in which they were accepted; when they arrived the kernel knows to some milliseconds only.
	foreach my $record ($sim->accepted)
	{
		my $to = $record->{message}{to};
		next unless grep { $_ eq $to } @people;
		push @{ $got{$to} }, $record->{message}{template}{components}[0]{parameters}[0]{text};
		$last{$to} = $record->{time};
	}
	is(join(' ', map { join '', @{ $got{$_} // [] } } @people), join(' ', ('123') x 10), "$what: once, in their order");
	is(sql("SELECT max(attempts) FROM whatsapp_messages WHERE recipient_phone IN ($list)"), '1', "$what: without an attempt lost");
	my ($took) = sort { $b <=> $a } map { $_ - $since } values %last;
	cmp_ok($took, '<=', $most + $waited, sprintf('%s: %.0f ms after it is back (the processor: %.0f ms)', $what, $took * 1000, $waited * 1000));
	return;
}

# Nobody listens, for half a second and for three.
foreach my $gone (0.5, 3)
{
	my $port = $sim->port;
	$sim->stop;
	my $reserved = $sim->reserve_port;
	my $until = time + $gone;
	write_to_people();
	sleep(0.01) while time < $until;
	is(sql(q{SELECT count(*) FROM whatsapp_queue WHERE due_at > now() + interval '2 seconds' AND state = 'd'}), '0',
		"$gone s without a network: nothing is put off");
	$sim = WaSimulator->start('--numbers' => 12, '--accept-any-template', '--listen' => "127.0.0.1:$port");
	all_arrive(time, "$gone s without a network", 1.1, stopwatch($node, $sim));
}

# The address is wrong: nobody is reached until somebody corrects it.
{
	my $wrong = 'http://127.0.0.1:9';
	set_and_reload($node, graph_url => $wrong);
	write_to_people();
	wait_for($node, 'SELECT ' . open_alert('account', ''), "$wrong: an alert says that nobody answers");
	like(sql("SELECT reason || ': ' || explanation FROM whatsapp_messages AS m, wa_explain(m.id) WHERE m.recipient_phone = '$people[9]' LIMIT 1"),
		qr/^network: .*since /, "$wrong: so does wa_explain()");
	my ($mended, $watch) = (time, stopwatch($node, $sim));
	set_and_reload($node, graph_url => $sim->url);
	all_arrive($mended, "$wrong is mended", 1.1, $watch);
	wait_for($node, 'SELECT NOT ' . open_alert('account', ''), 'the alert is over');
}

# So it is with a certificate that nobody here trusts.
{
	my $plain = $sim;
	$sim = WaSimulator->start('--numbers' => 12, '--accept-any-template', '--tls');
	set_and_reload($node, graph_url => $sim->url);
	write_to_people();
	wait_for($node, "SELECT count(*) > 0 FROM whatsapp_attempts WHERE outcome = 'not_sent' AND error_message ~* 'certificate'", 'a certificate is not trusted');
	sleep(1.5);
	my ($mended, $watch) = (time, stopwatch($node, $sim));
	set_and_reload($node, ca_file => $sim->ca_file);
	all_arrive($mended, 'a certificate that is trusted now', 1.2, $watch);
	$sim = $plain;
}

# Connections hang, and so do those of the probes.
set_and_reload($node, graph_url => $gate_url);
kill 'USR2', $gatekeeper;
my @fill = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => ($gate_url =~ /(\d+)$/)[0], Blocking => 0) } 1 .. 3;
sleep(0.1);
write_to_people();
my $requests = sql('SELECT sum(requests) FROM wa_stats()');
wait_for($node, 'SELECT ' . open_alert('account', ''), 'an alert says that nobody answers');
wait_for($node, "SELECT sum(requests) > $requests + 6 FROM wa_stats()", 'probes do not wait for each other');
kill 'USR1', $gatekeeper;
all_arrive(time, 'connections that hang', 2, stopwatch($node, $sim, $gatekeeper));
end_child($gatekeeper);

$session->quit;
invariants_hold($node);
$node->stop;
done_testing();
