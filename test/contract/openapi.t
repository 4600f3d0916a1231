# Golden messages, and the simulator's answers and webhooks, against Meta's own
# OpenAPI description.  WA_OPENAPI names the file; it is Meta's and not kept here.
# The validator is npm's ajv: package.json.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Spec;
use File::Temp;
use HTTP::Tiny;
use IPC::Open2 qw(open2);
use JSON::PP ();
use Test::More;

use lib File::Spec->catdir(dirname(abs_path(__FILE__)), '..', 'lib');
use WaSimulator;
use WaValidator qw(install_validator);

plan skip_all => 'WA_OPENAPI is not set' unless $ENV{WA_OPENAPI};

my $here    = dirname(abs_path(__FILE__));
my $openapi = abs_path($ENV{WA_OPENAPI});
my $json    = JSON::PP->new->utf8->canonical;
my $number  = '100000000000001';
my $account = '300000000000001';

ok(defined $openapi && -r $openapi, 'WA_OPENAPI names a file')
  or BAIL_OUT("$ENV{WA_OPENAPI} cannot be read");

# ---- the documents: name, schema, document, and words of the problem if it must have one

my @documents;

sub good { push @documents, [ @_[ 0 .. 2 ] ]; return }
sub bad  { push @documents, [@_]; return }

my %schema = map { $_ => ucfirst($_) . 'Message' }
  qw(text audio document image location video sticker reaction interactive template contacts);
my %message;

foreach my $file (sort glob "$here/golden/*.json")
{
	my $name = basename($file, '.json');
	open my $fh, '<', $file or die "$file: $!";
	my $message = $json->decode(do { local $/; <$fh> });
	close $fh;

	$message{$name} = $message;
	good($name, $schema{ $message->{type} }, $message);
}
is_deeply([ sort keys %{ { map { $_->{type} => 1 } values %message } } ],
	[ sort keys %schema ], 'there is a golden message of every type');

# The golden message with one thing changed.
sub spoilt
{
	my ($name, $change) = @_;
	my $message = $json->decode($json->encode($message{$name}));
	$change->($message);
	return $message;
}

bad('a text without messaging_product', 'TextMessage',
	spoilt('text', sub { delete $_[0]{messaging_product} }),
	qr/required property 'messaging_product'/);
bad('a text to nobody', 'TextMessage', spoilt('text', sub { delete $_[0]{to} }), qr/'recipient'/);
bad('a member that is not known', 'TextMessage', spoilt('text', sub { $_[0]{body} = 'x' }),
	qr/unevaluated properties/);
bad('our data too long', 'TextMessage',
	spoilt('text', sub { $_[0]{biz_opaque_callback_data} = 'x' x 513 }), qr/more than 512/);
bad('an eleventh button', 'TemplateMessage',
	spoilt('template_quick_reply', sub { $_[0]{template}{components}[1]{index} = '10' }),
	qr/pattern/);
bad('an index that is a number', 'TemplateMessage',
	spoilt('template_quick_reply', sub { $_[0]{template}{components}[1]{index} = 0 }),
	qr/must be string/);
bad('a parameter without its value', 'TemplateMessage',
	spoilt('template_positional', sub { delete $_[0]{template}{components}[0]{parameters}[1]{text} }),
	qr/required property 'text'/);
bad('a location in the body', 'TemplateMessage',
	spoilt('template_header_location', sub { $_[0]{template}{components}[0]{type} = 'body' }),
	qr/components/);
bad('a template without language', 'TemplateMessage',
	spoilt('template', sub { delete $_[0]{template}{language} }), qr/'language'/);
bad('four buttons', 'InteractiveMessage',
	spoilt('interactive_button', sub { my $b = $_[0]{interactive}{action}{buttons}; push @$b, @$b }),
	qr/more than 3/);
bad('a link button without link', 'InteractiveMessage',
	spoilt('interactive_cta_url', sub { delete $_[0]{interactive}{action}{parameters}{url} }),
	qr/required property 'url'/);
bad('a sticker with a caption', 'StickerMessage',
	spoilt('sticker', sub { $_[0]{sticker}{caption} = 'x' }), qr/additional properties/);

# ---- what the simulator says

my $sim  = WaSimulator->start('--numbers' => 3, '--webhook-pull');
my $http = HTTP::Tiny->new(timeout => 30);

sub ask
{
	my ($method, $path, %options) = @_;
	my $content = $options{content};

	$content = $json->encode($content) if ref $content;
	my $response = $http->request($method, $sim->url . "/v25.0/$path",
		{
			headers => {
				Authorization => 'Bearer ' . ($options{token} // 'SIMULATOR_TOKEN'),
				defined $content ? ('Content-Type' => $options{type} // 'application/json') : ()
			},
			defined $content ? (content => $content) : ()
		});
	return ($response->{status}, $json->decode($response->{content}), $response->{headers});
}

# A request, the status that its answer must have, and the answer's schema.
sub answer_is
{
	my ($name, $status, $schema, @request) = @_;
	my ($got, $document, $headers) = ask(@request);

	is($got, $status, "answer: $name");
	good("answer: $name", $schema, $document);
	good("headers of the answer: $name", 'AnswerHeaders', $headers);
	return $document;
}

my $send = "$number/messages";
answer_is("to $_", 200, 'MessageResponsePayload', 'POST', $send, content => $message{$_})
  foreach 'text_preview', 'text_user_id', 'template_positional', 'location', 'interactive_list';
answer_is('another token', 401, 'GraphAPIError', 'POST', $send, content => $message{text}, token => 'no');
answer_is('another number', 400, 'GraphAPIError', 'POST', '42/messages', content => $message{text});
answer_is('no such template', 404, 'GraphAPIError', 'POST', $send,
	content => spoilt('template', sub { $_[0]{template}{name} = 'nada' }));
answer_is('too few parameters', 400, 'GraphAPIError', 'POST', $send,
	content => spoilt('template_positional', sub { pop @{ $_[0]{template}{components}[0]{parameters} } }));
answer_is('no message', 400, 'GraphAPIError', 'POST', $send, content => {});
$sim->faults(map { { match => { nth => $_->[0] }, code => $_->[1] } } [ 1, 130429 ], [ 2, 131056 ], [ 3, 2 ]);
answer_is('too fast', 429, 'GraphAPIError', 'POST', $send, content => $message{text});
answer_is('too fast for this recipient', 429, 'GraphAPIError', 'POST', $send, content => $message{text});
answer_is('out of order', 503, 'GraphAPIError', 'POST', $send, content => $message{text});
$sim->faults;

my $page = answer_is('numbers', 200, 'WhatsAppBusinessAccountPhoneNumbersConnection',
	'GET', "$account/phone_numbers?limit=2&fields=id,display_phone_number,verified_name,status,"
	  . 'quality_rating,code_verification_status,account_mode,whatsapp_business_manager_messaging_limit');
is(scalar @{ $page->{data} }, 2, 'a page of two numbers');
answer_is('templates', 200, 'TemplateList', 'GET', "$account/message_templates?limit=100");
answer_is('an upload', 200, 'MediaUpload', 'POST', "$number/media",
	type => 'multipart/form-data; boundary=-b-',
	content => join "\r\n", '---b-', 'Content-Disposition: form-data; name="messaging_product"', '',
	'whatsapp', '---b-', 'Content-Disposition: form-data; name="file"; filename="a.txt"',
	'Content-Type: text/plain', '', 'Hola', '---b---', '');

# Setting up an account, as docs/master-account.md does.
my $new = '100000000000003';
$sim->config(numbers => [ { id => $new, status => 'PENDING', code_verification_status => 'NOT_VERIFIED' } ]);
foreach my $step (
	[ 'request_code', 'RequestCode', { code_method => 'SMS', language => 'es_ES' } ],
	[ 'verify_code', 'VerifyCode', { code => '123456' } ],
	[ 'register', 'WhatsAppBusinessPhoneNumberRegistration', { messaging_product => 'whatsapp', pin => '654321' } ])
{
	my ($edge, $schema, $request) = @$step;
	good("request: $edge", "${schema}Request", $request);
	answer_is($edge, 200, "${schema}Response", 'POST', "$new/$edge", content => $request);
}
answer_is('a code for a verified number', 400, 'GraphAPIError', 'POST', "$new/request_code", content => { code_method => 'SMS', language => 'es_ES' });
answer_is('subscribing', 200, 'SubscriptionResponse', 'POST', "$account/subscribed_apps");
answer_is('the subscribed app', 200, 'SubscribedAppsResponse', 'GET', "$account/subscribed_apps");
answer_is('a new template', 200, 'TemplateCreated', 'POST', "$account/message_templates",
	content => { name => 'aviso', language => 'es', category => 'UTILITY', components => [ { type => 'BODY', text => 'Hola.' } ] });
answer_is('a template without a body', 400, 'GraphAPIError', 'POST', "$account/message_templates",
	content => { name => 'nada', language => 'es', category => 'UTILITY', components => [] });

bad('an answer with another status', 'MessageResponsePayload',
	{ messages => [ { id => 'wamid.X', message_status => 'perhaps' } ] }, qr/allowed values/);
bad('an error without code', 'GraphAPIError', { error => { message => 'x', type => 'y' } }, qr/'code'/);
bad('a number without state', 'WhatsAppBusinessAccountPhoneNumbersConnection',
	{ data => [ { id => '1', display_phone_number => '+34' } ] }, qr/'status'/);

# Statuses of what was accepted, and of a message that failed.
$sim->faults({ webhook_code => 131026 });
ask('POST', $send, content => $message{template});
my %status;
foreach my $post ($sim->all_webhooks)
{
	my $body = $json->decode($post->{body});
	good('a webhook', 'WebhookPayload', $body);
	foreach my $change (map { @{ $_->{changes} } } @{ $body->{entry} })
	{
		good('the statuses in it', 'StatusMessageValue', $change->{value});
		$status{ $_->{status} } = 1 foreach @{ $change->{value}{statuses} };
	}
}
is_deeply([ sort keys %status ], [qw(delivered failed read sent)], 'all statuses were seen');
$sim->stop;

# ---- the validator

my $dir = File::Temp->newdir;
install_validator($dir, qw(validate.mjs overlay.mjs));

my $pid = open2(my $out, my $in, 'node', "$dir/validate.mjs", $openapi);
my $writer = fork // die "could not fork: $!";
if ($writer == 0)
{
	close $out;
	print {$in} $json->encode({ schema => $_->[1], document => $_->[2] }), "\n" foreach @documents;
	close $in;
	require POSIX;
	POSIX::_exit(0);
}
close $in;
my @results = map { $json->decode($_) } <$out>;
close $out;
waitpid $writer, 0;
waitpid $pid, 0;
is($?, 0, 'the validator has come to its end');

while (@results && exists $results[0]{defect})
{
	my $result = shift @results;
	is($result->{problem}, undef, "still a defect of the description: $result->{defect}");
}
is(scalar @results, scalar @documents, 'it has judged every document');
for my $i (0 .. $#results)
{
	my ($name, $schema, $document, $expected) = @{ $documents[$i] };
	my $problems = join "\n", @{ $results[$i]{problems} };

	if (defined $expected)
	{
		like($problems, $expected, "$schema refuses $name");
	}
	else
	{
		is($problems, '', "$schema: $name") or diag($json->encode($document));
	}
}
done_testing();
