# The settings: names and defaults, what is refused, and the reserved prefix.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaTest qw(new_node set_and_reload);

my $node = new_node('settings');

# Each with its default as SHOW prints it; the secrets have a test of their own.
my %defaults = (
	api_version => 'v25.0',
	business_account_id => '',
	ca_file => '',
	connect_timeout => '5s',
	databases => 'postgres',
	default_language => 'es',
	enabled => 'off',
	fetch_media => 'off',
	fetch_media_max_size => '16MB',
	fetch_media_types => 'image/*, audio/*, video/*, application/pdf',
	gateway_url => '',
	max_attempts => '8',
	max_connections => '0',
	max_in_flight => '1000',
	messages_per_second => '80',
	messaging_limit_share => '1',
	opt_out_scope => 'marketing',
	pair_burst => '45',
	pair_interval => '6s',
	phone_number_id => '',
	request_timeout => '30s',
	retention => '90d',
	retry_delay => '2s',
	retry_max_delay => '1h',
	senders => '1',
	sync_interval => '1h',
	takeover_grace => '2min',
	tenant => '',
	uncertain_grace => '10min',
	uncertain_policy => 'auto');

foreach my $name (sort keys %defaults)
{
	is($node->safe_psql('postgres', "SHOW whatsapp_shared.$name"),
		$defaults{$name}, "default of $name");
}
is($node->safe_psql('postgres', 'SHOW whatsapp_shared.graph_url'),
	'http://127.0.0.1:9', 'graph_url is as configured');
is( $node->safe_psql(
		'postgres', "SELECT boot_val FROM pg_settings WHERE name = 'whatsapp_shared.graph_url'"),
	'https://graph.facebook.com',
	'default of graph_url');

my @known = split /\n/,
  $node->safe_psql(
	'postgres',
	"SELECT substr(name, 17) FROM pg_settings
	 WHERE name LIKE 'whatsapp_shared.%' AND name !~ '(token|secret)_file\$' ORDER BY 1");
is_deeply(\@known, [ sort(keys %defaults, 'graph_url') ], 'no other setting is shown')
  or diag("@known");
is( $node->safe_psql(
		'postgres',
		"SELECT count(*) FROM pg_settings WHERE name LIKE 'whatsapp_shared.%'
		 AND (short_desc IS NULL OR short_desc !~ '\\.\$')"),
	'0',
	'every setting is described by a sentence');
is( $node->safe_psql(
		'postgres',
		"SELECT string_agg(concat_ws(' ', name, context), ',' ORDER BY name) FROM pg_settings
		 WHERE name LIKE 'whatsapp_shared.%' AND context <> 'sighup'"),
	'whatsapp_shared.fetch_media superuser,whatsapp_shared.fetch_media_types superuser,whatsapp_shared.tenant user',
	'no setting needs a restart, and a session can change its tenant only');

# What a check refuses, and why it says so.
my @refused = (
	[ api_version => 'v9.0', qr/written like "v25\.0"/ ],
	[ api_version => '25.0', qr/written like/ ],
	[ api_version => 'v25.0/../v1', qr/written like/ ],
	[ business_account_id => 'abc', qr/5 to 20 digits/ ],
	[ business_account_id => '1234', qr/5 to 20 digits/ ],
	[ phone_number_id => '+34600000101', qr/5 to 20 digits.*not the telephone number/s ],
	[ phone_number_id => '1' x 21, qr/5 to 20 digits/ ],
	[ databases => 'one,,two', qr/List syntax is invalid/ ],
	[ databases => '"open', qr/List syntax is invalid/ ],
	[ default_language => 'Spanish', qr/"es" or "es_ES"/ ],
	[ default_language => 'es-ES', qr/"es" or "es_ES"/ ],
	[ default_language => '', qr/"es" or "es_ES"/ ],
	[ default_language => 'es_', qr/"es" or "es_ES"/ ],
	[ gateway_url => 'avisos.example', qr/must begin with "https/ ],
	[ gateway_url => 'http://avisos.example', qr/loopback address only.*keys of tenants' links. Use https/s ],
	[ gateway_url => 'https://avisos.example/#key', qr/made of a host/ ],
	[ graph_url => 'ftp://graph.facebook.com', qr/must begin with "https/ ],
	[ graph_url => 'graph.facebook.com', qr/must begin with "https/ ],
	[ graph_url => 'http://graph.facebook.com', qr/loopback address only.*master access token. Use https/s ],
	[ graph_url => 'http://127.0.0.1.example.com', qr/loopback address only/ ],
	[ graph_url => 'http://localhost.example.com:80', qr/loopback address only/ ],
	[ graph_url => 'http://10.0.0.1:80', qr/loopback address only/ ],
	[ graph_url => 'http://[::2]:80', qr/loopback address only/ ],
	[ graph_url => 'http://127.0.0.1@example.com', qr/made of a host/ ],
	[ graph_url => 'https://user:secret@graph.facebook.com', qr/made of a host/ ],
	[ graph_url => 'https://graph.facebook.com/?a=b', qr/made of a host/ ],
	[ graph_url => 'https://', qr/made of a host/ ],
	[ graph_url => 'https://[::1', qr/made of a host/ ],
	[ graph_url => 'https://graph.facebook.com:0', qr/port must be a number/ ],
	[ graph_url => 'https://graph.facebook.com:65536', qr/port must be a number/ ],
	[ graph_url => 'https://graph.facebook.com:443x', qr/port must be a number/ ],
	[ senders => '0', qr/outside the valid range/ ],
	[ senders => '9', qr/outside the valid range .*\(1 \.\. 8\)/ ],
	[ max_in_flight => '0', qr/outside the valid range/ ],
	[ messages_per_second => '0', qr/outside the valid range/ ],
	[ messaging_limit_share => '1.5', qr/outside the valid range/ ],
	[ messaging_limit_share => '0', qr/outside the valid range/ ],
	[ opt_out_scope => 'utility', qr/marketing, all/ ],
	[ pair_interval => '-1', qr/outside the valid range/ ],
	[ request_timeout => '5', qr/outside the valid range/ ],
	[ pair_interval => '6', qr/6 ms is less than 100 ms.*as in '6s'/s ],
	[ retention => '-1', qr/outside the valid range/ ],
	[ retention => '90', qr/90 min is less than 1 day.*as in '90d'/s ],
	[ retention => '23h', qr/1380 min is less than 1 day/s ],
	[ retry_delay => '2', qr/2 ms is less than 50 ms.*as in '2s'/s ],
	[ retry_max_delay => '60', qr/60 ms is less than 1 s.*as in '1h'/s ],
	[ sync_interval => '1', qr/1 s is less than 1 min.*as in '1h'/s ],
	[ takeover_grace => '0', qr/0 ms is less than 1 s.*as in '2min'/s ],
	[ uncertain_grace => '0', qr/0 ms is less than 1 s/ ],
	[ uncertain_grace => '10', qr/10 ms is less than 1 s.*as in '10min'/s ],
	[ uncertain_policy => 'maybe', qr/auto, resend, park, fail/ ]);

foreach my $case (@refused)
{
	my ($name, $value, $pattern) = @$case;
	my ($status, undef, $stderr) =
	  $node->psql('postgres', "ALTER SYSTEM SET whatsapp_shared.$name = '$value'");

	ok($status != 0 && $stderr =~ $pattern, "$name = '$value' is refused") or diag($stderr);
}

# Values that look unusual and are good.
my @accepted = (
	[ api_version => 'v19.0', 'v19.0' ],
	[ ca_file => '/nonexistent/ca.pem', '/nonexistent/ca.pem' ],
	[ business_account_id => '102290129340398', '102290129340398' ],
	[ databases => '"Mixed Case", bakery', '"Mixed Case", bakery' ],
	[ databases => '', '' ],
	[ default_language => 'fil', 'fil' ],
	[ default_language => 'zh_HK', 'zh_HK' ],
	[ gateway_url => 'https://avisos.example/wa/', 'https://avisos.example/wa' ],
	[ gateway_url => '', '' ],
	[ graph_url => 'http://localhost:8081/', 'http://localhost:8081' ],
	[ graph_url => 'http://127.8.8.8', 'http://127.8.8.8' ],
	[ graph_url => 'http://[::1]:8081/v', 'http://[::1]:8081/v' ],
	[ graph_url => 'https://proxy.example:8443/meta//', 'https://proxy.example:8443/meta' ],
	[ messages_per_second => '0.5', '0.5' ],
	[ messaging_limit_share => '0.25', '0.25' ],
	[ opt_out_scope => 'all', 'all' ],
	[ pair_interval => '0', '0' ],
	[ pair_interval => '100ms', '100ms' ],
	[ request_timeout => '2min', '2min' ],
	[ retention => '1d', '1d' ],
	[ retry_delay => '50ms', '50ms' ],
	[ retry_max_delay => '1s', '1s' ],
	[ sync_interval => '0', '0' ],
	[ sync_interval => '1min', '1min' ],
	[ uncertain_grace => '1s', '1s' ],
	[ retention => '0', '0' ]);

foreach my $case (@accepted)
{
	my ($name, $value, $shown) = @$case;

	set_and_reload($node, $name => $value);
	ok( $node->poll_query_until(
			'postgres', "SELECT current_setting('whatsapp_shared.$name') = '$shown'"),
		"$name = '$value' is accepted");
	set_and_reload($node, $name => undef);
}

# A misspelt name is refused, and an ordinary user changes nothing but the tenant.
my ($status, undef, $stderr) = $node->psql('postgres', "SET whatsapp_shared.enbaled = on");
ok($status != 0 && $stderr =~ /invalid configuration parameter name.*reserved prefix/s,
	'the prefix is reserved')
  or diag($stderr);
$node->safe_psql('postgres', 'CREATE ROLE app LOGIN');
is( $node->safe_psql(
		'postgres', "SET ROLE app; SET whatsapp_shared.tenant = 'trigal'; SHOW whatsapp_shared.tenant"),
	'trigal',
	'a user sets the tenant of the session');
($status, undef, $stderr) = $node->psql('postgres', "SET ROLE app; SET whatsapp_shared.enabled = on");
ok($status != 0 && $stderr =~ /cannot be changed now/, 'and nothing else') or diag($stderr);

$node->stop;
done_testing();
