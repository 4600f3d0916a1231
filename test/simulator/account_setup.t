# docs/master-account.md, as it stands there: its commands make an account that can
# send, out of one that cannot.  And what the calls refuse.
use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib", "$FindBin::Bin/../t/lib";

use File::Temp;
use IPC::Open3 qw(open3);
use SimClient;
use Test::More;
use WaDocs qw(blocks);
use WaSimulator;

my $number = NUMBER;
my $guide = "$FindBin::Bin/../../docs/master-account.md";
my $etc = File::Temp->newdir;
my $sim = WaSimulator->start('--unsubscribed', '--webhook-pull');
$sim->config(numbers => [ { id => $number, status => 'PENDING', code_verification_status => 'NOT_VERIFIED' } ]);

sub call
{
	my ($method, $path, $body) = @_;
	return api($sim, $method, $path, defined $body ? (content => encode($body)) : ());
}

sub refused
{
	my ($name, $path, $body, %wanted) = @_;
	my ($status, $answer) = call('POST', $path, $body);
	is($answer->{error}{code}, $wanted{code}, "$name: $wanted{code}") or diag explain $answer;
	is($answer->{error}{error_subcode}, $wanted{subcode}, "$name: its subcode") if $wanted{subcode};
	is($status, $wanted{status} // 400, "$name: its status");
	return;
}

sub done_by
{
	my ($name, $method, $path, $body) = @_;
	my ($status, $answer) = call($method, $path, $body);
	is($status, 200, $name) or diag explain $answer;
	return $answer;
}

#
# What cannot be done before its time
#

refused('a number that is not registered sends nothing', "$number/messages", text_message(), code => 133010);
refused('a code that nobody has asked for', "$number/verify_code", { code => '123456' }, code => 100, status => 422);
refused('registering a number that is not verified', "$number/register", { messaging_product => 'whatsapp', pin => '111111' }, code => 133006);
is_deeply(done_by('before that no app is subscribed', 'GET', WABA . '/subscribed_apps')->{data}, [], 'none');

#
# The guide's commands, one after the other
#

my $script = '';
foreach my $block (grep { $_->{lang} eq 'sh' } blocks($guide))
{
	is($block->{directive}, 'run by test/simulator/account_setup.t', "the block of line $block->{line} says so");
	$script .= "echo \"--- $block->{line}\"\n$block->{text}\n";
}
$script =~ s{/etc/whatsapp-shared}{$etc}g;
$script =~ s{-o postgres -g postgres }{}g;
my $url = $sim->url;
ok($script =~ s{https://graph\.facebook\.com/}{$url/}g, 'they name the address of the API');
utf8::encode($script);
my $pid = open3(my $in, my $out, undef, 'bash', '-euo', 'pipefail', '-c', $script);
print $in TOKEN, "\n";
close $in;
my $printed = do { local $/; <$out> };
waitpid $pid, 0;
is($?, 0, 'they run') or diag($printed);
unlike($printed, qr/"error"/, 'and the API accepts them') or diag($printed);
like($printed, qr/"is_valid": ?true/, 'the token is found valid');
is(scalar(() = $printed =~ /"success": ?true/g), 4, 'the four that say so have succeeded');
like($printed, qr/"id": ?"$number"[^}]*"status": ?"CONNECTED"|"status": ?"CONNECTED"[^}]*"id": ?"$number"/, 'the number is connected');
like($printed, qr/"status": ?"PENDING"/, 'the template waits for approval');
like($printed, qr/"whatsapp_business_api_data"/, 'the app is subscribed');

is(done_by('the template is listed', 'GET', WABA . '/message_templates?name=pedido_compra')->{data}[0]{status}, 'PENDING', 'as pending');
done_by('the number sends', 'POST', "$number/messages", text_message());

#
# What happens the second time
#

refused('a code for a verified number', "$number/request_code", { code_method => 'SMS', language => 'es' }, code => 136024);
refused('another PIN', "$number/register", { messaging_product => 'whatsapp', pin => '999999' }, code => 133005);
done_by('the same PIN', 'POST', "$number/register", { messaging_product => 'whatsapp', pin => '654321' });
done_by('deregistering', 'POST', "$number/deregister", { messaging_product => 'whatsapp' });
refused('what is deregistered sends nothing', "$number/messages", text_message(), code => 133010);
done_by("registering it again, $_", 'POST', "$number/register", { messaging_product => 'whatsapp', pin => '654321' }) foreach 4 .. 10;
refused('the eleventh time', "$number/register", { messaging_product => 'whatsapp', pin => '654321' }, code => 133016);
$sim->advance_clock(72 * 3600 * 1000);
done_by('three days later', 'POST', "$number/register", { messaging_product => 'whatsapp', pin => '654321' });

#
# What is wrong in itself
#

my %template = (name => 'aviso', language => 'es', category => 'UTILITY', components => [ { type => 'BODY', text => 'Hola.' } ]);
my $templates = WABA . '/message_templates';
refused('a method that there is not', "$number/request_code", { code_method => 'FAX', language => 'es' }, code => 100);
refused('a language that is none', "$number/request_code", { code_method => 'SMS', language => 'español' }, code => 100);
refused('a PIN of letters', "$number/register", { messaging_product => 'whatsapp', pin => 'secret' }, code => 100);
refused('another product', "$number/register", { messaging_product => 'instagram', pin => '654321' }, code => 100);
refused('a name in capitals', $templates, { %template, name => 'Aviso' }, code => 100);
refused('no language', $templates, { %template, language => undef }, code => 100);
refused('a category that there is not', $templates, { %template, category => 'NEWS' }, code => 100);
refused('no body', $templates, { %template, components => [] }, code => 100, subcode => 2388043);
refused('a variable at the end', $templates, { %template, components => [ { type => 'BODY', text => 'Hola {{1}}' } ] }, code => 100, subcode => 2388299);
refused('a variable without an example', $templates, { %template, components => [ { type => 'BODY', text => 'Hola {{1}}.' } ] }, code => 100, subcode => 2388043);
refused('a long body', $templates, { %template, components => [ { type => 'BODY', text => 'x' x 1025 } ] }, code => 100, subcode => 2388040);
my $made = done_by('a template in small letters', 'POST', $templates, { %template, category => 'utility', components => [ { type => 'body', text => 'Hola.' } ] });
is_deeply([ @$made{qw(status category)} ], [qw(PENDING UTILITY)], 'its status and category');
refused('the same again', $templates, \%template, code => 100);
done_by('its other language', 'POST', $templates, { %template, language => 'en' });

#
# Webhooks end with the subscription
#

$sim->all_webhooks;
done_by('ending the subscription', 'DELETE', WABA . '/subscribed_apps');
done_by('a message', 'POST', "$number/messages", text_message());
is(scalar(my @none = $sim->all_webhooks), 0, 'has no report then');
done_by('subscribing', 'POST', WABA . '/subscribed_apps');
done_by('another one', 'POST', "$number/messages", text_message());
cmp_ok(scalar(my @some = $sim->all_webhooks), '>', 0, 'has one');

done_testing();
