# docs/gateway.md, as it stands there: the commands, the settings, and the proxies'
# configurations, with other paths and ports, in front of a gateway.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use Digest::SHA qw(hmac_sha256_hex);
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WaDocs qw(blocks);
use WaGateway;
use WaLoad qw(patience);
use WaTest qw(new_node);

my $root = "$FindBin::RealBin/../..";
my $tmp = PostgreSQL::Test::Utils::tempdir;
my $etc = "$tmp/whatsapp-shared";
my $user = getpwuid $>;
my $json = JSON::PP->new->utf8;
my @blocks = grep { ($_->{directive} // '') !~ /^not run/ } blocks("$root/docs/gateway.md");
mkdir $etc or die "$etc: $!";

# The one block of a language that has this in it.
sub block
{
	my ($lang, $pattern) = @_;
	my @found = grep { $_->{lang} eq $lang && $_->{text} =~ $pattern } @blocks;
	is(scalar @found, 1, "the guide has a block of $lang with $pattern") or BAIL_OUT('the guide is not the one that this test knows');
	my $text = $found[0]{text};
	utf8::encode($text);
	return $text;
}

# Runs it; returns what it prints.
sub shell
{
	my ($name, $script, $input) = @_;

	$script =~ s{/etc/whatsapp-shared}{$etc}g;
	$script =~ s{-o root -g wa_gateway }{}g;
	$script =~ s{runuser -u wa_gateway -- wa_gateway}{WaGateway->binary}ge;
	my $ok = IPC::Run::run([ 'bash', '-euo', 'pipefail' , '-c', $script ], '<', \($input // ''), '>', \my $out, '2>', \my $err);
	ok($ok, "$name runs") or diag("$out$err");
	return $out;
}

sub file
{
	my ($name, $text) = @_;
	open my $fh, '>', "$tmp/$name" or die "$name: $!";
	print $fh $text;
	close $fh or die "$name: $!";
	return "$tmp/$name";
}

sub read_file { open my $fh, '<', $_[0] or return ''; local $/; return scalar <$fh> // '' }

# ---- a server, and the gateway's roles and files ---------------------------------------

my $node = new_node('guide', "whatsapp_shared.databases = ''", "whatsapp_shared.app_secret = 'the-app-secret'");
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', q{CREATE SCHEMA whatsapp; CREATE EXTENSION whatsapp_shared SCHEMA whatsapp; ALTER DATABASE app SET search_path = "$user", public, whatsapp});
$node->safe_psql('app', block('sql', qr/wa_grant/));
$node->safe_psql('app', "SELECT wa_assign_phone('trigal', '100000000000001', '+34 600 00 00 01'), wa_register_template('pedido_compra', 'es', '[{\"type\": \"BODY\", \"text\": \"{{1}} {{2}} {{3}} {{4}}\"}]')");

my $ident = block('ident', qr/wa_gateway_webhook/) =~ s/^(wa_gateway\s+)wa_gateway/$1$user/mgr;
my $hba = block('hba', qr/peer map=wa_gateway/);
append_to_file($node->data_dir . '/pg_ident.conf', $ident);
file('pg_hba.conf', $hba . read_file($node->data_dir . '/pg_hba.conf') . 'local app wa_gateway reject');
$node->append_conf('postgresql.conf', "hba_file = '$tmp/pg_hba.conf'");
$node->restart;

shell('making tokens', block('sh', qr/for name in admin/), "the-app-secret\n");
my $conf = block('ini', qr/^database = .*verify_token_file/ms) =~ s{/etc/whatsapp-shared}{$etc}gr;
$conf =~ s{dbname=app}{'host=' . $node->host . ' port=' . $node->port . ' dbname=app'}ge;
file('whatsapp-shared/wa_gateway.conf', $conf);

sub settings_in { return join '', map { "$_\n" } sort grep { /^\w/ } split /\n/, $_[0] }
is(settings_in(read_file("$root/packaging/wa_gateway.conf")), settings_in(block('ini', qr/^database = .*verify_token_file/ms)), 'the packaged settings are those of the guide');

my $found = shell('--check', block('sh', qr/--check/));
like($found, qr/^\Q$_\E$/m, $_) foreach split /\n/, block('text', qr/tokens of the admin/) =~ s{/etc/whatsapp-shared}{$etc}gr;
unlike($found, qr/^(?:FAILED|warning)/m, 'and nothing is wrong') or diag($found);

# A gateway with the settings of the guide and others, on a free port.
sub start_gateway
{
	my ($name, %options) = @_;
	my $dir = "$tmp/$name";
	mkdir $dir or die "$dir: $!";
	my $gateway = bless { dir => $dir }, 'WaGateway';
	my $file = file("$name.conf", $conf . ($options{settings} // ''));

	$gateway->run({}, '--config' => $file, '--access-log' => "$dir/access.log", $options{settings} && $options{settings} =~ /listen/ ? () : ('--listen' => '127.0.0.1:0'));
	return $gateway;
}
my $gateway = start_gateway('gateway');
$gateway->wait_until_ready;
my ($admin) = map { chomp; $_ } read_file("$etc/admin.token");

is(shell('curl', 'curl -s ' . $gateway->url . '/readyz') . "\n", block('json', qr/pass/), 'it is ready');

# ---- nginx ---------------------------------------------------------------------------

my $nginx = `bash $root/test/tools/unpacked.sh $root/build/nginx nginx nginx`;
chomp $nginx;
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=avisos.example "
	  . "-addext subjectAltName=DNS:avisos.example -keyout $tmp/key.pem -out $tmp/cert.pem 2> /dev/null") == 0
  or die 'openssl makes no certificate';

my @proxies;
END { local $?; foreach my $pid (@proxies) { kill 'TERM', $pid; waitpid $pid, 0 } }

# Starts a proxy and waits until it listens on the port.
sub start_proxy
{
	my ($port, @command) = @_;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open STDOUT, '>>', "$tmp/proxy.log";
		open STDERR, '>&', \*STDOUT;
		exec @command or POSIX::_exit(127);
	}
	push @proxies, $pid;
	my $deadline = time + patience();
	until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port))
	{
		die "$command[0] does not listen: " . read_file("$tmp/proxy.log") if time > $deadline || waitpid($pid, 1) > 0;
		usleep(50_000);
	}
	return "https://avisos.example:$port";
}

sub start_nginx
{
	my ($name, $site, $at) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $upstream = $at->port;

	$site =~ s{127\.0\.0\.1:8080}{127.0.0.1:$upstream};
	$site =~ s{listen 443}{listen 127.0.0.1:$port};
	$site =~ s{/etc/letsencrypt/live/avisos\.example/fullchain\.pem}{$tmp/cert.pem};
	$site =~ s{/etc/letsencrypt/live/avisos\.example/privkey\.pem}{$tmp/key.pem};
	$site =~ s{/var/log/nginx/wa_gateway\.log}{$tmp/$name.log};
	$site =~ s{/etc/nginx/wa_gateway\.users}{$tmp/users}g;
	my $temporary = join '', map { "${_}_temp_path $tmp/$name-$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
	my $file = file("$name.nginx", "daemon off;\npid $tmp/$name.pid;\nevents {}\nhttp {\n$temporary$site}\n");

	is(system("$nginx/nginx -t -q -e $tmp/proxy.log -c $file >> $tmp/proxy.log 2>&1"), 0, "$name: nginx finds nothing wrong") or diag(read_file("$tmp/proxy.log"));
	return start_proxy($port, "$nginx/nginx", '-e', "$tmp/proxy.log", '-c', $file);
}

# A request by curl: status, headers and body.
sub ask
{
	my ($method, $url, %options) = @_;
	my @command = ('curl', '-s', '-X', $method, '--cacert', "$tmp/cert.pem", '-D', "$tmp/head", '-o', "$tmp/body", '-w', '%{http_code}', '--max-time', 60);
	my $headers = $options{headers} // {};

	push @command, '-H', "$_: $headers->{$_}" foreach sort keys %$headers;
	push @command, '--resolve', "avisos.example:$1:127.0.0.1" if $url =~ /^https:[^:]+:(\d+)/;
	push @command, @{ $options{curl} // [] };
	push @command, '--data-binary', '@' . file('request', $options{body}) if defined $options{body};
	unlink "$tmp/body";
	IPC::Run::run([ @command, $url ], '>', \my $status, '2>', \my $err);
	return { status => $status, head => read_file("$tmp/head"), body => read_file("$tmp/body") };
}

sub signed { return { 'X-Hub-Signature-256' => 'sha256=' . hmac_sha256_hex($_[0], 'the-app-secret'), 'Content-Type' => 'application/json' } }

sub inbound
{
	my ($id) = @_;
	return $json->canonical->encode({ object => 'whatsapp_business_account', entry => [ { id => '3', changes => [ { field => 'messages', value => {
		messaging_product => 'whatsapp', metadata => { display_phone_number => '34600000001', phone_number_id => '100000000000001' },
		messages => [ { from => '34600000101', id => "wamid.$id", timestamp => '' . int(time), type => 'text', text => { body => 'De acuerdo' } } ] } } ] } ] });
}

# What must work through any proxy.
sub try_proxy
{
	my ($name, $site) = @_;
	my $reply = ask('GET', "$site/app/settings/notifications/trigal");

	is($reply->{status}, 200, "$name: a page");
	like($reply->{head}, qr/^content-security-policy: default-src 'none'/mi, "$name: with its policy");
	is(ask('GET', "$site/app/assets/common/base.css")->{status}, 200, "$name: and its parts");
	my $body = inbound($name);
	is(ask('POST', "$site/webhook", headers => signed($body), body => $body)->{status}, 200, "$name: a webhook");
	is($node->safe_psql('app', "SELECT count(*) FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.$name'"), 1, "$name: it is in the table");
	is(ask('POST', "$site/webhook", headers => signed('other'), body => $body)->{status}, 401, "$name: a wrong signature");
	is(ask('GET', "$site/webhook?hub.mode=subscribe&hub.challenge=42&hub.verify_token=" . (read_file("$etc/verify_token") =~ s/\n//r))->{body}, '42', "$name: the handshake");
	is(ask('GET', "$site/$_")->{status}, 404, "$name: /$_ is not for the world") foreach qw(metrics healthz readyz), 'app/../metrics';
	is(ask('GET', "$site/api/v1/session", headers => { 'X-Remote-User' => 'root' })->{status}, 401, "$name: nobody names himself");

	my $login = ask('POST', "$site/app/admin/whatsapp/session", headers => { Origin => $site, 'Content-Type' => 'application/json' }, body => "{\"token\": \"$admin\"}");
	my ($cookie) = $login->{head} =~ /^set-cookie: (wa_admin=[^;]+).*; Secure/mi;
	ok(defined $cookie, "$name: a login gives a cookie for https") or diag("$login->{head}$login->{body}");
	my %change = (body => '{"whatsapp_enabled": true}', headers => { Cookie => $cookie, Origin => $site, 'Content-Type' => 'application/json' });
	is(ask('PUT', "$site/api/v1/tenants/trigal/notification-settings", %change)->{status}, 200, "$name: a change by the page");
	$change{headers}{Origin} = 'https://evil.example';
	is(ask('PUT', "$site/api/v1/tenants/trigal/notification-settings", %change)->{status}, 403, "$name: and by another");
	return;
}

# They are in front of one that believes what they say of a user: so they must not pass on
# what others say.
my $trusting = start_gateway('trusting', settings => join '', map { "$_\n" } read_file("$root/docs/gateway.md") =~ /`(trusted_user_\w+ = [\w-]+)`/g);
$trusting->wait_until_ready;

my $site_conf = block('nginx', qr/^server \{/m);
my $site = start_nginx('site', $site_conf, $trusting);
try_proxy('nginx', $site);
is(ask('POST', "$site/webhook", headers => signed('x'), body => 'x' x 3_500_000)->{status}, 413, 'nginx refuses what is too long');

my $body = inbound('chunked');
is(ask('POST', "$site/webhook", headers => { %{ signed($body) }, 'Transfer-Encoding' => 'chunked' }, body => $body, curl => ['--http1.1'])->{status}, 200, 'nginx gives a chunked body its length');
my ($id) = ask('GET', "$site/app/admin/whatsapp")->{head} =~ /^x-request-id: (\w+)/mi;
like(read_file("$tmp/site.log"), qr/ $id$/m, "the id of a response is in nginx's log");
ok((grep { $_->{request_id} eq $id } $trusting->access_log), "and in the gateway's");
unlike(read_file("$tmp/site.log"), qr/verify|[?]/, "nginx's log has no queries");

# Logging in at the proxy.
shell('htpasswd', "printf 'maria:%s\\n' \"\$(openssl passwd -apr1 secreto)\" > $tmp/users");
(my $by_user = $site_conf) =~ s{^\s*location /api/ .*\n}{block('nginx', qr/auth_basic/)}me;
my $users = start_nginx('users', $by_user, $trusting);
is(ask('GET', "$users/api/v1/session", curl => [ '-u', 'maria:secreto' ])->{body}, '{"role":"admin","name":"maria"}', 'nginx says who it is');
is(ask('GET', "$users/api/v1/admin/whatsapp/summary", curl => [ '-u', 'maria:secreto' ])->{status}, 200, 'who may look');
is(ask('POST', "$users/api/v1/admin/whatsapp/assign-phones", curl => [ '-u', 'maria:secreto' ], headers => { Origin => $users })->{status}, 200, 'and change something');
is(ask('GET', "$users/api/v1/admin/whatsapp/summary", headers => { 'X-Remote-User' => 'maria' })->{status}, 401, 'nobody else may');
is(ask('GET', "$users/api/v1/tenants/trigal/messages", headers => { 'X-Remote-User' => 'maria' })->{status}, 401, 'nor where nginx does not ask');

# ---- Caddy -----------------------------------------------------------------------------

my $caddy = `bash $root/test/tools/unpacked.sh $root/build/caddy caddy caddy`;
chomp $caddy;
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $caddyfile = block('caddy', qr/reverse_proxy/);
$caddyfile =~ s!^avisos\.example \{!https://avisos.example:$port {\n\tbind 127.0.0.1\n\ttls $tmp/cert.pem $tmp/key.pem!m;
$caddyfile =~ s{127\.0\.0\.1:8080}{'127.0.0.1:' . $trusting->port}e;
file('Caddyfile', "{\n\tadmin off\n\tauto_https disable_redirects\n}\n$caddyfile");
$ENV{HOME} = $ENV{XDG_DATA_HOME} = $ENV{XDG_CONFIG_HOME} = $tmp;
try_proxy('Caddy', start_proxy($port, "$caddy/caddy", 'run', '--config', "$tmp/Caddyfile", '--adapter', 'caddyfile'));

# ---- nothing in front, theme and embedding ------------------------------------------------

my $addresses = block('ini', qr/webhook_listen/) =~ s{:\d+}{:0}gr;
my $alone = start_gateway('alone', settings => "${addresses}tls_cert = $tmp/cert.pem\ntls_key = $tmp/key.pem\n");
is(scalar(grep { /^https:/ } $alone->urls), 3, 'three addresses with TLS');
$alone->stop;

my $theme = file('theme.css', block('css', qr/--accent/));
my ($ancestors) = read_file("$root/docs/gateway.md") =~ /`(frame_ancestors = \S+)`/;
my $themed = start_gateway('themed', settings => "theme = $theme\n$ancestors\n");
is($themed->get('/app/assets/theme.css', token => undef)->{content}, read_file($theme), 'the theme is served');
my $base = read_file("$root/src/bin/gateway/pages/common/base.css");
ok($base =~ /^\s*$_:/m, "$_ is a property of the pages") foreach read_file($theme) =~ /(--[\w-]+):/g;
like($themed->get('/app/settings/notifications/trigal', token => undef)->{headers}{'content-security-policy'}, qr{frame-ancestors https://panaderias\.example$}, 'a site that may embed the page');
$themed->stop;

# ---- from a shell ----------------------------------------------------------------------------

my $script = join '', map { block('sh', $_) } qr/> header$/m, qr/\| jq$/m, qr/Idempotency-Key/;
$script =~ s{http://127\.0\.0\.1:8080}{$gateway->url}e;
my $printed = shell('the commands', $script);
my @documents = $json->incr_parse($printed);
is(scalar @documents, 5, 'five answers') or diag($printed);
my ($numbers, $holder, $assigned, $unassigned, $message) = @documents;
is_deeply([ map { $_->{phone_number_id} } @$numbers ], ['100000000000001'], 'the numbers');
is($holder->{tenant_id}, 'trigal', 'who has one of them');
is("$assigned->{tenant_id} $assigned->{phone_number_id} $assigned->{display_phone_number}", 'masa 100000000000004 +34 600 00 00 04', 'given');
is("$unassigned->{tenant_id} $unassigned->{phone_number_id}", 'masa 100000000000004', 'and taken away');
like($message, qr/^[1-9]\d*$/, 'a message');
is((() = $script =~ /\bcurl /g), 5, 'these were all');

# ---- rotation --------------------------------------------------------------------------------

shell('a new token', block('sh', qr/head -n 1 admin\.token; \}/));
my ($new) = map { chomp; $_ } read_file("$etc/admin.token");
isnt($new, $admin, 'there is another token');
my $deadline = time + patience();
# Each question with one that is not valid yet is counted as a failed login.
usleep(500_000) while $gateway->get('/api/v1/session', token => $new)->{status} != 200 && time < $deadline;
is($gateway->get('/api/v1/session', token => $new)->{status}, 200, 'it is valid');
like($gateway->get('/api/v1/session', token => $admin)->{status}, qr/^(?:401|429)$/, 'and the old one is not');

is($gateway->stop, 0, 'the gateway ends well');
$trusting->stop;
done_testing();
