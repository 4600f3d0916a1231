# The command line, the files it names, and start and stop.
use strict;
use warnings;
use utf8;

use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use IO::Select;
use IPC::Open3 qw(open3);
use SimClient;
use Test::More;
use Time::HiRes qw(time);
use WaSimulator;

my $dir = tempdir(CLEANUP => 1);

sub file
{
	my ($name, $content) = @_;
	open my $f, '>:encoding(UTF-8)', "$dir/$name" or die $!;
	print $f $content;
	close $f;
	return "$dir/$name";
}

# Runs the program with arguments that make it end: (exit code, output).
sub run_it
{
	my $pid = open3(my $in, my $out, undef, WaSimulator->binary, @_);
	my ($text, $until) = ('', time + 20);
	while (IO::Select->new($out)->can_read($until - time) && sysread($out, $text, 65536, length $text))
	{
	}
	kill 'KILL', $pid if time >= $until;
	waitpid $pid, 0;
	return ($? & 127 ? "signal $?" : $? >> 8, $text);
}

my ($status, $help) = run_it('--help');
is($status, 0, '--help');
like($help, qr/--listen HOST:PORT .*\(127\.0\.0\.1:0\)/, 'options with defaults');
like($help, qr/--no-log-bodies/, 'switches that switch off');
like($help, qr{GET, POST, DELETE faults}, 'control commands');

# Every setting is in --help, and nothing in --help is unknown.
my $sim = WaSimulator->start;
my $config = $sim->control('GET', 'config');
for my $name (grep { !ref $config->{$_} } sort keys %$config)
{
	my $option = $name =~ tr/_/-/r;
	like($help, qr/^  --(no-)?$option /m, "--help has $option");
}
$sim->stop;

# The manual says what --help says.
my $source = "$FindBin::RealBin/../../docs/man/wa_simulator.1";
open my $fh, '<', $source or die "$source: $!";
my $manual = do { local $/; <$fh> } =~ s/\\-/-/gr;
close $fh;
my @options = $help =~ /^  (--[\w-]+)/mg;
is_deeply([ $manual =~ /^\.(?:BI|B) (--[\w-]+)/mg ], \@options, 'the manual has the same options');
like($manual, qr/^\.B ".*\Q$_\E/m, "the manual has $_") foreach $help =~ /^  (?:GET|POST)[A-Z, ]* +([a-z]+)/mg;

for my $case (
	[ qr/unknown argument "--nothing"/,               '--nothing' ],
	[ qr/unknown argument "nothing"/,                 'nothing' ],
	[ qr/unknown argument "--log-bodies"/,            '--log-bodies' ],
	[ qr/"--numbers" requires a value/,                  '--numbers' ],
	[ qr/"--tls" takes no value/,                     '--tls=yes' ],
	[ qr/"x" for numbers is not an integer between/,  '--numbers', 'x' ],
	[ qr/"-1" for delay_ms is not an integer between/, '--delay-ms=-1' ],
	[ qr/"99" is not HOST:PORT/,                      '--listen', '99' ],
	[ qr/cannot listen on "no\.such\.host\.invalid:1"/, '--listen', 'no.such.host.invalid:1' ],
	[ qr/--cert and --key must be given together/,           '--tls', '--cert' => '/dev/null' ],
	[ qr/could not open "\/no\/file"/,                '--tls', '--cert' => '/no/file', '--key' => '/no/file' ],
	[ qr/are certificate and key right/,              '--tls', '--cert' => '/dev/null', '--key' => '/dev/null' ],
	[ qr/^wa_simulator: unable to open \/no\/file/,     '--config' => '/no/file' ],
	[ qr/line 2: /,                                   '--config' => file('syntax', "{\n x }") ],
	[ qr/not an object/,                              '--config' => file('array', '[]') ],
	[ qr/"delay_ms" must be an integer between 0/,    '--config' => file('range', '{"delay_ms":-1}') ],
	[ qr/"token" must be a string/,                   '--config' => file('type', '{"token":1}') ],
	[ qr/"tls" must be a boolean/,                    '--config' => file('bool', '{"tls":1}') ],
	[ qr/"colour" is not a setting/,                  '--config' => file('unknown', '{"colour":1}') ],
	[ qr/"numbers" must be an object with an "id"/,   '--config' => file('number', '{"numbers":[{}]}') ],
	[ qr/"templates" must be an array/,               '--config' => file('templates', '{"templates":{}}') ],
	[ qr/not an array/,                               '--faults' => file('faults', '{}') ],
	[ qr/rule 1 has no effect/,                        '--faults' => file('empty', '[{}]') ],
	[ qr/could not open log file/,                    '--log' => '/no/file' ])
{
	my ($reason, @arguments) = @$case;
	my ($code, $text) = run_it(@arguments);
	is($code, 1, "refused: @arguments");
	like($text, $reason, 'reason');
}

subtest 'files' => sub {
	my $config = file('config', encode({
			token     => 'T',
			delay_ms  => 5,
			numbers   => [ { id => '7', display_phone_number => '+34 611 11 11 11' } ],
			templates => [ { name => 'propia', language => 'es', components => [ { type => 'BODY', text => 'x' } ] } ] }));
	my $faults = file('faults', encode([ { name => 'f', code => 2, match => { nth => 2 } } ]));
	my $with = WaSimulator->start('--config' => $config, '--faults' => $faults, '--log' => "$dir/log",
		'--token' => 'T2');
	my $message = template_message();
	$message->{template} = { name => 'propia', language => { code => 'es' } };
	is((send_message($with, $message, number => '7', token => 'T2'))[0], 200,
		'number and template of the file, token of the command line');
	is((send_message($with, $message, number => NUMBER, token => 'T2'))[0], 503, 'faults of the file');
	is((send_message($with, $message, number => NUMBER, token => 'T2'))[1]{error}{error_subcode},
		33, 'its numbers take the place of the built-in ones');
	is($with->control('GET', 'config')->{delay_ms}, 5, 'settings of the file');
	ok(!eval { $with->config(listen => 'x'); 1 }, 'some settings are fixed');
	like($@, qr/"listen" cannot be changed while running/, 'reason');
	ok(!eval { $with->config(colour => 1); 1 }, 'unknown setting');
	like($@, qr/"colour" is not a setting/, 'reason');
	open my $log, '<', "$dir/log" or die $!;
	my @lines = map { decode($_) } <$log>;
	is_deeply([ map { $_->{accepted} ? 1 : 0 } @lines ], [ 1, 0, 0 ], 'log file, written at once');
	is_deeply([ map { $_->{seq} } @lines ], [ 1, 2, 3 ], 'in order');
	is($lines[1]{fault}, 'f', 'fault');
	is($with->stop, 0, 'ends in good order');
};

subtest 'addresses' => sub {
	my $six = eval { WaSimulator->start('--listen' => '[::1]:0', '--numbers=1') };
	if (defined $six)
	{
		like($six->url, qr{^http://\[::1\]:\d+$}, 'IPv6');
		is(scalar @{ $six->control('GET', 'config')->{numbers} }, 1, '--name=value');
		$six->stop;
	}
	my $one = WaSimulator->start;
	my ($code, $text) = run_it('--listen' => '127.0.0.1:' . $one->port);
	is($code, 1, 'port in use');
	like($text, qr/could not listen on "127\.0\.0\.1:\d+": Address already in use/, 'reason');
	for my $path ('nothing', 'log/x', '')
	{
		ok(!eval { $one->control('GET', $path); 1 }, "no command $path");
		like($@, qr/404/, 'not found');
	}
	ok(!eval { $one->control('DELETE', 'log'); 1 }, 'not so');
	like($@, qr/405/, 'wrong method');
	ok(!eval { $one->control('GET', 'log?since=x'); 1 }, 'bad argument');
	like((send_message($one, text_message()))[1]{messages}[0]{id}, qr/wamid/, 'it lives');
};

subtest 'end' => sub {
	for my $signal (qw(TERM INT HUP))
	{
		my $one = WaSimulator->start('--delay-ms' => 60_000);
		my @sockets = map { raw_open($one) } 1 .. 3;
		raw_write($_, message_request(text_message())) for @sockets;
		1 until $one->stats->{accepted} == 3;
		is($one->stop($signal), 0, "SIG$signal, with requests waiting");
		isnt(raw_read($_)->{end}, 'timeout', 'they end, too') for @sockets;
	}
};

subtest 'connections that take their time' => sub {
	my $far = WaSimulator->start('--connect-delay-ms' => 300, '--numbers=1');
	my $began = time;
	is(HTTP::Tiny->new->get($far->url . '/v25.0/100000000000001')->{status}, 403, 'a distant host answers');
	cmp_ok(time - $began, '>=', 0.3, 'when its connection has been made');
	ok($far->stats->{connections} > 0, 'and is counted');
	is($far->stop, 0, 'it ends well');
};

done_testing();
