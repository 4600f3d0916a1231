# The ordinary life of messages in a server under valgrind, whose reports are then read:
# none has the extension in its stack.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery invariants_hold);
use WaLoad qw(wait_until);

my $path = $ENV{WA_REPORTS} // die "WA_REPORTS is not set\n";
my ($node, $sim) = new_delivery(
	'valgrind',
	simulator => ['--webhook-pull'],
	settings  => [ "whatsapp_shared.request_timeout = '60s'", 'restart_after_crash = off' ]);

# One session: each start of one takes valgrind seconds.
my $session = $node->background_psql('postgres');
$session->set_query_timer_restart;
sub sql { return $session->query_safe($_[0]) }

sub becomes
{
	my ($query, $what) = @_;
	return ok(wait_until(sub { return sql($query) eq 't' }), $what);
}

sub settled { return becomes('SELECT NOT EXISTS (SELECT FROM whatsapp_queue) AND NOT EXISTS (SELECT FROM whatsapp_leases)', $_[0]) }

sub hand_in_webhooks
{
	foreach my $post ($sim->all_webhooks)
	{
		my $body = unpack 'H*', $post->{body};
		sql("SELECT wa_webhook_ingest(decode('$body', 'hex'), '$post->{signature}')");
	}
	return;
}

sub work
{
	sql(<<'SQL');
INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34600112233', now() + interval '60 days') ON CONFLICT DO NOTHING;
SELECT wa_enqueue_message('t1', '+34600000001', 'aviso', '["hola"]', idempotency_key => 'k' || random());
SELECT wa_enqueue_text('t1', '+34600112233', 'Hola');
SELECT wa_enqueue_media('t1', '+34600112233', 'image', 'https://example.es/pan.jpg', caption => 'Pan');
SELECT wa_enqueue_location('t1', '+34600112233', 40.4, -3.7, 'Horno');
SELECT wa_enqueue_interactive('t1', '+34600112233', '{"type": "button", "body": {"text": "?"}, "action": {"buttons": [{"type": "reply", "reply": {"id": "si", "title": "Si"}}]}}');
SELECT wa_enqueue_contacts('t1', '+34600112233', '[{"name": {"formatted_name": "Ana", "first_name": "Ana"}, "phones": [{"phone": "+34600000009"}]}]');
SELECT wa_enqueue_reaction('t1', '+34600112233', 'wamid.x', '👍');
SELECT count(*) FROM wa_enqueue_bulk('t2', 'aviso', '["+34600000001", "+34600000002"]', '["hola"]');
SELECT wa_upload_media('t1', convert_to('%PDF-1.7 ' || random(), 'UTF8'), 'application/pdf', 'f.pdf') AS medium \gset
SELECT wa_enqueue_media('t1', '+34600112233', 'document', media => :medium);
SQL
	settled($_[0]);
	return;
}

$sim->faults({ match => { recipient => '+34600000002' }, times => 1, code => 131016, status => 500 });
work('each kind is sent');
hand_in_webhooks();
becomes("SELECT count(*) = 0 FROM whatsapp_messages WHERE status = 'accepted'", 'the webhooks have told of all');

$sim->inbound(number => '100000000000001', from => '+34600112233', type => 'text', text => { body => 'BAJA' });
hand_in_webhooks();
is(sql("SELECT count(*) FROM whatsapp_opt_outs WHERE recipient = '+34600112233'"), '1', 'a word opts out');

sql("SELECT wa_unassign_phone('t3'); SELECT wa_assign_phone('t4', '100000000000003')");
is(sql(<<'SQL'), '', 'a bad number is refused');
DO $$
BEGIN
    PERFORM wa_enqueue_text('t1', '12', 'x');
    RAISE WARNING 'it is not';
EXCEPTION WHEN invalid_parameter_value THEN
    NULL;
END
$$
SQL
sql("SELECT count(*) FROM wa_health(); SELECT count(*) FROM wa_metrics(); SELECT count(*) FROM wa_sync_templates()");
sql("SELECT wa_cancel_message(wa_enqueue_message('t1', '+34600000005', 'aviso', '[\"x\"]', scheduled_at => now() + interval '1 day'))");

sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'");
$sim->faults();
sql('DELETE FROM whatsapp_opt_outs');
work('and by another sender');
invariants_hold($node);
$session->quit;
$node->stop;

# ---- what valgrind has seen ----

my @files = glob "$path.*";
my (%ours, $servers);
foreach my $file (@files)
{
	my $xml = slurp_file($file);

	$servers++ if $xml =~ m{<exe>[^<]*postgres};
	foreach my $error ($xml =~ m{(<error>.*?</error>)}gs)
	{
		# In XML it also tells, unasked, what was not freed at the end: a server frees nothing then.
		next if $error =~ m{<kind>Leak_} || $error !~ m{<obj>[^<]*/whatsapp_shared\.so</obj>};
		my ($what) = $error =~ m{<(?:what|text)>([^<]*)<};
		my @frames = map { m{<fn>([^<]*)</fn>} ? $1 . (m{<file>([^<]*)</file>\s*<line>(\d+)} ? " ($1:$2)" : '') : '?' } $error =~ m{<frame>(.*?)</frame>}gs;
		$ours{ join "\n    ", $what, @frames } = 1;
	}
}
cmp_ok($servers // 0, '>', 5, 'valgrind has written about the processes of the server') or diag("files: @files");
is(join("\n", sort keys %ours), '', 'nothing was wrong in the extension');

done_testing();
