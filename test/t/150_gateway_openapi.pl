# docs/openapi.yaml against the gateway: it has every route and no other, every
# response that it describes occurs, and every response is as it is described.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(hmac_sha256_hex);
use HTTP::Tiny;
use IPC::Open2 qw(open2);
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;
use WaGateway;
use WaSimulator;
use WaTest qw(create_extension new_node);
use WaValidator qw(install_validator);

my $root = "$FindBin::RealBin/../..";
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $tmp = PostgreSQL::Test::Utils::tempdir;
my $secret = 'the-app-secret';
my $admin = '/api/v1/admin/whatsapp';
my $tenant = '/api/v1/tenants/{tenant_id}';
my $page = '/app/settings/notifications/{tenant_id}';

# ---- the description ---------------------------------------------------------------

my $validator = "$tmp/validator";
mkdir $validator or die "$validator: $!";
install_validator($validator, 'gateway.mjs');

my @documents;    # [name, pointer of the schema, document]

# What the validator prints, of @documents at the time.
sub validate
{
	my $pid = open2(my $out, my $in, 'node', "$validator/gateway.mjs", "$root/docs/openapi.yaml");
	my $writer = fork // die "could not fork: $!";
	if ($writer == 0)
	{
		close $out;
		print {$in} $json->encode({ schema => $_->[1], document => $_->[2] }), "\n" foreach @documents;
		close $in;
		POSIX::_exit(0);
	}
	close $in;
	my ($first, @results) = map { $json->decode($_) } <$out>;
	close $out;
	waitpid $_, 0 foreach $writer, $pid;
	is($?, 0, 'the validator has come to its end') or BAIL_OUT('the description cannot be read');
	return ($first, @results);
}

my ($read) = validate();
my $description = $read->{description};
is(join("\n", @{ $read->{problems} }), '', 'the description has no mistake');

my %operations;    # "GET /path" => operation
foreach my $path (keys %{ $description->{paths} })
{
	$operations{ uc($_) . " $path" } = $description->{paths}{$path}{$_} foreach keys %{ $description->{paths}{$path} };
}

# ---- the same routes, for the same people --------------------------------------------

my %routes = map { /^(\S+ \S+) (\S+)$/ ? ($1 => $2) : () } split /\n/, do { my $binary = WaGateway->binary; `$binary --routes` };
is_deeply([ sort keys %operations ], [ sort keys %routes ], 'it has the routes of the program, and no other');

my %schemes = (
	nobody => [qw()], viewer => [qw(adminSession adminToken viewerToken)], admin => [qw(adminSession adminToken)],
	tenant => [qw(adminSession adminToken tenantLink tenantSession)]);
foreach my $route (sort grep { defined $operations{$_} } keys %routes)
{
	my @named = sort grep { !/^(?:webhookSignature|verifyToken)$/ } map { keys %$_ } @{ $operations{$route}{security} };
	my @expected = @{ $schemes{ $routes{$route} } };

	push @expected, 'viewerToken' if $routes{$route} eq 'tenant' && $route =~ /^GET/;
	@named = () if $routes{$route} eq 'nobody' && grep { !%$_ } @{ $operations{$route}{security} };
	is("@named", "@expected", "$route: who may");
}

# ---- an installation ---------------------------------------------------------------

my $simulator = WaSimulator->start('--token' => 'SIMULATOR_TOKEN', '--numbers' => 0, '--config' => "$root/demo/account.json", '--webhook-pull');
my $node = new_node(
	'openapi',
	'whatsapp_shared.enabled = on',
	"whatsapp_shared.access_token = 'SIMULATOR_TOKEN'",
	"whatsapp_shared.app_secret = '$secret'",
	"whatsapp_shared.business_account_id = '300000000000001'",
	"whatsapp_shared.graph_url = '" . $simulator->url . "'",
	"whatsapp_shared.gateway_url = 'https://avisos.example'",
	"whatsapp_shared.uncertain_policy = 'park'",
	"whatsapp_shared.default_language = 'es'");
create_extension($node, 'postgres');

sub write_secret
{
	my ($name, $text) = @_;
	open my $fh, '>', "$tmp/$name" or die "$name: $!";
	chmod 0600, $fh;
	print $fh "$text\n";
	close $fh or die "$name: $!";
	return "$tmp/$name";
}

my $gateway = WaGateway->start(
	$node,
	arguments => [
		'--app-secret-file' => write_secret('app_secret', $secret),
		'--verify-token-file' => write_secret('verify_token', 'verify-me'),
		'--trusted-proxy' => '127.0.0.1'
	]);

# Whose database is away, and who has no secrets.
my $away = WaGateway->start(
	undef,
	database => 'host=127.0.0.1 port=9 dbname=postgres user=nobody',
	arguments => [ '--wait-ms' => 0 ],
	wait => 0);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { return ok($node->poll_query_until('postgres', "SELECT $_[0]"), $_[1]) }

until_true("count(*) = 2 FROM whatsapp_sync WHERE kind IN ('phone_numbers', 'templates') AND finished_at IS NOT NULL AND error IS NULL",
	'the account has been read');

# ---- requests ------------------------------------------------------------------------

my %seen;        # "GET /path" => { status => times }
my %filled;      # lists that were not empty once

sub escape { my ($text) = @_; $text =~ s{([^A-Za-z0-9._~-])}{sprintf '%%%02X', ord $1}ge; return $text }
sub pointer { my ($text) = @_; $text =~ s/~/~0/g; $text =~ s{/}{~1}g; return escape($text) }

# Looks at a response to the operation "GET /path".
sub take
{
	my ($operation, $reply, $name) = @_;
	my ($method, $path) = split / /, $operation, 2;
	my $described = $operations{$operation}{responses}{ $reply->{status} } // $operations{$operation}{responses}{default};
	my ($type) = $reply->{headers}{'content-type'} // '';

	$seen{$operation}{ $reply->{status} }++;
	fail("$name: $reply->{status} is not described: $reply->{content}"), return $reply
	  unless defined $operations{$operation}{responses}{ $reply->{status} };
	foreach my $header (sort keys %{ $described->{headers} // {} })
	{
		fail("$name: there is no $header")
		  if $described->{headers}{$header}{required} && !defined $reply->{headers}{ lc $header };
	}
	if (!$described->{content})
	{
		is($reply->{content} // '', '', "$name: no body");
		return $reply;
	}
	ok(defined $described->{content}{$type}, "$name: a body of type $type");
	push @documents, [ $name, '#/paths/' . pointer($path) . '/' . lc($method) . "/responses/$reply->{status}/content/" . pointer($type) . '/schema', $reply->{json} // $reply->{content} ]
	  if defined(($described->{content}{$type} // {})->{schema});
	$filled{$operation} = 1 if $reply->{status} == 200 && ref $reply->{json} eq 'ARRAY' && @{ $reply->{json} };
	return $reply;
}

# One request by its operation; options are those of WaGateway, and: path, the
# arguments of it; query; at, the gateway.
sub ask
{
	my ($operation, $status, %options) = @_;
	my ($method, $path) = split / /, $operation, 2;
	my $arguments = delete $options{path} // {};
	my $query = delete $options{query};
	my $name = (delete $options{name} // '') . " $operation";
	my $at = delete $options{at} // $gateway;

	$path =~ s/\{(\w+)\}/escape($arguments->{$1} \/\/ ($1 eq 'tenant_id' ? 'trigal' : $1 eq 'id' ? 1 : $1 eq 'folder' ? 'common' : 'base.css'))/ge;
	$path .= "?$query" if defined $query;
	push @documents, [ "body of $name", '#/paths/' . pointer((split / /, $operation)[1]) . '/' . lc($method) . '/requestBody/content/application~1json/schema', $options{body} ]
	  if ref $options{body} && $status < 300 && $operations{$operation}{requestBody};
	my $reply = $at->request($method, $path, %options);
	is($reply->{status}, $status, "$name: $status") or diag($reply->{content});
	return take($operation, $reply, $name);
}

# A request of which only the head is sent, which is enough to refuse it.
sub ask_by_head
{
	my ($operation, $status, %headers) = @_;
	my ($method, $path) = split / /, $operation, 2;

	$path =~ s/\{tenant_id\}/trigal/;
	$path =~ s/\{id\}/1/;
	$headers{authorization} //= "Bearer $WaGateway::TOKEN{admin}" if $path =~ m{^/api/};
	my ($head, $body) = split /\r\n\r\n/, $gateway->raw("$method $path HTTP/1.1\r\nHost: localhost\r\n" . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers) . "\r\n"), 2;
	my ($got, %reply) = $head =~ m{^HTTP/1\.1 (\d+)} ? ($1) : 0;
	$reply{lc $1} = $2 while $head =~ /^([\w-]+): (.*?)\r?$/mg;
	is($got, $status, "$operation: $status");
	return take($operation, { status => $got, headers => \%reply, content => $body, json => scalar eval { $json->decode($body) } }, $operation);
}

sub webhook
{
	my ($body) = @_;
	return ask('POST /webhook', 200, token => undef, content => $body,
		headers => { 'x-hub-signature-256' => 'sha256=' . hmac_sha256_hex($body, $secret), 'content-type' => 'application/json' });
}
sub statuses { webhook($_->{body}) foreach $simulator->all_webhooks; return }

# ---- what is right ---------------------------------------------------------------------

my %order = (template_name => 'pedido_compra', parameters => [ 'Harinas Molino de Mentira', 'TRI-2041', "1.226,40 \x{20ac}", '3 de diciembre' ]);

sub send_order
{
	my ($to, $status, %options) = @_;
	my $key = delete $options{key} // "order $to";
	return ask('POST /api/v1/messages', $status, body => { tenant_id => 'trigal', recipient_phone => $to, %order, %options }, headers => { 'idempotency-key' => $key })->{json}{id};
}
sub status_is { my ($id, $status) = @_; return until_true("status = '$status' FROM whatsapp_messages WHERE id = $id", "message $id becomes $status") }

my $assign = "POST $admin/tenants/{tenant_id}/assign-phone";
ask($assign, 200, body => { phone_number_id => '100000000000001', display_phone_number => '+34 600 00 00 01' });
ask($assign, 200, path => { tenant_id => 'alba' }, body => {}, name => 'the best free one');
is(ask($assign, 409, path => { tenant_id => 'corteza' }, body => { phone_number_id => '100000000000001' })->{json}{holder}{tenant_id}, 'trigal', 'the holder is named');
ask($assign, 200, path => { tenant_id => 'corteza' }, body => { phone_number_id => '100000000000001', take_from => 'trigal' });
ask($assign, 200, body => { phone_number_id => '100000000000001', take_from => 'corteza' });
sql("SELECT wa_configure_tenant('masa', is_new => true)");
ask("POST $admin/assign-phones", 200);
ask("DELETE $admin/tenants/{tenant_id}/unassign-phone", 200, path => { tenant_id => 'masa' });
ask("POST $admin/$_/sync", 202) foreach qw(phone-numbers templates);

my $delivered = send_order('+34600000101', 201, reference => 'TRI-2041');
send_order('+34600000101', 200, reference => 'TRI-2041');
send_order('+34600000101', 422, reference => 'TRI-2042');
ask('POST /api/v1/messages', 409, body => { tenant_id => 'trigal', recipient_phone => '+34600000102', type => 'text', body => 'Hola' }, headers => { 'idempotency-key' => 'text' }, name => 'no open window:');
status_is($delivered, 'accepted');
statuses();
$simulator->faults({ match => { recipient => '+34600000103' }, code => 131026, times => 1 }, { match => { recipient => '+34600000104' }, cut => 'received', times => 1 });
my $failed = send_order('+34600000103', 201);
my $uncertain = send_order('+34600000104', 201);
my $scheduled = send_order('+34600000105', 201, scheduled_at => '2030-01-01T08:00:00Z', priority => 5);
status_is($failed, 'failed');
until_true("state = 'u' FROM whatsapp_queue WHERE message_id = $uncertain", 'one is in doubt');

my %filter = (filter => { status => 'failed', error_code => 131026, from => '2026-01-01' });
ask("POST $admin/messages/retry", 200, body => { %filter, dry_run => JSON::PP::true });
ask("GET $admin/messages", 200, query => 'status=failed');
is(scalar @{ ask("GET $admin/failures", 200)->{json} }, 1, 'a failure');
ask("GET $admin/queue", 200);
ask("GET $admin/messages/{id}", 200, path => { id => $_ }) foreach $delivered, $failed, $uncertain, $scheduled;
ask("POST $admin/messages/{id}/resolve", 409, path => { id => $delivered }, body => { outcome => 'failed' });
ask("POST $admin/messages/{id}/resolve", 200, path => { id => $uncertain }, body => { outcome => 'failed' });
ask("POST $admin/messages/{id}/retry", 200, path => { id => $failed });
status_is($failed, 'accepted');
ask("POST $admin/messages/{id}/retry", 409, path => { id => $failed });
ask("POST $admin/messages/{id}/cancel", 200, path => { id => $scheduled });
ask("POST $admin/messages/{id}/cancel", 409, path => { id => $scheduled });
ask("POST $admin/messages/retry", 200, body => \%filter);
ask("POST $admin/messages/cancel", 200, body => { filter => { reason => 'no_number' } });

my %pause = (scope => 'tenant', key => 'trigal', reason => 'obras', until => '2030-12-01T06:00:00Z');
ask("POST $admin/pauses", 200, body => \%pause);
ask("GET $admin/pauses", 200);
ask("GET $admin/summary", 200);
ask("DELETE $admin/pauses", 204, query => 'scope=tenant&key=trigal');
ask("DELETE $admin/pauses", 404, query => 'scope=tenant&key=trigal');
sql("INSERT INTO whatsapp_alerts (severity, kind, scope, key, message, detail) VALUES ('warning', 'paused', 'number', '100000000000001', 'It was paused.', '{\"reason\": \"quality_red\"}')");
my ($alert) = @{ ask("GET $admin/alerts", 200, query => 'kind=paused')->{json} };
ask("POST $admin/alerts/{id}/resolve", 200, path => { id => $alert->{alert_id} });

ask("GET $admin/$_", 200) foreach qw(phone-numbers tenants messages templates costs health timeline);
ask("GET $admin/tenants/{tenant_id}/diagnose", 200);
ask("GET $admin/summary", 200, token => 'viewer', name => 'a viewer:');

# A tenant, by its link.
my $url = ask("POST $admin/tenants/{tenant_id}/links", 201, body => { valid_for_seconds => 3600 })->{json}{url};
my ($link) = $url =~ /#key=(\S+)/;
my %as_tenant = (token => $link);
my %settings = (whatsapp_enabled => JSON::PP::true, quiet_from => '21:00', quiet_to => '07:30');
ask("GET $tenant/notification-settings", 200, %as_tenant);
ask("PUT $tenant/notification-settings", 200, %as_tenant, body => { %settings, whatsapp_access_token => 'EAA' });
ask("PUT $tenant/notification-settings", 200, body => { messages_per_second => 5, daily_share => undef, on_uncertain => 'park', time_zone => 'Europe/Madrid' });
$simulator->inbound(number => '100000000000001', from => '+34600000101', type => 'text', text => { body => 'De acuerdo' });
$simulator->inbound(number => '100000000000001', from => '+34600000177', type => 'text', text => { body => "Buenos d\x{ed}as" });
statuses();
until_true("count(*) = 2 FROM whatsapp_inbound_messages", 'two have written');
my $messages = ask("GET $tenant/messages", 200, %as_tenant)->{json};
ok(scalar @{ $messages->{others} } && grep({ @{ $_->{replies} } } @{ $messages->{messages} }), 'with answers, and who wrote by himself');
my $inbound = "$tenant/inbound/{id}";
my %wrote = (id => $messages->{others}[0]{inbound_id});
ask("POST $inbound/read", 200, %as_tenant, path => {%wrote}) foreach 1 .. 2;
my ($there, $absent, $late) = map { +{ id => $_ } } split /\n/, sql(<<'SQL');
INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone, message_type, payload, sent_at, media_id, mime_type)
    SELECT 'wamid.file.' || i, 'trigal', '100000000000001', '+34600000177', 'image', '{}', now() - ago, '1', 'image/jpeg'
    FROM unnest(ARRAY['0', '0', '8 days']::interval[]) WITH ORDINALITY AS f (ago, i) ORDER BY i RETURNING inbound_id;
SQL
sql("INSERT INTO whatsapp_inbound_media (inbound_id, tenant_id, phone_number_id, media_id, status, ended_at, mime_type, size, sha256)"
	  . " SELECT $there->{id}, 'trigal', '100000000000001', '1', 'fetched', now(), 'image/jpeg', 3, sha256('abc')");
sql("INSERT INTO whatsapp_inbound_media_pieces VALUES ($there->{id}, 0, 'abc')");
foreach my $media ([ "$inbound/media", %as_tenant ], ["$admin/inbound/{id}/media"])
{
	my ($path, %as) = @$media;
	ask("GET $path", 200, %as, path => {%$there});
	ask("GET $path", 206, %as, path => {%$there}, headers => { range => 'bytes=1-' });
	ask("GET $path", 416, %as, path => {%$there}, headers => { range => 'bytes=3-' });
	ask("GET $path", 409, %as, path => {%$absent});
	ask("GET $path", 410, %as, path => {%$late});
	ask("POST $path", 200, %as, path => {%$there});
	ask("POST $path", 202, %as, path => {%$absent});
	ask("POST $path", 410, %as, path => {%$late});
}
ask("GET $inbound/media", 403, %as_tenant, path => { %$there, tenant_id => 'alba' }, name => "another's address:");
ask("GET $tenant/messages", 200, %as_tenant, name => 'with files:');
my $answer = "POST $tenant/replies";
ask($answer, 201, %as_tenant, body => { message_id => $delivered, text => 'Gracias.' }, headers => { 'idempotency-key' => 'answer 1' });
ask($answer, 200, %as_tenant, body => { message_id => $delivered, text => 'Gracias.' }, headers => { 'idempotency-key' => 'answer 1' });
ask($answer, 201, %as_tenant, body => { inbound_id => $messages->{others}[0]{inbound_id}, text => "Buenos d\x{ed}as." });
ask($answer, 409, %as_tenant, body => { message_id => $failed, text => 'Hola.' });
my $test = "POST $tenant/test-message";
ask($test, $_ == 2 ? 200 : 201, %as_tenant, body => { recipient_phone => '+34 600 000 199' }, headers => { 'idempotency-key' => 'test ' . ($_ == 2 ? 1 : $_) }) foreach 1 .. 6;
is(ask($test, 429, %as_tenant, body => { recipient_phone => '+34 600 000 199' })->{json}{reason}, 'too_many', 'tests are limited');
ask("GET $tenant/messages", 200, %as_tenant, name => 'more of them:');
ask("PUT $tenant/notification-settings", 200, %as_tenant, body => { whatsapp_enabled => JSON::PP::false });
is(ask($test, 409, %as_tenant, body => { recipient_phone => '+34 600 000 199' })->{json}{reason}, 'switched_off', 'a tenant that is switched off sends none');
ask("GET $page", 200, token => undef);
my ($owner_cookie) = ask("POST $page/session", 200, token => undef, body => { key => $link })->{headers}{'set-cookie'} =~ /^([^;]+)/;
my %own_page = (token => undef, headers => { 'sec-fetch-site' => 'same-origin' });
ask("GET $tenant/messages", 200, token => undef, headers => { cookie => $owner_cookie }, name => 'by cookie:');
ask("GET $page", 200, token => undef, headers => { cookie => $owner_cookie }, query => 'plain=1', name => 'without scripts:');
my %form = (token => undef, content => 'whatsapp_enabled=true', headers => { cookie => $owner_cookie, 'sec-fetch-site' => 'same-origin', 'content-type' => 'application/x-www-form-urlencoded' });
ask("POST $page", 303, %form);
ask("POST $page", 422, %form, content => 'whatsapp_enabled=maybe');
ask("POST $page", 401, %form, headers => { %{ $form{headers} }, cookie => '' });
ask("POST $page", 403, %form, headers => { %{ $form{headers} }, 'sec-fetch-site' => 'cross-site' });
ask("POST $page", 503, %form, at => $away);
my %plain = (token => undef, query => 'plain=1');
ask("GET $page", 401, %plain, headers => { cookie => 'wa_owner=wal_' . 'y' x 43 });
ask("GET $page", 403, %plain, headers => { cookie => $owner_cookie }, path => { tenant_id => 'alba' });
ask("GET $page", 503, %plain, headers => { cookie => $owner_cookie }, at => $away);
ask("POST $page/session", 303, token => undef, content => "key=$link", headers => { 'content-type' => 'application/x-www-form-urlencoded' });
ask("DELETE $page/session", 204, %own_page);
ask("GET $tenant/messages", 403, %as_tenant, path => { tenant_id => 'alba' }, name => "another's link:");
ask("GET $tenant/notification-settings", 403, %as_tenant, path => { tenant_id => 'alba' });
ask("DELETE $admin/tenants/{tenant_id}/links", 200);
ask("GET $tenant/notification-settings", 401, %as_tenant, name => 'a link that was withdrawn:');

# The pages and the rest.
my $begin = 'POST /app/admin/whatsapp/session';
my ($cookie) = ask($begin, 200, token => undef, body => { token => $WaGateway::TOKEN{admin} })->{headers}{'set-cookie'} =~ /^([^;]+)/;
ask($begin, 303, token => undef, content => "token=$WaGateway::TOKEN{viewer}", headers => { 'content-type' => 'application/x-www-form-urlencoded' });
is(ask('GET /api/v1/session', 200, token => undef, headers => { cookie => $cookie })->{json}{role}, 'admin', 'the session');
ask("POST $admin/pauses", 200, token => undef, headers => { cookie => $cookie, 'sec-fetch-site' => 'same-origin' }, body => \%pause, name => 'a change by cookie:');
ask("POST $admin/pauses", 403, token => undef, headers => { cookie => $cookie, origin => 'https://evil.example' }, body => \%pause, name => 'from elsewhere:');
ask("DELETE $admin/pauses", 204, query => 'scope=tenant&key=trigal');
ask('DELETE /app/admin/whatsapp/session', 204, %own_page);
ask('GET /app/admin/whatsapp', 200, token => undef);
ask('GET /app/assets/{folder}/{file}', 200, token => undef, path => { file => $_ }) foreach qw(base.css h.js es.json);
ask('GET /app/assets/theme.css', 200, token => undef);
ask('GET /metrics', 200, token => 'viewer');
ask("GET /$_", 200, token => undef) foreach qw(healthz readyz);
ask('GET /webhook', 200, token => undef, query => 'hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=verify-me');

# ---- every argument --------------------------------------------------------------------

# What the functions know is in the hint of what they refuse.
sub known
{
	my ($reply) = @_;
	my ($list) = ($reply->{json}{hint} // '') =~ /^Known: (.*)\.$/;
	return sort split /, /, $list // '';
}

foreach my $operation (sort keys %operations)
{
	my ($method, $path) = split / /, $operation;
	next unless $path =~ m{^/api/v1/} && $path ne '/api/v1/session';
	my @parameters = grep { $_->{in} eq 'query' } @{ $operations{$operation}{parameters} // [] };
	my %key = $operation eq 'POST /api/v1/messages' ? (headers => { 'idempotency-key' => 'k' }) : ();

	is_deeply([ sort map { $_->{name} } @parameters ], [ known(ask($operation, 400, %key, query => 'zzzzzzzz=1')) ], "$operation: its query");
	foreach my $parameter (grep { defined $_->{example} && $method eq 'GET' } @parameters)
	{
		my $value = JSON::PP::is_bool($parameter->{example}) ? ($parameter->{example} ? 'true' : 'false') : $parameter->{example};
		ask($operation, 200, query => "$parameter->{name}=" . escape($value), name => "?$parameter->{name}");
	}
	my $schema = ($operations{$operation}{requestBody} // next)->{content}{'application/json'}{schema};
	$schema = $description->{components}{schemas}{$1} if ($schema->{'$ref'} // '') =~ m{([^/]+)$};
	my %members = map { $_ => 1 } map { known(ask($operation, 422, %key, body => { zzzzzzzz => 1, %$_ })) }
	  $operation eq 'POST /api/v1/messages' ? map { +{ type => $_ } } qw(template text image interactive location) : {};
	is_deeply([ sort keys %{ $schema->{properties} } ], [ sort keys %members ], "$operation: the members of its body");
}

# A page after the other.
foreach my $operation ("GET $admin/phone-numbers", "GET $admin/tenants", "GET $admin/messages", "GET $admin/templates", "GET $tenant/messages")
{
	my $reply = ask($operation, 200, query => 'limit=1');
	my ($cursor) = ($reply->{headers}{link} // '') =~ /[?&]cursor=([^&>]+)/;
	ok(defined $cursor, "$operation has a next page") and ask($operation, 200, query => "limit=1&cursor=$cursor");
}

# ---- what is wrong -----------------------------------------------------------------------

# From one address come invalid ones, of each kind, until no more are looked at; in six
# seconds one more may be.
my %stranger = (headers => { 'x-forwarded-for' => '203.0.113.9' });
sub exhaust
{
	foreach my $try ([ "$admin/health", 'x' x 40 ], [ '/api/v1/tenants/trigal/messages', 'wal_' . 'x' x 43 ])
	{
		my ($address, $token) = @$try;
		my $left = 50;
		1 while $left-- && $gateway->get($address, token => $token, %stranger)->{status} != 429;
	}
	return;
}

my %ids = ("$admin/alerts/{id}/resolve" => { id => $alert->{alert_id} }, map { ($_ => {%$there}) } "$inbound/media", "$inbound/read", "$admin/inbound/{id}/media");

sub described { my ($operation, $status) = @_; return exists $operations{$operation}{responses}{$status} }
sub takes_json { return ($_[0]{requestBody}{content} // {})->{'application/json'} }

foreach my $operation (sort keys %operations)
{
	my ($method, $path) = split / /, $operation;
	my %with = (path => $ids{$path} // {});
	my %headers = $operation eq 'POST /api/v1/messages' ? ('idempotency-key' => 'wrong') : ();
	my $is_webhook = $operation eq 'POST /webhook';
	my $is_page = $path eq $page;
	my $is_login = $operation =~ m{^POST /app/.*/session$};
	my %signed = $is_webhook ? ('x-hub-signature-256' => 'sha256=' . '0' x 64) : ();
	my %open = $is_webhook || $is_login || $is_page ? (token => undef) : ();

	$with{body} = $is_login ? { $path =~ /admin/ ? 'token' : 'key', 'x' x 40 } : {}
	  if takes_json($operations{$operation});

	if (described($operation, 401) && !$is_page)
	{
		ask($operation, 401, %with, token => undef, headers => {%headers});
	}
	if (described($operation, 429))
	{
		exhaust();
		ask($operation, 429, %with, ($is_login ? %open : (token => 'x' x 40)), headers => { %headers, %{ $stranger{headers} } });
	}
	if (described($operation, 403) && $path ne '/webhook')
	{
		my %other = $path =~ m{^/app/} ? (token => undef, headers => { origin => 'https://evil.example' }) : (token => 'viewer', headers => {%headers});
		ask($operation, 403, %with, %other) unless $seen{$operation}{403};
	}
	if (described($operation, 400) && !$seen{$operation}{400})
	{
		ask($operation, 400, $is_login ? (token => undef, body => { zzz => 1 }) : (query => 'a=%ff'));
	}
	if (described($operation, 404) && !$seen{$operation}{404})
	{
		ask($operation, 404, %with, path => { tenant_id => 'nadie', id => 999999, file => 'nothing.css' }, ($path =~ m{^/app/} ? (token => undef) : ()),
			$path =~ /resolve$/ && $with{body} ? (body => { outcome => 'failed' }) : $path =~ /test-message/ ? (body => { recipient_phone => '+34600000199' }) : $path =~ /replies/ ? (body => { text => 'x', message_id => 1 }) : ());
	}
	if (described($operation, 411))
	{
		ask_by_head($operation, 411, %headers, %signed, 'transfer-encoding' => 'chunked', 'content-type' => 'application/json');
	}
	if (described($operation, 413))
	{
		ask_by_head($operation, 413, %headers, %signed, 'content-length' => 4_000_000, 'content-type' => 'application/json');
	}
	if (described($operation, 415))
	{
		ask($operation, 415, %with, content => 'x', headers => { %headers, 'content-type' => 'text/plain' });
	}
	if (described($operation, 503) && !$is_page)
	{
		ask($operation, 503, at => $away, path => $with{path}, ($path =~ m{^/(?:app|webhook|readyz)} ? (token => undef) : ()), headers => { %headers, %signed },
			$is_login ? (body => { key => 'wal_' . 'x' x 43 }) : takes_json($operations{$operation}) ? (body => {}) : (), $path eq '/webhook' && $method eq 'GET' ? (query => 'hub.mode=subscribe') : ());
	}
	if (described($operation, 304))
	{
		my %as = $path =~ m{^/app/} ? (token => undef) : ();
		my %of = %{ $ids{$path} // ($path =~ m{messages/\{id\}} ? { id => $delivered } : {}) };
		my $etag = ask($operation, 200, %as, path => {%of})->{headers}{etag};
		ask($operation, 304, %as, path => {%of}, headers => { 'if-none-match' => $etag });
	}
}
ask('GET /webhook', 403, token => undef, query => 'hub.mode=subscribe&hub.verify_token=no');
ask('GET /webhook', 400, token => undef, query => 'hub.mode=subscribe&hub.verify_token=verify-me');

# Each address takes what is described and nothing else.
foreach my $path (sort keys %{ $description->{paths} })
{
	(my $address = $path) =~ s/\{\w+\}/x/g;
	# /messages/retry is also /messages/{id}.
	my @same = grep { (my $form = $_) =~ s/\{\w+\}/[^\/]+/g; $address =~ /^$form$/ } keys %{ $description->{paths} };
	my %takes = map { uc($_) => 1, $_ eq 'get' ? (HEAD => 1) : () } map { keys %{ $description->{paths}{$_} } } @same;
	my @takes = sort keys %takes;
	my $reply = $gateway->request('PATCH', $address);

	is($reply->{status}, 405, "$path does not take PATCH");
	is(join(' ', sort grep { $_ ne 'OPTIONS' } split /, /, $reply->{headers}{allow}), "@takes", "$path: what it takes");
	is($gateway->options($address, token => undef)->{status}, 204, "$path takes OPTIONS");
}

# ---- all of it ---------------------------------------------------------------------------

foreach my $operation (sort keys %operations)
{
	my @never = grep { $_ ne 'default' && !$seen{$operation}{$_} } sort keys %{ $operations{$operation}{responses} };
	is("@never", '', "$operation: what is described has occurred");
	ok($filled{$operation}, "$operation: with something in the list")
	  if ($operations{$operation}{responses}{200}{content}{'application/json'}{schema}{type} // '') eq 'array';
}

my (undef, @results) = validate();
is(scalar @results, scalar @documents, 'the validator has judged every document');
foreach my $i (0 .. $#results)
{
	my ($name, undef, $document) = @{ $documents[$i] };
	is(join("\n", @{ $results[$i]{problems} }), '', "as described: $name") or diag($json->encode($document));
}

# And it would have found one.
@documents = ([ 'a member too many', $documents[0][1], { %{ $documents[0][2] }, zzz => 1 } ]);
my (undef, $spoilt) = validate();
isnt(join('', @{ $spoilt->{problems} }), '', "$documents[0][0] is found");

is($gateway->stop, 0, 'the gateway ends well');
done_testing();
