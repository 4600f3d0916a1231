# /metrics: what Prometheus reads, what it makes of it, and that alert rules and
# dashboard ask for things that are there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use File::Spec;
use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue settled deliver_webhooks wait_for);
use WaGateway;
use WaLoad qw(patience wait_until);
use WaTest qw(create_extension set_and_reload);

my $root = File::Spec->catdir($FindBin::RealBin, '..', '..');
my $tools = `bash $root/test/tools/unpacked.sh $root/build/prometheus prometheus promtool`;
chomp $tools;
die 'there is no promtool' unless $tools ne '' && -x "$tools/promtool";

my $temp = PostgreSQL::Test::Utils::tempdir();

# Runs promtool; returns its exit status and what it printed.
sub promtool
{
	my ($arguments, $input) = @_;
	my $file = "$temp/input";

	open(my $out, '>', $file) or die "$file: $!";
	print $out $input // '';
	close($out);
	my $printed = `cd $root/docs/monitoring && timeout -s KILL 60 $tools/promtool $arguments < $file 2>&1`;
	return ($?, $printed);
}

# ---- rules --------------------------------------------------------------------------

my ($status, $printed) = promtool('check rules alerts.yml');
is($status, 0, 'the alert rules are rules') or diag($printed);
($status, $printed) = promtool('test rules alerts_test.yml');
is($status, 0, 'and fire when they should, and only then') or diag($printed);

# ---- the text -----------------------------------------------------------------------

my ($node, $sim) = new_delivery('metrics', simulator => ['--webhook-pull']);
$node->safe_psql('postgres', <<'SQL');
UPDATE whatsapp_phone_numbers SET messaging_limit = 'TIER_1K', status = 'CONNECTED', quality_rating = 'GREEN';
SELECT wa_internal_apply_token_state('{"data": {"is_valid": true, "expires_at": 4000000000}}');
SELECT wa_internal_alert('error', 'quality', 'number', '1', E'a "quoted" one\\with a backslash');
SQL
my $gateway = WaGateway->start($node, arguments => [ '--metrics-listen' => '127.0.0.1:0' ]);
my ($metrics_url) = grep { $_ ne $gateway->url } $gateway->urls;

# The samples of a scrape: "name{labels}" => value.
sub scrape
{
	my $response = HTTP::Tiny->new->get("$metrics_url/metrics");
	my %samples;

	die "status $response->{status}" unless $response->{status} == 200;
	foreach my $line (split /\n/, $response->{content})
	{
		$samples{$1} = $2 if $line =~ /^([a-z_]+(?:\{.*\})?) (\S+)$/;
	}
	return ($response, %samples);
}

enqueue($node, 't1', '+3461100000' . $_) foreach 1 .. 5;
settled($node);
deliver_webhooks($node, $sim);
my $late = enqueue($node, 't1', '+34611000009', scheduled_at => "now() + interval '1 day'");

my ($response, %now) = scrape();
is($response->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'the type that Prometheus expects');
($status, $printed) = promtool('check metrics', $response->{content});
is($status, 0, 'promtool finds no fault with it') or diag($printed);
is($printed, '', 'not even a small one');

is($now{'whatsapp_messages_accepted_total'}, 5, 'what was accepted is counted');
is($now{'whatsapp_request_duration_seconds_count'}, 5, 'and measured');
is($now{'whatsapp_request_duration_seconds_bucket{le="+Inf"}'}, 5, 'all of it');
cmp_ok($now{'whatsapp_request_duration_seconds_sum'}, '>', 0, 'and took a while');
is($now{'whatsapp_commit_to_wire_seconds_count'}, 5, 'as is the way from COMMIT to the wire');
cmp_ok($now{'whatsapp_commit_to_wire_seconds_sum'}, '<', 5 * 5, 'which is short');
is($now{'whatsapp_queue_messages{state="deferred",reason="scheduled"}'}, 1, 'what is meant for tomorrow waits');
is($now{'whatsapp_sender_up{sender="0"}'}, 1, 'the sender runs');
is($now{'whatsapp_messaging_limit'}, 1000, 'the limit');
is($now{'whatsapp_token_expiry_timestamp_seconds'}, 4000000000, 'the end of the token');
is($now{'whatsapp_alerts{kind="quality",severity="error"}'}, 1, 'an alert');
is($now{'whatsapp_clock_ahead_seconds'}, 0, 'the clock');
wait_until(sub { (undef, %now) = scrape(); defined $now{'whatsapp_health{check="alerts"}'} });
is($now{'whatsapp_health{check="alerts"}'}, 2, 'a check of wa_health() that finds an error');
is($now{'whatsapp_health{check="clock"}'}, 0, 'and one that finds nothing');
is($now{'whatsapp_gateway_database_up{pool="admin"}'}, 1, 'the database is there');
is($now{'whatsapp_gateway_database_up{pool="statuses"}'}, 1, 'for webhooks, too');
cmp_ok($now{'process_resident_memory_bytes'}, '>', 1_000_000, 'what the process takes');

# ---- who may ------------------------------------------------------------------------

is($gateway->get('/metrics', token => undef)->{status}, 401, 'without a token it is nobody\'s');
is($gateway->get('/metrics', token => 'viewer')->{status}, 200, 'with that of a viewer it is readable');
is($gateway->get("$metrics_url/api/v1/admin/whatsapp/tenants")->{status}, 404, 'its own address has nothing else');
$gateway->get('/nothing/' . $_) foreach 1 .. 20;
(undef, %now) = scrape();
is($now{'whatsapp_gateway_http_requests_total{method="",route="",code="404"}'}, 21, 'addresses that nobody has are one');
is(scalar(grep { /phone_number_id/ } keys %now), 0, 'no label names a number');

# ---- Meta asks to wait --------------------------------------------------------------

$sim->faults({ match => { recipient => '+34611000031' }, times => 1, code => 131056 });
wait_for($node, 'SELECT sum(messages) = 1 FROM wa_internal_throttled()', 'Meta throttles a recipient')
  if enqueue($node, 't1', '+34611000031');
(undef, %now) = scrape();
is($now{'whatsapp_throttled_total{reason="pair_rate"}'}, 1, 'what Meta throttles is counted by reason');

# ---- Prometheus itself --------------------------------------------------------------

my $port = PostgreSQL::Test::Cluster::get_free_port();
my ($target) = $metrics_url =~ m{//(.*)};
open(my $config, '>', "$temp/prometheus.yml") or die $!;
print $config <<"YML";
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [$root/docs/monitoring/alerts.yml]
scrape_configs:
  - job_name: whatsapp_gateway
    static_configs: [{targets: ['$target']}]
YML
close($config);
my $pid = fork() // die $!;
if ($pid == 0)
{
	open(STDOUT, '>', "$temp/prometheus.log");
	open(STDERR, '>&', \*STDOUT);
	exec("$tools/prometheus", "--config.file=$temp/prometheus.yml", "--storage.tsdb.path=$temp/data",
	  "--web.listen-address=127.0.0.1:$port") or POSIX::_exit(127);
}

sub query
{
	my ($expression) = @_;
	my $response = HTTP::Tiny->new->post_form("http://127.0.0.1:$port/api/v1/query", { query => $expression });
	my $json = eval { JSON::PP::decode_json($response->{content}) };
	return defined $json ? $json : { status => $response->{status}, error => $response->{content} };
}

sub until_true
{
	my ($expression, $name) = @_;
	return ok(wait_until(sub { @{ query($expression)->{data}{result} // [] } }), $name);
}
until_true('count_over_time(up{job="whatsapp_gateway"}[1m]) > 2', 'Prometheus reads it');
is(query('up')->{data}{result}[0]{value}[1], '1', 'without an error');

my $dashboard = JSON::PP::decode_json(PostgreSQL::Test::Utils::slurp_file("$root/docs/monitoring/dashboard.json"));
my %empty = map { $_ => 1 } ('Cost of the month so far');    # nothing was delivered at a price yet
foreach my $panel (grep { $_->{targets} } @{ $dashboard->{panels} })
{
	my $results = 0;

	foreach my $target (@{ $panel->{targets} })
	{
		my $json = query($target->{expr} =~ s/"\$instance"/".*"/gr);
		is($json->{status}, 'success', "$panel->{title}: $target->{legendFormat}") or diag($json->{error});
		$results += @{ $json->{data}{result} // [] };
	}
	cmp_ok($results, '>', 0, "$panel->{title} has something to show") unless $empty{ $panel->{title} };
}

# Names in the rules that no metric has would never fire.
my $names = query('count by (__name__) ({job="whatsapp_gateway"})');
my %known = map { $_->{metric}{__name__} => 1 } @{ $names->{data}{result} };
my $rules = PostgreSQL::Test::Utils::slurp_file("$root/docs/monitoring/alerts.yml");
my @exprs = $rules =~ /expr:(.*?)\n {8}(?:for|labels):/sg;
my %asked = map { $_ => 1 } map { /\b(whatsapp_[a-z_]+)\b/g } grep { !/job=/ } @exprs;
is(join(' ', grep { !$known{$_} } sort keys %asked), '', 'every metric of the rules is there');

# ---- the database is away -----------------------------------------------------------

$node->stop('immediate');
my %gone;
wait_until(sub { (undef, %gone) = scrape(); $gone{'whatsapp_gateway_database_up{pool="admin"}'} == 0 });
is($gone{'whatsapp_gateway_database_up{pool="admin"}'}, 0, 'when the database is away, that is what is read');
cmp_ok($gone{'process_resident_memory_bytes'}, '>', 1_000_000, 'with the rest of what is known');

kill 'TERM', $pid;
waitpid($pid, 0);
done_testing();
