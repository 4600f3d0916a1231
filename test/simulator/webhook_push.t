# Delivery of webhooks by HTTP.  The test itself is the business's server: it
# accepts one connection at a time and answers as it likes.
use strict;
use warnings;
use utf8;

use Digest::SHA qw(hmac_sha256_hex);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use IO::Select;
use IO::Socket::INET;
use SimClient;
use Test::More;
use Time::HiRes qw(time);
use WaLoad qw(patience wait_until);
use WaSimulator;

my $server = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1', ReuseAddr => 1)
  or die "could not listen: $@";
my $url = 'http://127.0.0.1:' . $server->sockport . '/webhook';

# The next request: (method, path, headers, body, socket), or nothing in time.
sub next_request
{
	my ($timeout) = @_;
	return unless IO::Select->new($server)->can_read($timeout // patience());
	my $socket = $server->accept;
	my $text   = '';
	until ($text =~ /\r\n\r\n/)
	{
		sysread($socket, $text, 65536, length $text) or die 'request ended early';
	}
	my ($method, $path, $head) = $text =~ m{\A(\w+) (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n}s;
	my $body = substr($text, index($text, "\r\n\r\n") + 4);
	my %headers = map { my ($name, $value) = split /: */, $_, 2; (lc $name => $value) } split /\r\n/, $head;
	while (length $body < ($headers{'content-length'} // 0))
	{
		sysread($socket, $body, 65536, length $body) or die 'body ended early';
	}
	return { method => $method, path => $path, headers => \%headers, body => $body, socket => $socket };
}

sub answer
{
	my ($request, $status, $body) = @_;
	$body //= '';
	local $SIG{PIPE} = 'IGNORE';
	syswrite($request->{socket},
		sprintf("HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", $status, length $body, $body));
	close $request->{socket};
	return;
}

my $sim = WaSimulator->start('--webhook-url' => $url, '--webhook-retry-ms' => 50, '--webhook-retry-max-ms' => 200);

sub webhook_stats { return $sim->stats->{webhooks} }

sub settle
{
	wait_until(sub { !webhook_stats()->{pending_posts} });
	return;
}

subtest 'handshake' => sub {
	# The command answers when the server has: ask from a socket, to be free for that.
	my $shake = sub {
		my ($status, $respond) = @_;
		my $socket = raw_open($sim);
		raw_write($socket, "POST /_control/handshake HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
		my $request = next_request();
		my ($challenge) = $request->{path} =~ /hub\.challenge=(\d+)/;
		answer($request, $status, $respond->($challenge));
		return ($request, decode(raw_read($socket)->{body}));
	};
	my ($request, $result) = $shake->(200, sub { $_[0] });
	is($request->{method}, 'GET', 'by GET');
	like($request->{path}, qr{^/webhook\?hub\.mode=subscribe&hub\.verify_token=SIMULATOR_VERIFY_TOKEN&hub\.challenge=\d+$}, 'as Meta does');
	ok($result->{ok}, 'the challenge came back');
	(undef, $result) = $shake->(403, sub { 'no' });
	ok(!$result->{ok}, 'refused');
	is($result->{status}, 403, 'its status');
	(undef, $result) = $shake->(200, sub { "<$_[0]>" });
	ok(!$result->{ok}, 'not the bare challenge');
	$sim->config(verify_token => 'ñ &?');
	($request) = $shake->(200, sub { $_[0] });
	like($request->{path}, qr/hub\.verify_token=%C3%B1%20%26%3F&/, 'encoded');
};

subtest 'delivery' => sub {
	send_message($sim, text_message(biz_opaque_callback_data => 'm:1'));
	my @statuses;
	for (1 .. 3)
	{
		my $request = next_request();
		is($request->{method}, 'POST', 'by POST');
		is($request->{path}, '/webhook', 'path');
		is($request->{headers}{'content-type'}, 'application/json', 'type');
		is($request->{headers}{'x-hub-signature-256'},
			'sha256=' . hmac_sha256_hex($request->{body}, 'SIMULATOR_APP_SECRET'), 'signature');
		push @statuses, decode($request->{body})->{entry}[0]{changes}[0]{value}{statuses}[0]{status};
		answer($request, 200);
	}
	is("@statuses", 'sent delivered read', 'statuses');
	settle();
	is_deeply([ @{ webhook_stats() }{qw(posts delivered attempts failed_attempts)} ], [ 3, 3, 3, 0 ], 'counters');
};

subtest 'retries' => sub {
	$sim->reset_all;
	$sim->event('account_update', { event => 'X' });
	my @times;
	my $first;
	for my $status (500, 404, 302, 204, 503)
	{
		my $request = next_request();
		push @times, time;
		$first //= $request->{body};
		is($request->{body}, $first, "same body before $status");
		answer($request, $status);
	}
	my $request = next_request();
	push @times, time;
	answer($request, 200);
	settle();
	is_deeply([ @{ webhook_stats() }{qw(posts delivered attempts failed_attempts)} ], [ 1, 1, 6, 5 ], 'until 200');
	my @gaps = map { $times[$_] - $times[ $_ - 1 ] } 1 .. $#times;
	my @least = (0.05, 0.1, 0.2, 0.2, 0.2);
	cmp_ok($gaps[$_], '>=', $least[$_] - 0.005, "gap $_") for 0 .. $#gaps;
	is(next_request(0.3), undef, 'nothing after that');
};

subtest 'a server that cuts, hangs or is down' => sub {
	$sim->reset_all;
	$sim->config(webhook_timeout_ms => 100);
	$sim->event('account_update', {});
	my $request = next_request();
	close $request->{socket};
	$request = next_request();
	ok($request, 'again after a cut');
	my $hanging = $request;
	$request = next_request();
	ok($request, 'again after the time is over');

	# Of this one it may be over, too, before the test has answered it; not of the next.
	$sim->config(webhook_timeout_ms => 180_000);
	wait_until(sub {
		answer($request, 200) if $request;
		$request = next_request(0.1);
		return webhook_stats()->{delivered};
	});
	is(webhook_stats()->{delivered}, 1, 'delivered');
	close $hanging->{socket};

	$sim->reset_all;
	$sim->config(webhook_url => 'http://127.0.0.1:1/');
	$sim->event('account_update', {});
	wait_until(sub { webhook_stats()->{failed_attempts} >= 2 });
	$sim->config(webhook_url => $url);
	$request = next_request();
	ok($request, 'at the new address');
	answer($request, 200);
	settle();
	is(webhook_stats()->{delivered}, 1, 'delivered');
	$sim->config(webhook_timeout_ms => 10_000);
};

subtest 'giving up' => sub {
	$sim->reset_all;
	$sim->config(webhook_give_up_ms => 0);
	$sim->event('account_update', {});
	answer(next_request(), 500);
	settle();
	is(webhook_stats()->{given_up}, 1, 'given up');
	$sim->config(webhook_give_up_ms => 1_000_000);
};

subtest 'connections' => sub {
	$sim->reset_all;
	$sim->config(webhook_connections => 2);
	$sim->event('account_update', { n => $_ }) for 1 .. 4;
	my @open = map { next_request() } 1 .. 2;
	is(next_request(0.2), undef, 'two at a time');
	answer(shift @open, 200);
	push @open, next_request();
	ok($open[-1], 'the next when one is done');
	answer($_, 200) for @open;
	answer(next_request(), 200);
	settle();
	is(webhook_stats()->{delivered}, 4, 'all');
};

subtest 'the end' => sub {
	$sim->event('account_update', {});
	my $request = next_request();
	is($sim->stop, 0, 'in good order, with a delivery under way');
};

done_testing();
