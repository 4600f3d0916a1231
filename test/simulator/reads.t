# Reading the account: lists with paging, nodes with fields, tokens, media.
use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use HTTP::Tiny;
use SimClient;
use Test::More;
use WaSimulator;

my $sim = WaSimulator->start('--numbers' => 12);

sub get
{
	my ($path, %options) = @_;
	my ($status, $answer, $headers) = api($sim, 'GET', $path, %options);
	is($status, $options{status} // 200, "GET $path") or diag explain $answer;
	return wantarray ? ($answer, $headers) : $answer;
}

# All pages, by following paging.next as a client does.
sub all_pages
{
	my ($path) = @_;
	my (@data, $pages);
	my $url = $sim->url . "/v25.0/$path";
	while (defined $url)
	{
		my $response = HTTP::Tiny->new->get($url, { headers => { Authorization => 'Bearer ' . TOKEN } });
		my $page = decode($response->{content});
		push @data, @{ $page->{data} };
		$pages++;
		$url = $page->{paging}{next};
	}
	return ($pages, @data);
}

#
# Numbers
#

my $list = get(WABA . '/phone_numbers');
is(scalar @{ $list->{data} }, 12, 'twelve numbers');
ok(!exists $list->{paging}{next}, 'one page');
is_deeply(
	[ sort keys %{ $list->{data}[0] } ],
	[
		sort
		  qw(id display_phone_number verified_name quality_rating code_verification_status platform_type throughput last_onboarded_time)
	],
	'default fields');
is($list->{data}[0]{display_phone_number}, '+34 600 00 00 01', 'number as shown');

my ($pages, @numbers) = all_pages(WABA . '/phone_numbers?limit=5&fields=id,status,quality_rating,throughput');
is($pages, 3, 'three pages of five');
is_deeply([ map { $_->{id} } @numbers ], [ map { 100000000000000 + $_ } 1 .. 12 ], 'each number once, in order');
is_deeply(
	$numbers[11],
	{ id => '100000000000012', status => 'CONNECTED', quality_rating => 'GREEN', throughput => { level => 'STANDARD' } },
	'the fields asked for');
my $page = get(WABA . '/phone_numbers?limit=5');
my $back = get(WABA . '/phone_numbers?limit=2&before=' . $page->{paging}{cursors}{after});
is_deeply([ map { $_->{id} } @{ $back->{data} } ], [qw(100000000000004 100000000000005)], 'backwards');
is(get(WABA . '/phone_numbers?limit=0', status => 400)->{error}{code}, 100, 'limit 0');
is(get(WABA . '/phone_numbers?after=nonsense', status => 400)->{error}{code}, 100, 'wrong cursor');

$sim->config(numbers => [
		{ id => NUMBER, quality_rating => 'RED', status => 'FLAGGED', throughput => { level => 'HIGH' } },
		{ id => '100000000000099', display_phone_number => '+34 600 00 00 99' },
		{ id => '100000000000002', removed => JSON::PP::true } ]);
is_deeply(
	scalar get(NUMBER . '?fields=quality_rating,status,throughput'),
	{ id => NUMBER, quality_rating => 'RED', status => 'FLAGGED', throughput => { level => 'HIGH' } },
	'changed number');
is(get('100000000000002', status => 400)->{error}{error_subcode}, 33, 'removed number');
is_deeply(
	[ map { $_->{id} } @{ get(WABA . '/phone_numbers')->{data} } ],
	[ map { 100000000000000 + $_ } 1, 3 .. 12, 99 ],
	'the list follows');

my $health = get(NUMBER . '?fields=health_status')->{health_status};
is($health->{can_send_message}, 'BLOCKED', 'a flagged number cannot send');
is_deeply([ map { $_->{entity_type} } @{ $health->{entities} } ], [qw(PHONE_NUMBER WABA BUSINESS)], 'entities');
is(get('100000000000003?fields=health_status')->{health_status}{can_send_message}, 'AVAILABLE', 'a good one can');

#
# Templates
#

$list = get(WABA . '/message_templates');
my ($nuevo) = grep { $_->{name} eq 'pedido_nuevo' && $_->{language} eq 'es' } @{ $list->{data} };
is($nuevo->{status}, 'APPROVED', 'pedido_nuevo');
is_deeply([ map { $_->{type} } @{ $nuevo->{components} } ], [qw(BODY FOOTER BUTTONS)], 'components');
is($nuevo->{components}[2]{buttons}[0]{text}, 'Confirmar pedido', 'button');
my ($template_pages, @templates) = all_pages(WABA . '/message_templates?limit=3');
is(scalar @templates, scalar @{ $list->{data} }, 'paged templates');
cmp_ok($template_pages, '>', 2, 'in pages');
is_deeply(
	[ map { $_->{name} } @{ get(WABA . '/message_templates?status=PENDING')->{data} } ],
	['pendiente_revision'], 'filter by status');
is_deeply(
	[ sort map { $_->{language} } @{ get(WABA . '/message_templates?name=pedido_nuevo')->{data} } ],
	[qw(en es)], 'filter by name');
is_deeply(
	scalar get("$nuevo->{id}?fields=name,quality_score"),
	{ id => $nuevo->{id}, name => 'pedido_nuevo', quality_score => { score => 'UNKNOWN', date => 1764000000 } },
	'template node');
$sim->config(templates => [ { name => 'nueva', language => 'es', components => [ { type => 'BODY', text => 'Hola {{1}}.' } ] } ]);
is(scalar @{ get(WABA . '/message_templates?name=nueva')->{data} }, 1, 'added template');
ok(!eval { $sim->config(templates => [ { name => 'mala', language => 'es' } ]); 1 }, 'template without body');
like($@, qr/has no BODY component/, 'its reason');

#
# Other nodes
#

is(get(WABA)->{name}, 'Panaderías Ejemplo', 'account');
is(get(WABA . '/nothing', status => 400)->{error}{code}, 100, 'unknown edge');
is(get('42', status => 400)->{error}{error_subcode}, 33, 'unknown node');
is((api($sim, 'DELETE', NUMBER))[0], 400, 'unsupported method');
is(get(WABA . '/phone_numbers', status => 401, token => 'WRONG')->{error}{code}, 190, 'wrong token');
is(get(WABA . '/phone_numbers', status => 403, token => undef)->{error}{code}, 200, 'no token');
is(scalar @{ get(WABA . '/phone_numbers?access_token=' . TOKEN, token => undef)->{data} }, 12, 'token in the query');

my $data = get('debug_token?input_token=' . TOKEN)->{data};
ok($data->{is_valid}, 'token is valid');
is($data->{expires_at}, 0, 'for ever');
is_deeply($data->{granular_scopes}[1], { scope => 'whatsapp_business_messaging', target_ids => [WABA] }, 'scopes');
$sim->config(token_expires_at => 1800000000, expired_token => 'OLD');
is(get('debug_token?input_token=' . TOKEN)->{data}{expires_at}, 1800000000, 'token that will expire');
ok(!get('debug_token?input_token=OLD')->{data}{is_valid}, 'expired token');
is(get('debug_token?input_token=WRONG')->{data}{error}{code}, 190, 'wrong token');
is(get('debug_token', status => 400)->{error}{code}, 100, 'no token to look at');

#
# Headers and versions
#

my (undef, $headers) = get(NUMBER);
is($headers->{'facebook-api-version'}, 'v25.0', 'version header');
my ($wrong, $wrong_headers) = get('42', status => 400);
is($wrong->{error}{fbtrace_id}, $wrong_headers->{'x-fb-trace-id'}, 'one trace id in an answer');
like($headers->{'x-fb-trace-id'}, qr/^A[\w-]{22}$/, 'trace header');
like($headers->{'content-type'}, qr{^application/json}, 'content type');
my $http = HTTP::Tiny->new(default_headers => { Authorization => 'Bearer ' . TOKEN });
is($http->get($sim->url . '/v18.0/' . NUMBER)->{headers}{'facebook-api-version'},
	'v21.0', 'an expired version is served by the oldest usable one');
$sim->config(served_version => 'v26.0');
is((get(NUMBER))[1]{'facebook-api-version'}, 'v26.0', 'served_version');
for my $path ('/', '/v25.0', '/v25/' . NUMBER, '/x25.0/' . NUMBER, '/v25.0/' . NUMBER . '/a/b')
{
	my $response = $http->get($sim->url . $path);
	is("$response->{status} " . decode($response->{content})->{error}{code}, '400 2500', "path $path");
}

#
# Media
#

sub upload
{
	my ($type, $content, %parts) = @_;
	my %form = (messaging_product => 'whatsapp', %parts);
	my $body = join '', map {
		defined $form{$_} ? "--limit\r\nContent-Disposition: form-data; name=\"$_\"\r\n\r\n$form{$_}\r\n" : ''
	} sort keys %form;
	$body .= "--limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n"
	  . "Content-Type: $type\r\n\r\n$content\r\n"
	  if defined $content;
	return api($sim, 'POST', NUMBER . '/media',
		content => "$body--limit--\r\n",
		headers => { 'Content-Type' => 'multipart/form-data; boundary=limit' });
}

my $content = join '', map { chr($_ % 256) } 1 .. 300_000;
my ($status, $answer) = upload('application/pdf', $content);
is($status, 200, 'upload') or diag explain $answer;
my $id = $answer->{id};
my $node = get($id);
is_deeply(
	[ @$node{qw(id mime_type file_size sha256 messaging_product)} ],
	[ $id, 'application/pdf', 300_000, sha256_hex($content), 'whatsapp' ], 'media node');
my $file = $http->get($node->{url});
is(sha256_hex($file->{content}), sha256_hex($content), 'content behind the address');
is(HTTP::Tiny->new->get($node->{url})->{status}, 403, 'which needs the token');
for my $case (
	[ 'wrong type', 'application/x-zip', 'x' ],
	[ 'empty file', 'application/pdf', '' ],
	[ 'no file', 'application/pdf', undef ],
	[ 'no product', 'application/pdf', 'x', messaging_product => undef ],
	[ 'image too large', 'image/png', 'x' x (5 * 1024 * 1024 + 1) ])
{
	my ($name, @arguments) = @$case;
	($status, $answer) = upload(@arguments);
	is("$status $answer->{error}{code}", '400 100', $name);
}
is((upload('audio/ogg; codecs=opus', 'x'))[0], 200, 'type with a parameter');
is((upload('application/octet-stream', 'x', type => 'image/png'))[0], 200, 'type given apart');
is((api($sim, 'POST', NUMBER . '/media', content => '{}'))[0], 400, 'upload that is no form');
is((api($sim, 'POST', '42/media', content => 'x'))[1]{error}{error_subcode}, 33, 'upload to an unknown number');

$sim->config(check_media => JSON::PP::true);
my $message = text_message(type => 'document', document => { id => $id });
delete $message->{text};
is((send_message($sim, $message))[0], 200, 'an uploaded file can be sent');
$message->{document}{id} = '1';
is((send_message($sim, $message))[1]{error}{code}, 131009, 'another cannot');
is_deeply((api($sim, 'DELETE', $id))[1], { success => JSON::PP::true }, 'delete');
is(get($id, status => 400)->{error}{error_subcode}, 33, 'is gone');
($status, $answer) = upload('application/pdf', 'x');
$sim->advance_clock(31 * 86400 * 1000);
get($answer->{id}, status => 400);

is($sim->stop, 0, 'ends in good order');
done_testing();
