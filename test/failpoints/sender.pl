# A sender whose allocations, statements, transactions, descriptors and calls of libcurl
# fail, each once, while it starts and while it works: it sends, retries, uploads, fetches,
# marks as read and synchronises.  Each means each path of callers to one; what is done in a
# loop, or by a timer, is no other case.  Each message reaches Meta exactly once, or is uncertain
# until the webhook says; what is not a message is done, too; the process may end with an
# error and start again, but it never crashes, and keeps neither memory nor descriptors.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t/lib", "$FindBin::RealBin/../lib";

use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery);
use WaFailPoints;
use WaLoad qw(wait_until);

my ($node, $sim) = new_delivery(
	'fail_sender',
	simulator => ['--webhook-pull'],
	settings => [
		"whatsapp_shared.uncertain_policy = 'park'",
		"whatsapp_shared.request_timeout = '5s'",
		"whatsapp_shared.sync_interval = '0'",
		# Each round writes to the same person twice.
		'whatsapp_shared.pair_interval = 0',
		'restart_after_crash = off',
		'fsync = off'
	]);
my $points = WaFailPoints->new($node);
$points->{max} = $ENV{FAIL_POINTS_MAX} // 30;
my $http = HTTP::Tiny->new(timeout => 30);

# One session for all that is asked: there is much of it.
my $session = $node->background_psql('postgres');
$session->set_query_timer_restart;
$points->{session} = $session;
sub sql { return $session->query_safe($_[0]) }

sql("INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34600112233', now() + interval '60 days')");

# A file of a customer that Meta has; its id.
sub at_meta
{
	my ($seed) = @_;
	my $form = join '', map { "--b-b-b\r\nContent-Disposition: form-data; name=\"$_->[0]\"$_->[1]\r\n\r\n$_->[2]\r\n" } (
		[ 'messaging_product', '', 'whatsapp' ],
		[ 'type', '', 'application/pdf' ],
		[ 'file', "; filename=\"f.pdf\"\r\nContent-Type: application/pdf", "%PDF-1.7 $seed" ]);
	my $response = $http->post(
		$sim->url . '/v25.0/100000000000001/media',
		{
			headers => { Authorization => 'Bearer SIMULATOR_TOKEN', 'Content-Type' => 'multipart/form-data; boundary=b-b-b' },
			content => "$form--b-b-b--\r\n"
		});
	return JSON::PP::decode_json($response->{content})->{id};
}

# ---- one round of work: a bit of everything ----

my $round = 0;

sub work
{
	$round++;
	my $phone = sprintf '%07d', $round;
	my $file = at_meta("round $round");

	$sim->faults({ match => { recipient => "+3462$phone" }, times => 1, code => 131016, status => 500 });
	return split /\n/, sql(<<"SQL");
BEGIN;
INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone, message_type, payload, sent_at, media_id)
    VALUES ('wamid.c$round', 't1', '100000000000001', '+34600112233', 'document', '{}', now() - interval '1 minute', '$file')
    RETURNING inbound_id AS inbound \\gset
SELECT wa_enqueue_message('t1', '+3461$phone', 'aviso', '["hola"]');
SELECT wa_enqueue_message('t2', '+3462$phone', 'aviso', '["otra vez"]');
SELECT wa_enqueue_text('t1', '+34600112233', 'ronda $round');
SELECT wa_upload_media('t1', convert_to('%PDF-1.7 $round', 'UTF8'), 'application/pdf', 'f.pdf') AS medium \\gset
SELECT wa_enqueue_media('t1', '+34600112233', 'document', media => :medium);
SELECT wa_mark_read(:inbound) \\g /dev/null
SELECT wa_fetch_media(:inbound) \\g /dev/null
SELECT wa_sync_templates() \\g /dev/null
COMMIT;
SQL
}

# What is put off until later is done now.
my $hurry = <<'SQL';
UPDATE whatsapp_read_receipts SET next_attempt_at = now() WHERE next_attempt_at > now();
UPDATE whatsapp_inbound_media SET next_attempt_at = now() WHERE status = 'wanted' AND next_attempt_at > now();
UPDATE whatsapp_media SET next_attempt_at = now() WHERE status = 'waiting' AND next_attempt_at > now();
SELECT wa_internal_wake_due(now());
SQL
my $waits = <<'SQL';
SELECT (SELECT count(*) FROM whatsapp_messages WHERE status IN ('queued', 'sending')) + (SELECT count(*) FROM whatsapp_leases)
    + (SELECT count(*) FROM whatsapp_read_receipts) + (SELECT count(*) FROM whatsapp_inbound_media WHERE status = 'wanted')
    + (SELECT count(*) FROM whatsapp_media WHERE status = 'waiting')
SQL
chomp $waits;

my $sender = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender' LIMIT 1};

# A sender that has failed is started again later each time, unless after a reload.
sub is_done
{
	my $asked = 0;
	my $absent = 0;
	return wait_until(
		sub {
			my ($left, $running) = split /\|/, sql("SELECT ($waits), EXISTS ($sender)");
			return 1 if $left eq '0' && $running eq 't';
			$absent = $running eq 't' ? 0 : $absent + 1;
			sql('SELECT pg_reload_conf()') if $absent % 10 == 2;
			sql($hurry) if ++$asked % 5 == 0;
			return 0;
		});
}

# How often each message has arrived; the log is read on from where it was.
my %arrivals;
my $read_to = 0;

sub arrivals
{
	foreach my $record ($sim->accepted($read_to))
	{
		$arrivals{$1}++ if ($record->{message}{biz_opaque_callback_data} // '') =~ /^wa1:[^:]*:(\d+):/;
		$read_to = $record->{seq};
	}
	return \%arrivals;
}

# What became of these messages: a text that is empty if all is well.
sub fate
{
	my @ids = @_;
	my $list = join ',', @ids;
	my $uncertain = "SELECT id FROM whatsapp_messages WHERE status = 'uncertain' ORDER BY id";

	return 'something waits for ever: ' . sql("SELECT string_agg(id || ' ' || status, ', ') FROM whatsapp_messages WHERE id IN ($list)") . sql($waits)
	  unless is_done();
	if (sql($uncertain) ne '')
	{
		# The reason is there, the webhooks tell of those that arrived, and of the others nothing did.
		my $unknown = sql(q{SELECT string_agg(id::text, ' ') FROM whatsapp_messages WHERE status = 'uncertain' AND error_message IS NULL});
		return "uncertain without a reason: $unknown" if $unknown ne '';
		foreach my $post ($sim->all_webhooks)
		{
			my $body = unpack 'H*', $post->{body};
			sql("SELECT wa_webhook_ingest(decode('$body', 'hex'), '$post->{signature}')");
		}
		my $arrived = arrivals();
		foreach my $id (split /\n/, sql($uncertain))
		{
			return "message $id arrived, and its webhook does not say so" if $arrived->{$id};
			sql("SELECT wa_resolve_message($id, 'resend')");
		}
		return 'what is sent again waits for ever' unless is_done();
	}
	my $arrived = arrivals();
	my @wrong = map { ($arrived->{$_} // 0) == 1 ? () : "message $_ arrived " . ($arrived->{$_} // 0) . ' times' } @ids;
	my $other = sql("SELECT string_agg(id || ' ' || status || ' ' || COALESCE(error_message, ''), ', ') FROM whatsapp_messages WHERE id IN ($list) AND status NOT IN ('accepted', 'sent', 'delivered', 'read')");
	push @wrong, $other if $other ne '';
	return join ', ', @wrong;
}

# Without the server's own files: it opens more of them as long as it may.
sub kept
{
	my ($pid) = @_;
	my $files = $node->data_dir;
	my ($rss) = slurp_file("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;
	my @descriptors = grep { (readlink($_) // '') !~ m{^\Q$files\E/} } glob "/proc/$pid/fd/*";
	return ($rss, scalar @descriptors);
}

sub new_sender
{
	sql("SELECT pg_terminate_backend(pid) FROM ($sender) AS s");
	return;
}

is(fate(work()), '', 'all of it is done when nothing fails');

my %only = map { $_ => 1 } split /,/, $ENV{FAIL_POINTS_SCENARIOS} // '';
my $calls = 0;
foreach my $series ('working', 'starting')
{
	foreach my $class (qw(memory malloc curl inside_curl spi commit system))
	{
		next if %only && !$only{$series} && !$only{$class};
		my $what = "$series, $class";
		my (@wrong, %keeps, $lost);

		$points->arm('sender', $class, 0);
		new_sender() if $series eq 'starting';
		is(fate(work()), '', "$what: counted");
		$calls += $points->state->{count};
		foreach my $path ($points->choose_of("sender $what", $points->paths))
		{
			my @ids;

			$points->arm('sender', $class, 1, $path);
			new_sender() if $series eq 'starting';
			@ids = work();
			my $fate = fate(@ids);
			my $state = $points->state;
			push @wrong, "$path ($state->{name} at $state->{where}): $fate" if $fate ne '';
			$lost++ unless $state->{fired};
			my $pid = sql($sender);
			push @{ $keeps{$pid} }, [ kept($pid) ] if $pid && -e "/proc/$pid";
			last if @wrong > 5;
		}
		is(join("\n", @wrong), '', "$what: everything arrived once");
		diag(sprintf '%d of them were not reached', $lost) if $lost;
		foreach my $pid (grep { @{ $keeps{$_} } > 12 } sort keys %keeps)
		{
			my ($first, $last) = @{ $keeps{$pid} }[ 8, -1 ];
			cmp_ok($last->[0] - $first->[0], '<', 8192, "$what: process $pid keeps no memory ($first->[0] kB, $last->[0] kB)");
			cmp_ok($last->[1] - $first->[1], '<=', 4, "$what: nor descriptors");
		}
	}
}

$session->quit;
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server is up');
is((grep { $_ != 1 } values %{ arrivals() }), 0, 'nothing arrived twice');
my $log = slurp_file($node->logfile);
is(join("\n", grep { /PANIC|TRAP:|terminated by signal/ } split /\n/, $log), '', 'nothing in it has crashed');
diag(sprintf 'sender: %d of %d fail points, which are the paths of %d calls', $points->total, $calls);
$node->stop;

done_testing();
