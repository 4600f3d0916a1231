# Input that no sane client sends: the simulator answers or hangs up, in good
# health, and every answer it gives is what it says it is.
use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use SimClient;
use Test::More;
use WaSimulator;

my $seed = $ENV{SEED} // 20261122;
srand $seed;
note "SEED=$seed";

my $sim = WaSimulator->start('--webhook-pull', '--enforce-limits', '--number-rate' => 1_000_000, '--pair-burst' => 100_000);

# A request on a connection of its own; dies if an answer with JSON is not JSON.
# Whoever has not sent a whole head may be left waiting ($patience seconds).
sub probe
{
	my ($bytes, $patience) = @_;
	my $socket = raw_open($sim);
	raw_write($socket, $bytes);
	shutdown($socket, 1);
	my $seen = raw_read($socket, $patience // 20);
	die 'no answer' if $seen->{end} eq 'timeout' && !defined $patience;
	if ($seen->{end} eq 'whole' && $seen->{head} =~ m{^Content-Type: application/json}m)
	{
		eval { decode($seen->{body}); 1 } or die "not JSON: $seen->{body}";
	}
	return $seen->{status} // $seen->{end};
}

sub post
{
	my ($path, $body, $headers) = @_;
	return sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n%s",
		$path, TOKEN, $headers // '', length $body, $body);
}

subtest 'heads' => sub {
	for my $bytes (
		"GET\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", 'x' x 100_000,
		"GET /" . 'x' x 100_000 . " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v25.0/1 HTTP/1.1\r\nHost: x\r\nX: " . 'x' x 100_000 . "\r\n\r\n",
		"POST /v25.0/1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST /v25.0/1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{}",
		"POST /v25.0/1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"DELETE /_control/log HTTP/1.1\r\nHost: x\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
	{
		ok(eval { probe($bytes, 0.5); 1 }, 'survived ' . substr($bytes, 0, 40) =~ s/[^ -~]/./gr) or diag $@;
	}
	is(probe("GET /v25.0/%ff%fe HTTP/1.1\r\nHost: \xff\r\nAuthorization: Bearer " . TOKEN . "\r\n\r\n"),
		400, 'a node that is not UTF-8');
	is(probe(post('/v25.0/%c3%28/messages', '{}')), 400, 'a number that is not');
	is(($sim->requests)[-1]{number}, "\x{FFFD}(", 'the log can be read all the same');
	is(probe("GET /v25.0/" . WABA . "/phone_numbers?limit=1 HTTP/1.1\r\nHost: \xff\xfe\r\nAuthorization: Bearer " . TOKEN . "\r\n\r\n"),
		200, 'a host that is not');
};

subtest 'bodies' => sub {
	my $path = '/v25.0/' . NUMBER . '/messages';
	is(probe(post($path, '[' x 100_000)), 400, 'deep');
	is(probe(post($path, '{"a":' x 5000 . '1' . '}' x 5000)), 400, 'deep, balanced');
	is(probe(post($path, "\xff\xfe{}")), 400, 'not UTF-8');
	is(probe(post($path, '')), 400, 'empty');
	is(probe(post($path, encode(text_message(biz_opaque_callback_data => "\0")))), 400, 'NUL');
	is(probe(post($path, encode(text_message()) . ' ' x 1000)), 200, 'spaces behind');
	ok(eval { $sim->requests; 1 }, 'the log can be read all the same');
	$sim->config(log_bodies => JSON::PP::false);
	is(probe(post($path, encode(text_message(text => { body => 'x' x 5_000_000 })))), 400, 'large');
	$sim->config(log_bodies => JSON::PP::true);
	$sim->reset_all;
};

# Messages with a byte changed, a piece doubled or left out, a value replaced.
my @models = map { encode($_) } text_message(), template_message(),
  text_message(
	type        => 'interactive',
	interactive => {
		type => 'list', body => { text => 'x' },
		action => { button => 'Ver', sections => [ { title => 'S', rows => [ { id => 'r', title => 'R' } ] } ] }
	}),
  text_message(type => 'contacts', contacts => [ { name => { formatted_name => 'A', first_name => 'B' } } ]),
  text_message(type => 'location', location => { latitude => 1, longitude => '2' });
my @values = ('null', 'true', '-1', '1e400', '""', '[]', '{}', '"' . 'x' x 3000 . '"', '[[{}]]', '99999999999999999999');

sub mutate
{
	my ($text) = @_;
	for (1 .. 1 + int rand 3)
	{
		my $at  = int rand length $text;
		my $how = int rand 4;
		if    ($how == 0) { substr($text, $at, 1) = chr int rand 256 }
		elsif ($how == 1) { substr($text, $at, int rand 20) = '' }
		elsif ($how == 2) { substr($text, $at, 0) = substr($text, int rand length $text, 20) }
		else
		{
			my @places;
			push @places, [ $-[0], $+[0] - $-[0] ] while $text =~ /(?<=:)("[^"]*"|\d+|\{\}|\[\])/g;
			my $place = $places[ rand @places ] // next;
			substr($text, $place->[0], $place->[1]) = $values[ rand @values ];
		}
	}
	return $text;
}

subtest 'mutated messages' => sub {
	my %count;
	for (1 .. $ENV{ROUNDS} // 1500)
	{
		my $body = mutate($models[ rand @models ]);
		utf8::downgrade($body, 1) or utf8::encode($body);
		my $status = eval { probe(post('/v25.0/' . NUMBER . '/messages', $body)) };
		if (!defined $status)
		{
			fail 'survived';
			diag $@, $body;
			last;
		}
		$count{$status}++;
	}
	note join ', ', map { "$_: $count{$_}" } sort keys %count;
	ok($count{400}, 'most are refused');
	is(scalar(grep { !/^(200|400|404)$/ } keys %count), 0, 'with the statuses for that');
	ok(eval { $sim->requests; 1 }, 'the log can be read') or diag $@;
};

subtest 'mutated control commands' => sub {
	my %bodies = (
		faults  => encode([ { match => { number => '1', first => 2, probability => 0.5 }, reply => 'html', status => 500, delay_ms => 1 } ]),
		config  => encode({ token => TOKEN, numbers => [ { id => '9', status => 'X' } ], templates => [ { name => 'a', language => 'b', components => [ { type => 'BODY', text => '{{1}}' }, { type => 'BUTTONS', buttons => [ { type => 'URL', url => 'x{{1}}' } ] } ] } ] }),
		inbound => encode({ number => NUMBER, from => '+34600900001', type => 'text', text => { body => 'x' } }),
		press   => encode({ wamid => ($sim->accepted)[0]{wamid}, button => 0 }),
		event   => encode({ field => 'account_update', value => { a => 1 } }),
	);
	my %count;
	for my $i (1 .. ($ENV{ROUNDS} // 1500) / 3)
	{
		my $command = (sort keys %bodies)[ rand keys %bodies ];
		my $body    = mutate($bodies{$command});
		utf8::downgrade($body, 1) or utf8::encode($body);
		my $status = eval { probe(post("/_control/$command", $body)) };
		if (!defined $status)
		{
			fail 'survived';
			diag $@, "$command $body";
			last;
		}
		$count{$status}++;
	}
	note join ', ', map { "$_: $count{$_}" } sort keys %count;
	ok($count{400}, 'most are refused');
	is(scalar(grep { !/^(200|400)$/ } keys %count), 0, 'with the statuses for that');
};

is($sim->stop, 0, 'ends in good order');
done_testing();
