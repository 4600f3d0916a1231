# Meta's limits, when they are enforced.  The simulator's clock is moved instead
# of waiting.
use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use SimClient;
use Test::More;
use WaSimulator;

my $sim = WaSimulator->start('--webhook-pull');
$sim->stop_clock;

# Sends to this recipient; the error code, or 0.
sub send_to
{
	my ($to, %options) = @_;
	my (undef, $answer) = send_message($sim, $options{message} // text_message(to => "+$to"), %options);
	return $answer->{error}{code} // 0;
}

my $next = 34600100000;
sub somebody { return ++$next }

is(join(' ', map { send_to(34600900001) } 1 .. 50), join(' ', (0) x 50), 'no limits unless asked for');

subtest 'per number' => sub {
	$sim->reset_all;
	$sim->config(enforce_limits => JSON::PP::true, number_rate => 5);
	is(join(' ', map { send_to(somebody()) } 1 .. 5), '0 0 0 0 0', 'five');
	is(send_to(somebody()), 130429, 'the sixth is refused');
	is(send_to(somebody(), number => '100000000000002'), 0, 'another number is not concerned');
	$sim->advance_clock(1000);
	is(join(' ', map { send_to(somebody()) } 1 .. 6), '0 0 0 0 0 130429', 'five more a second later');

	# The window slides: what was sent half a second ago still counts.
	$sim->advance_clock(1000);
	is(join(' ', map { send_to(somebody()) } 1 .. 3), '0 0 0', 'three');
	$sim->advance_clock(500);
	is(join(' ', map { send_to(somebody()) } 1 .. 3), '0 0 130429', 'two more half a second later');
	$sim->advance_clock(500);
	is(join(' ', map { send_to(somebody()) } 1 .. 4), '0 0 0 130429', 'three after another half');

	# Inbound messages count, too.
	$sim->advance_clock(1000);
	$sim->inbound(number => NUMBER, from => '+34600200001', type => 'text', text => { body => 'x' })
	  for 1 .. 4;
	is(join(' ', map { send_to(somebody()) } 1 .. 2), '0 130429', 'inbound messages count');
};

subtest 'by throughput level' => sub {
	$sim->reset_all;
	$sim->stop_clock(0);
	$sim->config(number_rate => 0);
	my $socket = raw_open($sim);
	for (1 .. 200)
	{
		raw_write($socket, message_request(text_message(to => '+' . somebody())));
		raw_read($socket);
	}
	my @times = map { $_->{time} } $sim->accepted;
	my $most  = 0;
	for my $i (0 .. $#times)
	{
		my $n = grep { $_ >= $times[$i] && $_ < $times[$i] + 0.999 } @times[ $i .. $#times ];
		$most = $n if $n > $most;
	}
	cmp_ok($most, '<=', 80, 'never more than 80 in a second');
	my ($last) = reverse $sim->requests;
	my $seconds = $last->{time} - $times[0];
	cmp_ok(scalar @times, '<=', 80 * ($seconds + 1), 'nor on the whole');
	is($sim->stats->{refused_by_code}{130429}, 200 - @times, 'the rest is refused');

	$sim->reset_all;
	$sim->stop_clock;
	is(scalar(grep { $_ == 0 } map { send_to(somebody()) } 1 .. 81), 80, 'and no fewer');
	$sim->stop_clock(0);

	$sim->reset_all;
	$sim->config(numbers => [ { id => NUMBER, throughput => { level => 'HIGH' } } ]);
	for (1 .. 200)
	{
		raw_write($socket, message_request(text_message(to => '+' . somebody())));
		raw_read($socket);
	}
	is(scalar $sim->accepted, 200, 'level HIGH allows more');
};

# What counts is when a message arrives, and not when the simulator comes to it.
subtest 'a simulator that is late' => sub {
	$sim->reset_all;
	$sim->config(number_rate => 1);
	my @sockets = map { raw_open($sim) } 1 .. 2;
	kill 'STOP', $sim->pid;
	raw_write($sockets[0], message_request(text_message(to => '+' . somebody())));
	select undef, undef, undef, 1.2;
	raw_write($sockets[1], message_request(text_message(to => '+' . somebody())));
	kill 'CONT', $sim->pid;
	raw_read($_) foreach @sockets;
	my @times = sort { $a <=> $b } map { $_->{time} } $sim->accepted;
	is(scalar @times, 2, 'a message a second is allowed');
	cmp_ok($times[-1] - $times[0], '>', 1, 'and they are recorded as that');
};

subtest 'per pair' => sub {
	$sim->reset_all;
	$sim->stop_clock;
	$sim->config(number_rate => 100000);
	is(scalar(grep { $_ == 0 } map { send_to(34600900001) } 1 .. 45), 45, 'a burst of 45');
	is(send_to(34600900001), 131056, 'the next is refused');
	is(send_to(34600900002), 0, 'another recipient is not concerned');
	is(send_to(34600900001, number => '100000000000002'), 0, 'nor is another sender');
	$sim->advance_clock(5000);
	is(send_to(34600900001), 131056, 'still refused after 5 s') ;
	$sim->advance_clock(1000);
	is(send_to(34600900001), 0,      'one after 6 s');
	is(send_to(34600900001), 131056, 'and no more');
	$sim->advance_clock(30_000);
	is(join(' ', map { send_to(34600900001) } 1 .. 6), '0 0 0 0 0 131056', 'five after 30 s');
	$sim->advance_clock(3_600_000);
	is(scalar(grep { $_ == 0 } map { send_to(34600900001) } 1 .. 46), 45, 'never more than the burst');

	$sim->reset_all;
	$sim->config(pair_burst => 2, pair_interval_ms => 1000);
	is(join(' ', map { send_to(34600900001) } 1 .. 3), '0 0 131056', 'other settings');
	$sim->config(pair_burst => 45, pair_interval_ms => 6000);
};

subtest 'recipients of the portfolio' => sub {
	$sim->reset_all;
	$sim->config(recipient_limit => 3);
	is(send_to($_), 0, "recipient $_") for 34600300001 .. 34600300003;
	is(send_to(34600300004), 131048, 'the fourth is refused');
	is(send_to(34600300004, number => '100000000000002'), 131048, 'from any number');
	is(send_to(34600300001), 0, 'a known one is not');
	$sim->inbound(number => NUMBER, from => '+34600300005', type => 'text', text => { body => 'x' });
	is(send_to(34600300005), 0, 'nor one who wrote first');
	$sim->advance_clock(23 * 3_600_000);
	is(send_to(34600300004), 131048, 'still refused after 23 hours');
	is(send_to(34600300002), 0, 'a known one renews its day');
	$sim->advance_clock(3_600_000 + 1000);
	is(send_to(34600300006), 0, 'after a day there is room');
	is(send_to(34600300007), 0, 'for those that are gone');
	is(send_to(34600300008), 131048, 'and no more');
	$sim->config(recipient_limit => 0, recipient_limit_code => 130429);
};

subtest '24-hour window' => sub {
	$sim->reset_all;
	$sim->config(enforce_limits => JSON::PP::false, enforce_window => JSON::PP::true);
	is(send_to(34600400001), 131047, 'free-form outside the window');
	is(send_to(34600400001, message => template_message(to => '+34600400001')), 0, 'a template');
	$sim->inbound(number => NUMBER, from => '+34600400001', type => 'text', text => { body => 'x' });
	is(send_to(34600400001), 0, 'free-form within');
	is(send_to(34600400001, number => '100000000000002'), 131047, 'the window is of one number');
	$sim->advance_clock(24 * 3_600_000 - 60_000);
	is(send_to(34600400001), 0, 'for a day');
	$sim->advance_clock(60_000);
	is(send_to(34600400001), 131047, 'not longer');
	$sim->inbound(number => NUMBER, from_user_id => 'ES.7001', type => 'text', text => { body => 'x' });
	my $message = text_message(recipient => 'ES.7001');
	delete $message->{to};
	is(send_to(0, message => $message), 0, 'window of a user without phone number');
	$sim->config(enforce_window => JSON::PP::false);
};

subtest 'usage header' => sub {
	my $usage = sub {
		my (undef, undef, $headers) = send_message($sim, text_message(to => '+' . somebody()));
		my $header = $headers->{'x-business-use-case-usage'};
		return defined $header ? decode($header)->{'400000000000001'}[0] : undef;
	};
	$sim->reset_all;
	ok(!defined $usage->(), 'absent without limits');
	$sim->config(enforce_limits => JSON::PP::true, number_rate => 4);
	ok(!defined $usage->(), 'absent at 25 %');
	ok(!defined $usage->(), 'absent at 50 %');
	is($usage->()->{call_count}, 75, 'there at 75 %');
	my $full = $usage->();
	is_deeply(
		[ @$full{qw(type call_count estimated_time_to_regain_access)} ],
		[ 'whatsapp', 100, 1 ], 'there at 100 %');
	$sim->config(usage_percent => 93, enforce_limits => JSON::PP::false);
	is($usage->()->{call_count}, 93, 'as set');
	is($usage->()->{estimated_time_to_regain_access}, 0, 'no wait yet');
};

is($sim->stop, 0, 'ends in good order');
done_testing();
