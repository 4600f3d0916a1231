# Every way in which an exchange can go wrong, seen from a raw socket, and
# whether the message counts as accepted.
use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use IO::Select;
use SimClient;
use Test::More;
use Time::HiRes qw(time);
use WaLoad qw(wait_until);
use WaSimulator;

my $sim = WaSimulator->start;

# Sets one rule, sends one message, and gives what the client saw and the record.
sub under
{
	my ($rule, %options) = @_;
	$sim->reset_all;
	$sim->faults($rule);
	my $seen    = request($sim, $options{message} // text_message(), $options{timeout});
	my @records;

	# A client that gives up may be ahead of the simulator.
	wait_until(sub { @records = $sim->requests });
	is(scalar @records, 1, 'in the log');
	return ($seen, $records[0]);
}

sub outcome_is
{
	my ($record, $accepted, $fault, $name) = @_;
	is(!!$record->{accepted}, !!$accepted, $name . ($accepted ? ': accepted' : ': not accepted'));
	is($record->{fault}, $fault // 'rule 1', "$name: fault in the log");
	return;
}

#
# Cuts, phase by phase
#

for my $how (qw(reset close))
{
	my $end = $how eq 'reset' ? 'reset' : 'eof';

	subtest "cut at connect, $how" => sub {
		$sim->reset_all;
		$sim->faults({ cut => 'connect', how => $how, match => { first => 1 } });
		my $socket = raw_open($sim);
		my $seen   = raw_read($socket);
		is($seen->{end},   $end, 'ended before anything was sent');
		is($seen->{bytes}, '',   'no answer');
		is(scalar $sim->requests, 0, 'no request in the log');
		is($sim->stats->{cut_connections}, 1, 'counted');
		is(request($sim, text_message())->{status}, 200, 'the next connection works');
	};

	subtest "cut after the headers, $how" => sub {
		$sim->reset_all;
		$sim->faults({ cut => 'headers', how => $how });
		my $socket = raw_open($sim);
		my ($head) = message_request(text_message()) =~ /\A(.*?\r\n\r\n)/s;
		raw_write($socket, substr($head, 0, -2));
		ok(!IO::Select->new($socket)->can_read(0.1), 'open while the head is not whole');
		raw_write($socket, substr($head, -2));
		my $seen = raw_read($socket);
		is($seen->{end},   $end, 'ended without the body');
		is($seen->{bytes}, '',   'no answer');
		my ($record) = $sim->requests;
		outcome_is($record, 0, undef, 'headers');
		is($record->{number}, NUMBER, 'number is known');
		ok(!exists $record->{to}, 'recipient is not');
	};

	subtest "cut within the body, $how" => sub {
		$sim->reset_all;
		$sim->faults({ cut => 'body', how => $how, bytes => 20 });
		my $socket  = raw_open($sim);
		my $request = message_request(text_message());
		my $head    = index($request, "\r\n\r\n") + 4;
		raw_write($socket, substr($request, 0, $head + 10));
		ok(!IO::Select->new($socket)->can_read(0.1), 'open after 10 bytes');
		raw_write($socket, substr($request, $head + 10, 20));
		my $seen = raw_read($socket);
		is($seen->{end}, $end, 'ended after 30');
		outcome_is(($sim->requests)[0], 0, undef, 'body');
	};

	subtest "cut after the request, $how" => sub {
		$sim->reset_all;
		$sim->faults({ cut => 'received', how => $how });
		my $socket  = raw_open($sim);
		my $request = message_request(text_message(biz_opaque_callback_data => 'x:1'));
		raw_write($socket, substr($request, 0, -1));
		ok(!IO::Select->new($socket)->can_read(0.1), 'open until the last byte');
		raw_write($socket, substr($request, -1));
		my $seen = raw_read($socket);
		is($seen->{end},   $end, 'ended then');
		is($seen->{bytes}, '',   'no answer');
		my ($record) = $sim->requests;
		outcome_is($record, 0, undef, 'received');
		is($record->{biz_opaque_callback_data}, 'x:1', 'the message is known');
		ok(!exists $record->{wamid}, 'it got no id');
	};

	subtest "cut after acceptance, $how" => sub {
		my ($seen, $record) = under({ cut => 'accepted', how => $how });
		is($seen->{end},   $end, 'ended');
		is($seen->{bytes}, '',   'no answer');
		outcome_is($record, 1, undef, 'accepted');
		like($record->{wamid}, qr/^wamid\./, 'it got an id');
		ok(!$record->{answered}, 'nobody learnt of it');
		ok(!exists $record->{status}, 'no HTTP status');
	};

	subtest "cut within the answer, $how" => sub {
		my ($seen, $record) = under({ cut => 'answer', how => $how, bytes => 30 });
		is($seen->{end},    $end, 'ended');
		is($seen->{status}, 200,  'after the head');
		is(length $seen->{body}, 30, 'and thirty bytes of the body');
		outcome_is($record, 1, undef, 'answer');
		ok(!$record->{answered}, 'nobody learnt of it');
	};
}

subtest 'cut of a request that Meta refuses' => sub {
	my ($seen, $record) = under({ cut => 'accepted' }, message => text_message(to => 'nobody'));
	is($seen->{end}, 'reset', 'cut');
	ok(!$record->{accepted}, 'not accepted: there was nothing to accept');
	is($record->{code}, 131009, 'it was refused');
};

#
# Wrong answers
#

for my $case (
	[ garbage => {}, 200, qr/\A\x01\xff\}/ ],
	[ garbage => { status => 500 }, 500, qr/\A\x01/ ],
	[ html => {}, 502, qr/\A<!DOCTYPE html>/ ],
	[ html => { status => 503 }, 503, qr/Sorry, something went wrong/ ],
	[ empty => {}, 503, qr/\A\z/ ],
	[ empty => { status => 500 }, 500, qr/\A\z/ ],
	[ truncated => {}, 200, qr/\A\{"messaging_product"/ ])
{
	my ($reply, $more, $status, $body) = @$case;
	for my $accept (0, 1)
	{
		subtest "$reply, $status, " . ($accept ? 'accepted' : 'not accepted') => sub {
			my ($seen, $record) = under(
				{ reply => $reply, %$more, $accept ? (accept => JSON::PP::true) : () });
			is($seen->{end},    'whole', 'a whole HTTP answer');
			is($seen->{status}, $status, 'status');
			like($seen->{body}, $body, 'body');
			ok(!defined eval { decode($seen->{body}) }, 'which is not JSON');
			outcome_is($record, $accept, undef, $reply);
			ok($record->{answered}, 'answered');
			is($record->{status}, $status, 'status in the log');
		};
	}
}

subtest 'a Graph code' => sub {
	my ($seen, $record) = under({ code => 130429 });
	my $error = decode($seen->{body})->{error};
	is($seen->{status}, 429, 'its usual status');
	is($error->{message}, '(#130429) Rate limit hit', 'its message');
	is($error->{type}, 'OAuthException', 'its type');
	ok(!exists $error->{$_}, "no $_") for qw(error_data error_subcode is_transient);
	outcome_is($record, 0, undef, 'code');
	is($record->{code}, 130429, 'code in the log');

	($seen) = under({
			name => 'limit', code => 4, status => 400, subcode => 2446079, transient => JSON::PP::true,
			details => 'demasiadas peticiones', retry_after => 7 });
	$error = decode($seen->{body})->{error};
	is($seen->{status}, 400, 'given status');
	is_deeply(
		[ @$error{qw(code error_subcode is_transient)}, $error->{error_data}{details} ],
		[ 4, 2446079, JSON::PP::true, 'demasiadas peticiones' ], 'given members');
	like($seen->{head}, qr/^Retry-After: 7\r$/m, 'Retry-After');
	is(($sim->requests)[0]{fault}, 'limit', 'name of the rule');

	($seen) = under({ code => 999999 });
	is($seen->{status}, 400, 'unknown code');
	($seen, $record) = under({ code => 1, accept => JSON::PP::true });
	is(decode($seen->{body})->{error}{code}, 1, 'an error in spite of acceptance');
	outcome_is($record, 1, undef, 'code');
};

subtest 'oversized' => sub {
	my ($seen, $record) = under({ reply => 'oversized', bytes => 3_000_000 });
	is($seen->{end}, 'whole', 'whole');
	cmp_ok(length $seen->{body}, '>', 3_000_000, 'large');
	is(decode($seen->{body})->{messages}[0]{id}, $record->{wamid}, 'and right');
	outcome_is($record, 1, undef, 'oversized');
};

subtest 'slow' => sub {
	my $start = time;
	my ($seen, $record) = under({ reply => 'slow', bytes => 10, interval_ms => 5 });
	my $pieces = length($seen->{body}) / 10;
	is($seen->{end}, 'whole', 'whole');
	is(decode($seen->{body})->{messages}[0]{id}, $record->{wamid}, 'right');
	cmp_ok(time - $start, '>=', ($pieces - 2) * 0.005, 'and slow');
	outcome_is($record, 1, undef, 'slow');
};

subtest 'no answer' => sub {
	for my $accept (0, 1)
	{
		my ($seen, $record) = under(
			{ reply => 'hang', $accept ? (accept => JSON::PP::true) : () }, timeout => 0.3);
		is($seen->{end}, 'timeout', 'nothing comes');
		outcome_is($record, $accept, undef, 'hang');
	}
	$sim->reset_all;
	$sim->faults({ reply => 'hang' });
	my @sockets = map { raw_open($sim) } 1 .. 3;
	raw_write($_, message_request(text_message())) for @sockets;
	wait_until(sub { $sim->stats->{send_requests} == 3 });
	close shift @sockets;
	ok(wait_until(sub { $sim->stats->{concurrent} == 2 }), 'a client that leaves is noticed');
	is($sim->release, 2, 'release');
	is(raw_read($_)->{end}, 'reset', 'the others are cut') for @sockets;
};

subtest 'delay' => sub {
	my $start = time;
	my ($seen, $record) = under({ delay_ms => 200 });
	cmp_ok(time - $start, '>=', 0.2, 'is kept');
	is($seen->{status}, 200, 'and then answered');
	outcome_is($record, 1, undef, 'delay');

	$sim->reset_all;
	$sim->faults({ delay_ms => 60_000 });
	my $socket = raw_open($sim);
	raw_write($socket, message_request(text_message()));
	my @records;
	wait_until(sub { @records = $sim->accepted });
	is(scalar @records, 1, 'accepted before the delay is over');
	ok(!$records[0]{answered}, 'and not yet answered');
	close $socket;

	# Together with another fault.
	$start = time;
	($seen) = under({ delay_ms => 200, cut => 'accepted' });
	cmp_ok(time - $start, '>=', 0.2, 'before a cut');
	is($seen->{end}, 'reset', 'which comes');
	$start = time;
	($seen) = under({ delay_ms => 200, code => 2 });
	cmp_ok(time - $start, '>=', 0.2, 'before an error');
};

#
# Which requests
#

# Letters for what happened to so many messages: - refused by the rule, A accepted.
sub pattern
{
	my ($match, $count, %rule) = @_;
	$sim->reset_all;
	$sim->faults({ code => 131000, match => $match, %rule });
	request($sim, text_message()) for 1 .. $count;
	return join '', map { $_->{accepted} ? 'A' : '-' } $sim->requests;
}

is(pattern({ first => 2 },               5), '--AAA',   'first');
is(pattern({ nth   => 3 },               5), 'AA-AA',   'nth');
is(pattern({ every => 2 },               6), 'A-A-A-',  'every');
is(pattern({ after => 2 },               4), 'AA--',    'after');
is(pattern({ after => 2, first => 1 },   5), 'AA-AA',   'after and first');
is(pattern({ after => 1, every => 3 },   7), 'AAA-AA-', 'after and every');
is(pattern({},                5, times => 2), '--AAA',  'times');
is(pattern({ every => 2 },    8, times => 2), 'A-A-AAAA', 'every and times');
is(pattern({ probability => 0 }, 3), 'AAA', 'never');
my $lots = pattern({ probability => 0.5, seed => 7 }, 40);
cmp_ok(($lots =~ tr/-//), '>', 5, 'by lot');
cmp_ok(($lots =~ tr/A//), '>', 5, 'not always');
is(pattern({ probability => 0.5, seed => 7 }, 40), $lots, 'the same lot again');
isnt(pattern({ probability => 0.5, seed => 8 }, 40), $lots, 'another seed, another lot');

subtest 'by number, recipient, template and edge' => sub {
	my %sent = (
		number    => [ { number => '100000000000002' }, sub { send_message($sim, text_message(), number => $_[0] ? '100000000000002' : NUMBER) } ],
		recipient => [ { recipient => '+34600900009' }, sub { send_message($sim, text_message(to => $_[0] ? '+34 600 900 009' : '+34600900001')) } ],
		template  => [ { template => 'pedido_nuevo' },  sub { send_message($sim, $_[0] ? template_message() : text_message()) } ],
		edge      => [ { edge => 'phone_numbers' },     sub { $_[0] ? api($sim, 'GET', WABA . '/phone_numbers') : send_message($sim, text_message()) } ],
		node      => [ { edge => 'debug_token' },       sub { $_[0] ? api($sim, 'GET', 'debug_token?input_token=x') : send_message($sim, text_message()) } ],
		any       => [ { edge => '*', first => 2 },     sub { $_[0] ? api($sim, 'GET', WABA . '/message_templates') : api($sim, 'GET', WABA) } ],
	);
	for my $name (sort keys %sent)
	{
		my ($match, $send) = @{ $sent{$name} };
		$sim->faults({ code => 131000, match => $match });
		is(($send->(0))[0], $name eq 'any' ? 500 : 200, "$name: other");
		is(($send->(1))[0], 500, "$name: match");
	}
	$sim->faults({ cut => 'received', match => { edge => 'message_templates' } });
	is((api($sim, 'GET', WABA . '/message_templates'))[0], 599, 'a cut read');
};

subtest 'several rules' => sub {
	$sim->reset_all;
	$sim->faults(
		{ name => 'a', code => 131000, match => { nth => 1 } },
		{ name => 'b', code => 131016, match => { first => 2 } },
		{ name => 'c', code => 2,      match => { number => '100000000000002' } });
	request($sim, text_message()) for 1 .. 3;
	is_deeply([ map { $_->{fault} // '' } $sim->requests ], [ 'a', 'b', '' ], 'the first match applies');
	is_deeply(
		[ $sim->fault_counts ],
		[
			{ name => 'a', matched => 3, applied => 1 },
			{ name => 'b', matched => 3, applied => 1 },
			{ name => 'c', matched => 0, applied => 0 }
		],
		'counts');
	$sim->control('DELETE', 'faults');
	is_deeply([ $sim->fault_counts ], [], 'cleared');
	is(request($sim, text_message())->{status}, 200, 'and without effect');
};

#
# Wrong rules
#

for my $case (
	[ {}, qr/has no effect: give/ ],
	[ { cut => 'later' }, qr/"cut" has an unknown value/ ],
	[ { reply => 'nice' }, qr/"reply" has an unknown value/ ],
	[ { reply => 'code' }, qr/needs "code"/ ],
	[ { cut => 'accepted', reply => 'html' }, qr/both "cut" and "reply"/ ],
	[ { code => 1, cut => 'body' }, qr/both "cut" and "reply"/ ],
	[ { cut => 'headers', match => { template => 'x' } }, qr/before the template and recipient/ ],
	[ { cut => 'connect', match => { number => '1' } }, qr/before the number/ ],
	[ { cut => 'headers', delay_ms => 5 }, qr/before there is a response to delay/ ],
	[ { cut => 'received', accept => JSON::PP::true }, qr/never accepts/ ],
	[ { cut => 'accepted', accept => JSON::PP::false }, qr/always accepts/ ],
	[ { code => 1, bytes => 5 }, qr/"bytes", which has no effect/ ],
	[ { cut => 'accepted', status => 500 }, qr/"status", which has no effect/ ],
	[ { reply => 'html', details => 'x' }, qr/require "code"/ ],
	[ { delay_ms => 5, how => 'close' }, qr/"how" without "cut"/ ],
	[ { delay_ms => -5 }, qr/"delay_ms" must be a non-negative integer/ ],
	[ { delay_ms => 5, match => { nth => 0 } }, qr/"nth" must be a positive integer/ ],
	[ { delay_ms => 5, match => { probability => 2 } }, qr/"probability" must be/ ],
	[ { delay_ms => 5, match => { weather => 1 } }, qr/"weather" is not a member of "match"/ ],
	[ { delay_ms => 5, wether => 1 }, qr/"wether" is not a member of a rule/ ],
	[ { code => 1, webhook_code => 131026 }, qr/not accepted/ ])
{
	my ($rule, $reason) = @$case;
	$sim->faults({ name => 'good', delay_ms => 0 });
	ok(!eval { $sim->faults($rule); 1 }, 'refused: ' . encode($rule));
	like($@, $reason, 'reason');
	is(($sim->fault_counts)[0]{name}, 'good', 'the rules before it stay');
}

is($sim->stop, 0, 'ends in good order');
done_testing();
