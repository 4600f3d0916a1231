# docs/reference is what the catalog, the gateway and the sources say today.
# "make references" writes it: WA_REFERENCES=write makes this write what it would
# compare.

use strict;
use warnings;
use utf8;

use PostgreSQL::Test::Utils;
use Test::More;
use WaGateway;
use WaLoad qw(wait_until);
use WaReference qw(reference_pages);
use WaSimulator;
use lib 'test/t/lib';
use WaTest qw(new_node create_extension);

my $write = ($ENV{WA_REFERENCES} // '') eq 'write';
my $dir = 'docs/reference';

# Some metrics tell of what senders did, and of Meta's responses.
my $simulator = WaSimulator->start('--token-expires-at' => 4_000_000_000);
my $node = new_node('references', 'whatsapp_shared.enabled = on', "whatsapp_shared.access_token = 'SIMULATOR_TOKEN'",
	"whatsapp_shared.graph_url = '@{[ $simulator->url ]}'");
create_extension($node, 'postgres');

# A metric without a value is not shown: so there is something of everything.
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE nobody;
SELECT wa_assign_phone('trigal', '100000000000001'), wa_register_template('saludo', 'es', '[{"type": "BODY", "text": "Hola"}]');
SELECT wa_enqueue_message('trigal', '+34600000101', 'saludo'), wa_enqueue_message('trigal', '+34600000102', 'saludo', scheduled_at => now() + interval '1 day');
SELECT wa_internal_alert('warning', 'quality', 'number', '100000000000001', 'of a test');
SELECT wa_register_node('b', 'http://127.0.0.1:9/webhook');
UPDATE whatsapp_phone_numbers SET messaging_limit = 'TIER_10K';
UPDATE whatsapp_sync SET finished_at = now(), expires_at = now() + interval '1 day';
INSERT INTO whatsapp_webhook_traffic VALUES ('100000000000001', now(), now(), now(), now());
INSERT INTO whatsapp_parked_events (fingerprint, kind, reason) VALUES ('\x01', 'event', 'unknown');
INSERT INTO whatsapp_usage_days
	SELECT (now() AT TIME ZONE time_zone)::date, 'trigal', '100000000000001', 'Spain', 'utility', false, 1 FROM whatsapp_usage_closed;
SQL
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM wa_metrics()
	WHERE name IN ('whatsapp_sender_last_cycle_timestamp_seconds', 'whatsapp_clock_ahead_seconds')})
  or die 'no sender has sent';

my $gateway = WaGateway->start($node, arguments => [ '--metrics-per-number' => 1 ]);
my $exposition;
wait_until(sub { $exposition = $gateway->get('/metrics', token => 'viewer')->{content}; $exposition =~ /^whatsapp_month_cost\{/m && $exposition =~ /^whatsapp_health\{/m })
  or die "costs or health do not come: $exposition";

# What has no value here would be left out silently.
my %documented = map { $_ => 1 } $exposition =~ /^# HELP (\w+) /mg;
my $sources = $node->safe_psql('postgres', q{SELECT prosrc FROM pg_proc WHERE proname ~ '^wa_(internal_)?metrics'})
  . join('', map { slurp_file("src/bin/gateway/$_.c") } qw(counters metrics process));
my %named = map { $_ => 1 } $sources =~ /["']((?:whatsapp|process)_[a-z_]+[a-z])["']/g;
is(join(' ', grep { !$documented{$_} } sort keys %named), '', 'every metric that is named in code has a value in this test');

my %pages = reference_pages($node, '.', $exposition);
if ($write)
{
	foreach my $name (sort keys %pages)
	{
		open(my $out, '>', "$dir/$name") or die "$dir/$name: $!";
		print $out $pages{$name};
		close($out) or die "$dir/$name: $!";
		pass("$dir/$name is written");
	}
}
is(join(' ', sort map { s{.*/}{}r } glob "$dir/*.md"), join(' ', sort keys %pages), "these are the pages of $dir");
foreach my $name (sort keys %pages)
{
	my $committed = -e "$dir/$name" ? slurp_file("$dir/$name") : '';
	my @is = split /\n/, $pages{$name};
	my @was = split /\n/, $committed;
	my %was = map { $_ => 1 } @was;
	my %is = map { $_ => 1 } @is;

	ok($committed eq $pages{$name}, "$dir/$name says what the catalog says") and next;
	diag("Run \"make references\" and commit $dir/$name.");
	my @differences = ((map { "- $_" } grep { !$is{$_} } @was), (map { "+ $_" } grep { !$was{$_} } @is));
	diag(join "\n", @differences > 20 ? (@differences[ 0 .. 19 ], '...') : @differences);
}

$node->stop;
done_testing();
