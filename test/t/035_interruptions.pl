# Webhooks are interrupted: the receiver is down for a while, single deliveries
# fail, the server crashes; what has failed is tried again with growing gaps, as
# Meta does it.  Meanwhile responses get lost.  Under the policy "auto" nothing is
# sent twice, and what Meta surely does not have is sent again.
#
# INTERRUPTIONS_SECONDS=600 goes on for as long, INTERRUPTIONS_SEED repeats a run
# as far as the machine lets it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../checker";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of accepted_for
  deliver_webhooks invariants_hold);
use WaHistory::Random;
use WaTest qw(set_and_reload);

my $GRACE = 3;
my $seconds = $ENV{INTERRUPTIONS_SECONDS} // 5;
my $seed = $ENV{INTERRUPTIONS_SEED} // int(time * 1000) % 1_000_000;
my $random = WaHistory::Random->new($seed);
diag("repeat with INTERRUPTIONS_SEED=$seed") if $seconds > 5;
note("seed $seed");

my ($node, $sim) = new_delivery(
	'interruptions',
	simulator => [
		'--webhook-pull',
		'--webhook-no-read-percent' => 50,
		'--webhook-reorder-percent' => 5,
		'--log-memory' => 1_000_000
	],
	settings => [
		"whatsapp_shared.uncertain_policy = 'auto'",
		"whatsapp_shared.uncertain_grace = '${GRACE}s'",
		"whatsapp_shared.request_timeout = '2s'",
		"whatsapp_shared.pair_interval = 0"
	]);

# ---- Meta's side of the delivery -----------------------------------------------------

my @posts;       # each with the time of its next try, and the gap after that
my $down_until = 0;
my $failures = 0;

# Every post gets its tries; in an outage all of them fail, and else a few.
sub deliver
{
	my (%options) = @_;
	my $now = time;

	push @posts, map { { post => $_, at => 0, gap => 1 } } $sim->webhooks(1000, 0);
	my @due = grep { $options{all} || $_->{at} <= $now } @posts;
	my $sql = '';
	my @tried;
	foreach my $item (@due)
	{
		if (!$options{all} && ($now < $down_until || $random->percent(3)))
		{
			$failures++;
			$item->{at} = $now + $item->{gap};
			$item->{gap} *= 2;
			next;
		}
		my $body = unpack 'H*', $item->{post}{body};
		$sql .= "SELECT wa_webhook_ingest('\\x$body', '$item->{post}{signature}');\n";
		push @tried, $item;
	}
	return unless @tried;
	my ($status, $out, $error) = $node->psql('postgres', $sql);
	if ($status == 0 && $error !~ /ERROR/)
	{
		$_->{done} = 1 foreach @tried;
		@posts = grep { !$_->{done} } @posts;
	}
	return;
}

sub on_its_way
{
	my $stats = $sim->stats->{webhooks};
	return @posts || $stats->{pending_messages} || $stats->{pending_posts};
}

# ---- what is sent --------------------------------------------------------------------

my $recipient = 620000000;

sub send_some
{
	my ($n, $tenant) = @_;
	my $first = $recipient + 1;
	$recipient += $n;
	$node->psql('postgres', <<"SQL");
SELECT wa_enqueue_message('$tenant', '+34' || i, '$WaDelivery::TEMPLATE', '["hola"]') FROM generate_series($first, $recipient) AS i
SQL
	return;
}

# Nothing awaits a report any more: it is settled, sent again, or waits for a person.
sub decided
{
	return $node->safe_psql('postgres',
		"SELECT NOT EXISTS (SELECT FROM whatsapp_queue WHERE due_at <> 'infinity')") eq 't';
}

# ---- under interruptions -------------------------------------------------------------

my @lossy = (
	{ match => { probability => 0.05, seed => $seed }, cut => 'accepted' },
	{ match => { probability => 0.02, seed => $seed + 1 }, reply => 'empty', status => 503 },
	{ match => { probability => 0.01, seed => $seed + 2 }, cut => 'received' });
$sim->faults(@lossy);

my $end = time + $seconds;
my ($crashes, $outages) = (0, 0);
my $next_crash = time + $seconds / 3;
while (time < $end)
{
	send_some(5 + $random->below(20), 't' . (1 + $random->below(2)));
	if (time > $down_until + 0.5 && $random->percent(20))
	{
		$outages++;
		$down_until = time + 0.2 + $random->below(2500) / 1000;
	}
	deliver();
	if (time > $next_crash)
	{
		$crashes++;
		$node->stop('immediate');
		$node->start;
		$next_crash = time + $seconds / 3 + $random->below(4);
	}
	usleep(50_000);
}
# The wire is whole again; outages and failures of deliveries go on until all is decided.
$sim->faults;
for (my $i = 0; ($i < 600 && !decided()); $i++)
{
	send_some(1, 't1') if $i % 4 == 0;
	deliver();
	usleep(100_000);
}
ok(decided(), 'everything uncertain has been decided');

my $resent = $node->safe_psql('postgres', 'SELECT count(*) FROM whatsapp_messages WHERE attempts > 1');
my $parked = $node->safe_psql('postgres', "SELECT count(*) FROM whatsapp_queue WHERE hold_reason = 'parked'");
deliver(all => 1) while on_its_way();
my $accepted = accepted_for($sim);
my @twice = grep { $accepted->{$_} > 1 } sort { $a <=> $b } keys %$accepted;
note(scalar(keys %$accepted) . " messages, $outages outages, $failures failed deliveries, $crashes crashes,"
	  . " $resent sent again, $parked parked");
is("@twice", '', "nothing was sent twice (seed $seed)");
cmp_ok($crashes, '>', 0, 'there was a crash');
cmp_ok($failures, '>', 0, 'and deliveries failed');
is($node->safe_psql('postgres', "SELECT count(*) FROM whatsapp_alerts WHERE kind = 'duplicate_send'"),
	'0', 'no alert says otherwise');
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM whatsapp_webhook_traffic WHERE last_late_at IS NOT NULL'),
	't', 'reports that came late have been noticed');
my @lost = split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT id FROM whatsapp_messages WHERE status NOT IN ('sent', 'delivered', 'read', 'uncertain', 'failed')
SQL
is("@lost", '', 'nothing is lost');
invariants_hold($node);

# ---- when all is well ------------------------------------------------------------------

# Others are sent and reported meanwhile.  A machine that stands still for half a
# grace is an interruption like any other: then it is parked, which is right.
sub uncertain_while
{
	my ($step) = @_;
	my $to = '+34' . ++$recipient;

	$sim->faults({ match => { recipient => $to }, times => 1, cut => 'received' });
	my $id = enqueue($node, 't1', $to);
	wait_status($node, $id, 'uncertain', "message $id: no response");
	for (my $i = 0; $i < 3000; $i++)
	{
		$step->($id, $i);
		return $id
		  if $node->safe_psql('postgres',
			"SELECT NOT EXISTS (SELECT FROM whatsapp_queue WHERE message_id = $id AND hold_reason = 'uncertain')") eq 't';
		usleep(100_000);
	}
	return $id;
}

sub send_and_report
{
	my ($id, $i) = @_;
	send_some(1, 't1') if $i % 4 == 0;
	deliver(all => 1);
	return;
}

# So this is true, if not with this grace, then with a longer one.
my $grace = $GRACE;

sub in_time
{
	my ($is_true) = @_;

	for (1 .. 6)
	{
		return 1 if $is_true->();
		$grace *= 2;
		set_and_reload($node, uncertain_grace => "${grace}s");
	}
	return 0;
}

ok(in_time(sub {
	my $id = uncertain_while(\&send_and_report);
	return $node->safe_psql('postgres', "SELECT attempts > 1 AND status <> 'uncertain' FROM whatsapp_messages WHERE id = $id") eq 't';
}), 'while webhooks arrive, what Meta does not have is sent again');

# A webhook that was rolled back is one that was missed: the grace begins anew.
ok(in_time(sub {
	my $missed = time + $grace / 2;
	my $first_due;
	my $extended = 0;

	uncertain_while(sub {
		my ($message, $i) = @_;
		send_and_report($message, $i);
		my $due = $node->safe_psql('postgres',
			"SELECT EXTRACT(epoch FROM due_at) FROM whatsapp_queue WHERE message_id = $message AND due_at <> 'infinity'");
		$first_due //= $due;
		$extended ||= $due ne '' && $due > $first_due + 1;
		return if time < $missed;
		$missed = 'inf';
		my $body = '{"object": "whatsapp_business_account", "entry": []}';
		my $signature = 'sha256=' . hmac($body);
		$node->psql('postgres', "BEGIN; SELECT wa_webhook_ingest(convert_to('$body', 'UTF8'), '$signature'); ROLLBACK");
	});
	return $extended;
}), 'a webhook was rolled back: reports are awaited for longer');
set_and_reload($node, uncertain_grace => "${GRACE}s");

# Nobody else is heard of: it waits for a person.
my $id = uncertain_while(sub { deliver(all => 1) });
is($node->safe_psql('postgres', "SELECT hold_reason FROM whatsapp_queue WHERE message_id = $id"),
	'parked', 'without other messages, silence means nothing');
$node->stop;
done_testing();

sub hmac
{
	require Digest::SHA;
	return Digest::SHA::hmac_sha256_hex($_[0], 'SIMULATOR_APP_SECRET');
}
