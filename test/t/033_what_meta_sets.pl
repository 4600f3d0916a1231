# What Meta's answers and webhooks may set here, and no more: a slip of a digit, or a
# clock that is wrong, at the other end must not stop anything for days, nor unseen.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256_hex);
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status invariants_hold);
use WaTest qw(end_child set_and_reload);

my ($node, $sim) = new_delivery('what_meta_sets',
	settings => ["whatsapp_shared.business_account_id = '300000000000001'"]);

sub sql { my $result = $node->safe_psql('postgres', $_[0]); return $result }

sub webhook
{
	my ($change, $entry) = @_;
	$entry //= '';
	my $body = qq({"object":"whatsapp_business_account","entry":[{"id":"300000000000001",$entry"changes":[$change]}]});
	my $signature = 'sha256=' . hmac_sha256_hex($body, 'SIMULATOR_APP_SECRET');
	return sql("SELECT wa_webhook_ingest(convert_to('$body', 'UTF8'), '$signature')");
}

# ---- Retry-After -------------------------------------------------------------------------

my $forever = 100_000_000;
$sim->faults({ match => { recipient => '+34612000001' }, times => 1, code => 130429, status => 429, retry_after => $forever });
my $id = enqueue($node, 't1', '+34612000001');
wait_for($node, q{SELECT EXISTS (SELECT FROM whatsapp_pauses WHERE scope = 'number' AND key = '100000000000001')},
	'a throttle that is to last for years is a pause');
is(sql(q{SELECT reason || ' ' || error_code || ' ' || automatic || ' ' || (until BETWEEN now() + interval '8 minutes' AND now() + interval '10 minutes')
	FROM whatsapp_pauses}), 'error_130429 130429 true true', 'with its reason, for ten minutes');
like(sql("SELECT reason || ': ' || explanation FROM wa_explain($id)"), qr/^number_paused: .*error_130429/, 'wa_explain() sees it');
is(sql("SELECT attempts FROM whatsapp_messages WHERE id = $id"), '0', 'it is no attempt');
is(sql("SELECT wa_resume('number', '100000000000001')"), 't', 'it can be lifted');
wait_status($node, $id, 'accepted', 'and then the message goes');

$sim->faults({ match => { recipient => '+34612000002' }, times => 1, code => 130429, status => 429, retry_after => 20 });
$id = enqueue($node, 't2', '+34612000002');
wait_for($node, q{SELECT EXISTS (SELECT FROM whatsapp_pauses WHERE key = '100000000000002' AND until < now() + interval '20 seconds')},
	'so is one of some seconds');
sql("SELECT wa_resume('number', '100000000000002')");
wait_status($node, $id, 'accepted');

$sim->faults({ match => { recipient => '+34612000003' }, times => 1, code => 131016, status => 503, retry_after => $forever });
$id = enqueue($node, 't1', '+34612000003');
wait_for($node, "SELECT q.hold_reason = 'retry' FROM whatsapp_queue AS q WHERE q.message_id = $id", 'a message that is to be retried waits');
is(sql("SELECT due_at <= now() + interval '10 minutes' FROM whatsapp_queue WHERE message_id = $id"), 't', 'for ten minutes at most');
sql("SELECT wa_cancel_message($id)");

$sim->faults({ match => { recipient => '+34612000004' }, times => 1, code => 80007, status => 429, retry_after => $forever });
$id = enqueue($node, 't1', '+34612000004');
wait_for($node, q{SELECT EXISTS (SELECT FROM whatsapp_pauses WHERE scope = 'account' AND until <= now() + interval '10 minutes')},
	'the account is paused for no longer');
sql("SELECT wa_resume('account')");
wait_status($node, $id, 'accepted');

# ---- times ---------------------------------------------------------------------------------

my $ahead = time + 20 * 3600;
webhook(qq({"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"34600000001",)
	  . qq("phone_number_id":"100000000000001"},"messages":[{"from":"34612000005","id":"wamid.AHEAD","timestamp":"$ahead",)
	  . qq("type":"text","text":{"body":"hola"}}]}}));
is(sql(q{SELECT bool_and(sent_at <= now()) FROM whatsapp_inbound_messages}),
	't', 'a message from the future has come now');

sql(q{UPDATE whatsapp_phone_numbers SET display_phone_number = '+34 600 00 00 03' WHERE phone_number_id = '100000000000003'});

sub flag
{
	my ($event, $at) = @_;
	return webhook(qq({"field":"phone_number_quality_update","value":{"display_phone_number":"34600000003","event":"$event","current_limit":"TIER_2K"}}),
		qq("time":$at,));
}

flag('FLAGGED', $ahead);
is(sql(q{SELECT flagged_at <= now() FROM whatsapp_phone_numbers WHERE phone_number_id = '100000000000003'}),
	't', 'an event from the future has happened now');
flag('UNFLAGGED', time + 1);
is(sql(q{SELECT flagged_at IS NULL FROM whatsapp_phone_numbers WHERE phone_number_id = '100000000000003'}),
	't', 'and does not outlive what follows it');

is(sql(q{SELECT wa_internal_apply_token_state('{"data": {"is_valid": true, "expires_at": 1e300, "scopes": ["whatsapp_business_messaging", "whatsapp_business_management"]}}') IS NOT NULL}),
	't', 'a token may expire whenever Meta says');

# ---- a listing without an end ------------------------------------------------------------------

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 8) or die "could not listen: $!";
my $endless = fork // die "could not fork: $!";
if ($endless == 0)
{
	while (my $socket = $listener->accept)
	{
		my $request = '';
		while ($request !~ /\r\n\r\n/) { sysread($socket, $request, 4096, length $request) or last }
		my $page = '{"data":[{"id":"100000000000001"}],"paging":{"cursors":{"after":"AGAIN"},"next":"https://127.0.0.1/next"}}';
		syswrite($socket, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
			  . length($page) . "\r\n\r\n$page");
		close $socket;
	}
	exit 0;
}
set_and_reload($node, graph_url => 'http://127.0.0.1:' . $listener->sockport);
close $listener;
sql('SELECT wa_sync_phone_numbers()');
wait_for($node, q{SELECT error = 'the listing does not end' FROM whatsapp_sync WHERE kind = 'phone_numbers'},
	'a listing that leads to the same page again and again is given up');
is(sql(q{SELECT count(*) FROM whatsapp_phone_numbers WHERE missing_since IS NOT NULL}), '0', 'and nothing is taken to be missing for that');
end_child($endless);

invariants_hold($node);
$node->stop;
done_testing();
