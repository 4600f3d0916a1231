# Histories of persons (test/lib/persons.sql), and a real sender: messages that were accepted on the
# way wait until all has been told.  Then those leave, and only those, whose recipients
# want them and whose service windows are open, under whatever form they are addressed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery wait_for accepted_for invariants_hold);
use WaTest qw(set_and_reload wait_for_senders);

my $histories = $ENV{PERSONS_HISTORIES} // 200;
my ($node, $sim) = new_delivery(
	'persons_claimed',
	tenants   => 0,
	simulator => ['--webhook-pull'],
	settings  => [ "whatsapp_shared.app_secret = 'current-secret'", 'whatsapp_shared.pair_interval = 0', 'whatsapp_shared.enabled = off' ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# No sender looks meanwhile: what is not wanted for a moment would be skipped then.
set_and_reload($node, databases => 'template1');
wait_for_senders($node, 'postgres', 0);
my $lib = "$FindBin::RealBin/../lib";
my $seed = sprintf '%.6f', $ENV{PERSONS_SEED} // rand;
note("seed $seed");
$node->safe_psql('postgres', 'CREATE EXTENSION pgtap');
my $output = sql(<<"SQL");
\\i $lib/begin.sql
\\i $lib/webhook.sql
\\i $lib/persons.sql
SELECT setseed($seed) \\g /dev/null
SELECT pg_temp.prepare() \\g /dev/null
UPDATE whatsapp_phone_numbers SET messages_per_second = 500;
COMMIT;
CALL pg_temp.tell_histories($histories, 2, 6, true);
CREATE TABLE public.becomes AS SELECT * FROM pg_temp.becomes();
SELECT 'wrong: ' || w::text FROM pg_temp.wrong AS w;
SELECT outcome || ' ' || count(*) FROM public.becomes GROUP BY outcome ORDER BY outcome;
SQL
unlike($output, qr/^wrong: /m, "$histories histories are told");
diag($output) if $output =~ /^wrong: /m;
note($output);

set_and_reload($node, databases => undef, enabled => 'on');
wait_for($node, q{SELECT NOT EXISTS (SELECT FROM whatsapp_queue WHERE state <> 'h') AND NOT EXISTS (SELECT FROM whatsapp_leases)}, 'the queue is worked off');
my $sent = accepted_for($sim);
my %sent = map { $_ => 'sent' } keys %$sent;
my @differs;
my %seen;
for my $row (split /\n/, sql(q{SELECT b.message_id, b.outcome, m.status, COALESCE(m.error_code, 0) FROM public.becomes AS b JOIN whatsapp_messages AS m ON m.id = b.message_id}))
{
	my ($id, $outcome, $status, $code) = split /\|/, $row;
	my $is = $sent{$id} // ($status eq 'queued' ? 'held' : $status);
	$seen{$outcome}++;
	push @differs, "$row: $is" if $is ne $outcome || $status eq 'failed' && $code != 131047;
}
is(join("\n", @differs[ 0 .. ($#differs < 9 ? $#differs : 9) ]), '', 'what leaves is what its recipients want, under whatever form');
cmp_ok($seen{$_} // 0, '>', 0, "some are $_") foreach qw(sent skipped held);

invariants_hold($node);
$node->stop;
done_testing();
