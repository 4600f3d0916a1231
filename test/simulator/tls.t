# https with a certificate made at start, seen through the curl program.
use strict;
use warnings;
use utf8;

use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use SimClient;
use Test::More;
use WaSimulator;

plan skip_all => 'needs the curl program' if system('curl --version >/dev/null 2>&1') != 0;

my $dir = tempdir(CLEANUP => 1);
open my $body, '>', "$dir/body" or die $!;
print $body encode(text_message());
close $body;

# (curl's exit code, output)
sub curl
{
	my ($sim, @options) = @_;
	open my $pipe, '-|', 'curl', '--silent', '--noproxy', '*', '-H', 'Authorization: Bearer ' . TOKEN, @options
	  or die $!;
	my $text = do { local $/; <$pipe> };
	close $pipe;
	return ($? >> 8, $text);
}

my $sim = WaSimulator->start('--tls');
like($sim->url, qr{^https://127\.0\.0\.1:\d+$}, 'https address');
ok(-r $sim->ca_file, 'CA file');
my $path = '/v25.0/' . NUMBER . '/messages';
my ($code, $text) = curl($sim, '--cacert', $sim->ca_file, '--data', "\@$dir/body", $sim->url . $path);
is($code, 0, 'trusted with the CA file');
like(decode($text)->{messages}[0]{id}, qr/^wamid/, 'answer');
my $by_name = $sim->url =~ s/127\.0\.0\.1/localhost/r;
is((curl($sim, '--cacert', $sim->ca_file, '--resolve', 'localhost:' . $sim->port . ':127.0.0.1', "$by_name/v25.0/" . WABA))[0],
	0, 'also as localhost');
is((curl($sim, $sim->url . $path))[0], 60, 'not trusted without');
is(scalar $sim->accepted, 1, 'control works in plain http');

$sim->faults({ cut => 'accepted' });
($code) = curl($sim, '--cacert', $sim->ca_file, '--data', "\@$dir/body", $sim->url . $path);
ok($code == 56 || $code == 52, 'cut after acceptance') or diag "curl says $code";
is(scalar $sim->accepted, 2, 'accepted');
$sim->faults({ cut => 'answer', bytes => 20, how => 'close' });
($code) = curl($sim, '--cacert', $sim->ca_file, '--data', "\@$dir/body", $sim->url . $path);
ok($code == 56 || $code == 18, 'cut within the answer') or diag "curl says $code";
$sim->faults({ cut => 'connect' });
($code) = curl($sim, '--cacert', $sim->ca_file, '--data', "\@$dir/body", $sim->url . $path);
ok($code == 35 || $code == 7, 'cut before the handshake') or diag "curl says $code";
$sim->faults;

my $ca = $sim->ca_file;
is($sim->stop, 0, 'ends in good order');
ok(!-e $ca, 'the CA file is gone');

$sim = WaSimulator->start('--tls', '--ca-out' => "$dir/ca.pem");
is($sim->ca_file, "$dir/ca.pem", '--ca-out');
is((curl($sim, '--cacert', "$dir/ca.pem", $sim->url . '/v25.0/' . WABA))[0], 0, 'trusted');
$sim->stop;
ok(-e "$dir/ca.pem", 'a named file stays');

SKIP:
{
	skip 'needs the openssl program', 2
	  if system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
		  . "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 "
		  . "-keyout $dir/key.pem -out $dir/cert.pem >/dev/null 2>&1") != 0;
	$sim = WaSimulator->start('--tls', '--cert' => "$dir/cert.pem", '--key' => "$dir/key.pem");
	is($sim->ca_file, "$dir/cert.pem", '--cert');
	is((curl($sim, '--cacert', "$dir/cert.pem", $sim->url . '/v25.0/' . WABA))[0], 0, 'given certificate');
	$sim->stop;
}

done_testing();
