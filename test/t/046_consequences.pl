# An error has the same consequence for others whether Meta says it in its response
# or in a webhook: the same pause for as long, the same opt-out, the same alert.  For
# every code of wa_error_codes, and one that is not among them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256_hex);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for invariants_hold);

my ($node, $sim) = new_delivery(
	'consequences',
	tenants  => 1,
	settings => ["whatsapp_shared.retry_delay = '1h'", "whatsapp_shared.retry_max_delay = '1h'"]);

my $session = $node->background_psql('postgres', on_error_stop => 1);

sub sql { my $result = $session->query_safe($_[0]); return $result }

my $installation = sql('SELECT installation_id FROM whatsapp_installation');
my $last_recipient = 621460000;

# What stands in the tables beyond the message, and how long it lasts.
my $consequences = <<'SQL';
SELECT concat_ws('; ',
    (SELECT string_agg(concat_ws(' ', 'pause', p.scope, p.key, p.reason, p.error_code, p.automatic,
            round(EXTRACT(epoch FROM p.until - p.paused_at) / 30) * 30), ', ' ORDER BY p.scope, p.key) FROM whatsapp_pauses AS p),
    (SELECT string_agg(concat_ws(' ', 'opt-out', o.tenant_id, o.category, o.source), ', ') FROM whatsapp_opt_outs AS o),
    (SELECT string_agg(concat_ws(' ', 'alert', a.severity, a.kind, a.scope, a.key, a.occurrences), ', ' ORDER BY a.kind, a.key) FROM whatsapp_alerts AS a
        WHERE a.resolved_at IS NULL))
SQL

# Takes what there is, and removes it.
sub take
{
	my $found = sql($consequences);
	sql(<<'SQL');
SELECT wa_resume(p.scope, p.key) FROM whatsapp_pauses AS p;
TRUNCATE whatsapp_opt_outs, whatsapp_opt_ins;
DELETE FROM whatsapp_alerts;
SQL
	return $found;
}

# The response to a request; the message, whatever it waits for, does not stay.
sub by_response
{
	my ($code) = @_;
	my $recipient = '+34' . ++$last_recipient;
	$sim->faults({ match => { recipient => $recipient }, times => 1, code => 0 + $code, status => 400 });
	my $id = enqueue($node, 't1', $recipient);
	$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM whatsapp_attempts WHERE message_id = $id)")
	  or die "no response $code";
	my $found = sql($consequences);
	$sim->faults;
	sql("UPDATE whatsapp_queue SET state = 'h', hold_reason = 'tenant_disabled' WHERE message_id = $id; SELECT wa_cancel_message($id)");
	take();
	return $found;
}

# A webhook for one of the messages that were accepted.
my @accepted;

sub by_webhook
{
	my ($code) = @_;
	my $now = time;
	my $accepted = pop @accepted;
	my ($wamid, $recipient) = split /\|/, sql("SELECT whatsapp_message_id, substr(recipient_phone, 2) FROM whatsapp_messages WHERE id = $accepted");
	my $body =
		'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":'
	  . '{"metadata":{"phone_number_id":"100000000000001"},"statuses":[{'
	  . qq("id":"$wamid","status":"failed","timestamp":"$now","recipient_id":"$recipient",)
	  . qq("biz_opaque_callback_data":"wa1:$installation:$accepted:1","errors":[{"code":$code,"title":"title"}]}]}}]}]});
	my $signature = 'sha256=' . hmac_sha256_hex($body, 'SIMULATOR_APP_SECRET');
	sql("SELECT wa_webhook_ingest('$body', '$signature')");
	return take();
}

# Ranges by their ends.
my @codes = split /\n/, sql(<<'SQL');
SELECT c.code FROM wa_error_codes AS c
WHERE NOT EXISTS (SELECT FROM wa_error_codes AS a WHERE a.code = c.code - 1 AND a.title = c.title)
    OR NOT EXISTS (SELECT FROM wa_error_codes AS a WHERE a.code = c.code + 1 AND a.title = c.title)
ORDER BY c.code
SQL
cmp_ok(scalar @codes, '>', 100, 'there are codes');
push @codes, 999999;

sql("SELECT wa_enqueue_message('t1', '+34' || 621470000 + i, 'aviso', '[\"hola\"]') FROM generate_series(1, ${\ scalar @codes}) AS i");
wait_for($node, q{SELECT bool_and(status = 'accepted') FROM whatsapp_messages}, 'messages are accepted');
@accepted = split /\n/, sql('SELECT id FROM whatsapp_messages');

my %found;
foreach my $code (@codes)
{
	$found{$code} = by_response($code);
	is($found{$code}, by_webhook($code), "$code: " . ($found{$code} || 'nothing'));
}

# That the comparison compares something.
like($found{131057}, qr/^pause number 100000000000001 error_131057 131057 t 120;/, 'maintenance pauses the number for two minutes');
like($found{190}, qr/^pause account  error_190 190 t;/, 'a token that has expired pauses the account until it is resumed');
like($found{132015}, qr{^pause template aviso/es error_132015 132015 t 10800;}, 'a paused template is paused');
is($found{131050}, 'opt-out t1 marketing error', 'who wants no marketing is noted');
like($found{999999}, qr/^alert warning unknown_error_code  999999 1/, 'an unknown code is reported');
is($found{130429}, '', 'a short throttle is nobody\'s business');

$session->quit;
invariants_hold($node);
$node->stop;
done_testing();
