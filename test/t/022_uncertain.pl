# The request is cut at every phase: what surely never arrived is sent again,
# what may have arrived waits for proof, and then the policy decides.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status status_of settled accepted_for
  deliver_webhooks invariants_hold);
use WaTest qw(set_and_reload sender_pids);

my ($node, $sim) = new_delivery(
	'uncertain',
	simulator => ['--webhook-pull'],
	settings  => [
		"whatsapp_shared.uncertain_policy = 'park'",
		"whatsapp_shared.uncertain_grace = '600s'"
	]);
my $recipient = 611200000;

sub send_with_fault
{
	my ($fault, %options) = @_;
	my $to = '+34' . ++$recipient;
	$sim->faults({ match => { recipient => $to }, times => 1, %$fault });
	return enqueue($node, 't1', $to, %options);
}

# Cuts before the recipient is known match the next request, whoever it is for.
sub send_with_cut
{
	my (%fault) = @_;
	$sim->faults({ times => 1, %fault });
	return enqueue($node, 't1', '+34' . ++$recipient);
}

# ---- surely not accepted ----------------------------------------------------------

my $id = send_with_cut(cut => 'connect', how => 'reset');
wait_for($node, "SELECT status IN ('accepted', 'uncertain') FROM whatsapp_messages WHERE id = $id",
	'cut before anything was read: sent again, or in doubt if it had left us');
deliver_webhooks($node, $sim);

# ---- nobody knows -------------------------------------------------------------------

my %accepted_by_meta = (
	'cut after the request was read'      => [ { cut => 'received' },                    0 ],
	'cut after it was accepted'           => [ { cut => 'accepted' },                    1 ],
	'cut in the middle of the answer'     => [ { cut => 'answer' },                      1 ],
	'an answer that is no JSON'           => [ { reply => 'garbage' },                   0 ],
	'an HTML error page'                  => [ { reply => 'html', status => 502 },       0 ],
	'an empty error'                      => [ { reply => 'empty', status => 503 },      0 ],
	'garbage for a message that was sent' => [ { reply => 'garbage', accept => JSON::PP::true() }, 1 ],
	'no answer in time'                   => [ { reply => 'hang', accept => JSON::PP::true() },    1 ]);
my %uncertain;
for my $what (sort keys %accepted_by_meta)
{
	my ($fault) = @{ $accepted_by_meta{$what} };
	set_and_reload($node, request_timeout => '2s') if $fault->{reply} && $fault->{reply} eq 'hang';
	$uncertain{$what} = send_with_fault($fault);
	wait_status($node, $uncertain{$what}, 'uncertain', "$what: uncertain");
	set_and_reload($node, request_timeout => undef);
}
invariants_hold($node);
deliver_webhooks($node, $sim);
for my $what (sort keys %accepted_by_meta)
{
	my ($fault, $accepted) = @{ $accepted_by_meta{$what} };
	my $status = status_of($node, $uncertain{$what});
	if ($accepted)
	{
		like($status, qr/^(sent|delivered|read)$/, "$what: the webhook proves it");
	}
	else
	{
		is($status, 'uncertain', "$what: without a webhook it stays uncertain");
	}
}
is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'and nothing was sent a second time');

# ---- the policies, once the grace is over ---------------------------------------------

sub grace_over
{
	my ($message) = @_;
	$node->safe_psql('postgres', <<"SQL");
BEGIN;
UPDATE whatsapp_queue SET due_at = now() WHERE message_id = $message;
SELECT wa_internal_wake_due(now());
COMMIT;
SQL
	return;
}

$id = send_with_fault({ cut => 'received' }, on_uncertain => "'fail'");
wait_status($node, $id, 'uncertain');
grace_over($id);
wait_status($node, $id, 'failed', 'policy fail: it fails');

$id = send_with_fault({ cut => 'received' }, on_uncertain => "'resend'");
wait_status($node, $id, 'uncertain');
grace_over($id);
wait_status($node, $id, 'accepted', 'policy resend: it is sent again');
is($node->safe_psql('postgres', "SELECT attempts FROM whatsapp_messages WHERE id = $id"),
	'2', 'as a second attempt');

$id = send_with_fault({ cut => 'received' }, on_uncertain => "'park'");
wait_status($node, $id, 'uncertain');
grace_over($id);
wait_for($node, "SELECT hold_reason = 'parked' FROM whatsapp_queue WHERE message_id = $id",
	'policy park: it waits for an operator');
wait_for($node,
	"SELECT EXISTS (SELECT FROM whatsapp_alerts WHERE kind = 'uncertain' AND resolved_at IS NULL)",
	'and an alert says so');

# Under auto it depends on what is heard of others: 035_interruptions.pl.

# Sent again means queued again: quiet hours, and a tenant that is switched off,
# keep it like any other.
my $quiet = <<'SQL';
quiet_from => (now() AT TIME ZONE 'UTC' - interval '1 hour')::time, quiet_to => (now() AT TIME ZONE 'UTC' + interval '1 hour')::time, time_zone => 'UTC'
SQL
my %again = ('by policy' => send_with_fault({ cut => 'received' }, on_uncertain => "'resend'"));
wait_status($node, $again{'by policy'}, 'uncertain');
$again{'by a person'} = send_with_fault({ cut => 'received' });
wait_status($node, $again{'by a person'}, 'uncertain');
my $sent_before = scalar $sim->accepted;
$node->safe_psql('postgres', "SELECT wa_configure_tenant('t1', $quiet)");
grace_over($again{'by policy'});
$node->safe_psql('postgres', "SELECT wa_resolve_message($again{'by a person'}, 'resend')");
wait_for($node, "SELECT state = 'd' AND hold_reason = 'quiet_hours' AND due_at > now() + interval '50 min' FROM whatsapp_queue WHERE message_id = $again{$_}",
	"sent again $_: after the quiet hours")
  foreach sort keys %again;
is(scalar $sim->accepted, $sent_before, 'nothing has left');
$node->safe_psql('postgres', q{SELECT wa_configure_tenant('t1', reset => '{quiet_hours}')});
wait_status($node, $again{$_}, 'accepted', "sent again $_: they are over") foreach sort keys %again;

$id = send_with_fault({ cut => 'received' });
wait_status($node, $id, 'uncertain');
$node->safe_psql('postgres', q{SELECT wa_configure_tenant('t1', enabled => false)});
$node->safe_psql('postgres', "SELECT wa_resolve_message($id, 'resend')");
wait_for($node, "SELECT reason = 'tenant_disabled' FROM wa_explain($id)",
	'a message that is to be sent again waits while its tenant is switched off');
$node->safe_psql('postgres', q{SELECT wa_configure_tenant('t1', enabled => true)});
wait_status($node, $id, 'accepted', 'and sent when it is on again');

# One that is to be sent again, and whose tenant has lost its number, had arrived.
$sim->faults({ match => { recipient => '+34611209999' }, times => 1, cut => 'accepted' });
$id = enqueue($node, 't3', '+34611209999', on_uncertain => "'resend'");
wait_status($node, $id, 'uncertain');
$node->safe_psql('postgres', "SELECT wa_pause('tenant', 't3')");
grace_over($id);
wait_for($node, "SELECT q.state = 'r' AND e.reason = 'tenant_paused' FROM wa_explain($id) AS e, whatsapp_queue AS q WHERE q.message_id = $id",
	'a message that is to be sent again waits for the end of a pause');
$node->safe_psql('postgres', "SELECT wa_unassign_phone('t3')");
deliver_webhooks($node, $sim);
is( $node->safe_psql('postgres',
		"SELECT status IN ('sent', 'delivered', 'read'), accepted_at IS NOT NULL, phone_number_id IS NULL FROM whatsapp_messages WHERE id = $id"),
	't|t|t', 'a webhook proves it when it has no number any more');
my ($pid) = sender_pids($node, 'postgres');
$node->safe_psql('postgres', 'SELECT wa_worker_restart()');
wait_for($node,
	"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender' AND pid <> $pid)",
	'another sender starts');
my $other = enqueue($node, 't1', '+34' . ++$recipient);
wait_status($node, $other, 'accepted', 'and sends: what it reads of the past need not have a number');

is((grep { $_ != 1 } values %{ accepted_for($sim) }), 0, 'nothing that had arrived was sent again');
invariants_hold($node);
$node->stop;
done_testing();
