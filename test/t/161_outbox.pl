# An application's database without any library of ours, and a sidecar: what is committed is sent once, what is rolled
# back never; what is wrong comes back and stops nothing; the application does not notice that the sidecar is away; what
# replication leaves out is found.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaOutbox qw(new_pair work sent_by_key distribution);
use WaTest qw(wait_for_senders logged_nothing_bad);

my ($application, $sidecar, $simulator) = new_pair(simulator => ['--webhook-pull']);
wait_for_senders($sidecar, 'sidecar', 1);

sub app { return $application->safe_psql('app', $_[0], extra_params => [ '-U', 'app' ]) }

sub app_waits_for
{
	my ($query, $what) = @_;
	ok($application->poll_query_until('app', $query), $what) or diag($application->safe_psql('app', 'SELECT * FROM whatsapp_messages ORDER BY created_at'));
	return;
}

sub status { return "SELECT status FROM whatsapp_messages WHERE id = $_[0]" }

# What the sidecar had before the subscription was made is copied.
$application->poll_query_until('app', q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel}) or die 'results are not copied';

# ---- there and back -----------------------------------------------------------------------------

is($application->safe_psql('app', 'SHOW shared_preload_libraries'), '', 'the application\'s server has no library');
my $id = app(q{SELECT wa_enqueue_message('t1', '+34 611 00 00 01', 'aviso', '["hola"]', reference => 'TRI-1', idempotency_key => 'k1')});
app(q{BEGIN; SELECT wa_enqueue_message('t1', '+34611000002', 'aviso', '["nunca"]'); ROLLBACK});
app_waits_for("SELECT status = 'accepted' FROM whatsapp_messages WHERE id = $id", 'what was committed is accepted, and the application knows');
is(app(q{SELECT tenant_id, recipient_phone, status, created_at < now(), error_message
	FROM whatsapp_messages WHERE created_at > NOW() - INTERVAL '24 hours' ORDER BY created_at DESC}),
	't1|+34611000001|accepted|t|', 'the query of the manual shows it, and nothing that was rolled back');
is(app(q{SELECT wa_enqueue_message('t1', '+34611000009', 'aviso', '["otra"]', idempotency_key => 'k1')}), $id,
	'a call with the same key returns the first ID');
is(app(q{SELECT wa_enqueue_message(7, '+34611000001', 'aviso') > 0}), 't', 'a tenant ID may be of any type');

# Statuses and replies travel by webhooks to the sidecar, and from there.
sub webhooks
{
	foreach my $post ($simulator->all_webhooks)
	{
		my $body = unpack 'H*', $post->{body};
		$sidecar->safe_psql('sidecar', "SELECT wa_webhook_ingest(decode('$body', 'hex'), '$post->{signature}')");
	}
	return;
}
webhooks();
app_waits_for("SELECT status IN ('sent', 'delivered', 'read') FROM whatsapp_messages WHERE id = $id", 'its delivery comes back');
$simulator->control('POST', 'inbound',
	{ number => '100000000000001', from => '+34611000001', type => 'text', text => { body => 'BAJA' } });
webhooks();
app_waits_for(q{SELECT count(*) = 1 FROM whatsapp_inbound_messages WHERE tenant_id = 't1' AND text = 'BAJA'}, 'so does a reply');
app_waits_for(q{SELECT count(*) > 0 FROM whatsapp_opt_outs WHERE recipient = '+34611000001'}, 'and that the customer wants no more');
$sidecar->safe_psql('sidecar', q{SELECT wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Hola {{1}}"}]')});
app_waits_for(q{SELECT status = 'APPROVED' FROM whatsapp_templates WHERE name = 'pedido'}, 'and the templates');

# Every kind of message arrives as it was meant: the customer of t1 has opened the window.
my @kinds = map { app($_) } q{SELECT wa_enqueue_text('t1', '+34611000001', 'texto', true)},
  q{SELECT wa_enqueue_media('t1', '+34611000001', 'document', 'https://example.es/x.pdf', caption => 'factura', filename => 'f.pdf')},
  q{SELECT wa_enqueue_interactive('t1', '+34611000001', '{"type": "button", "body": {"text": "¿?"}, "action": {"buttons": [{"type": "reply", "reply": {"id": "s", "title": "Sí"}}]}}')},
  q{SELECT wa_enqueue_payload('t1', '+34611000001', 'location', '{"latitude": 41.4, "longitude": 2.2}', priority => 3)};
app_waits_for('SELECT count(*) = 4 FROM whatsapp_messages WHERE status NOT IN (\'queued\', \'sending\') AND id IN (' . join(', ', @kinds) . ')', 'every kind arrives');
is(app('SELECT string_agg(concat_ws(\' \', message_type, status, priority), \', \' ORDER BY id) FROM whatsapp_messages WHERE id IN (' . join(', ', @kinds) . ')'),
	'text accepted 0, document accepted 0, interactive accepted 0, location accepted 3', 'as what it is')
  or diag(app('SELECT * FROM whatsapp_messages'));
my %sent = map { $_->{message}{type} => $_->{message} } $simulator->accepted;
is_deeply([ @{ $sent{text}{text} }{qw(body)}, @{ $sent{document}{document} }{qw(caption filename link)}, $sent{location}{location}{latitude} + 0 ],
	[ 'texto', 'factura', 'f.pdf', 'https://example.es/x.pdf', 41.4 ], 'with its content');

# Many have a stream of their own.
is(app(q{SELECT count(*) FROM wa_enqueue_bulk('t2', 'aviso', (SELECT jsonb_agg('+346120000' || i) FROM generate_series(10, 59) AS i), '["hola"]', idempotency_key => 'mailing')}),
	50, 'many are enqueued');
app_waits_for(q{SELECT count(*) = 50 FROM whatsapp_messages WHERE tenant_id = 't2' AND status = 'accepted'}, 'and sent');
is(app(q{SELECT count(*) FROM wa_enqueue_bulk('t2', 'aviso', (SELECT jsonb_agg('+346120000' || i) FROM generate_series(10, 59) AS i), '["hola"]', idempotency_key => 'mailing')}),
	50, 'the same again');
is(app(q{SELECT count(*) FROM whatsapp_messages WHERE tenant_id = 't2'}), 50, 'writes nothing');

# ---- what is wrong ----------------------------------------------------------------------------------

my $wrong = app(q{SELECT wa_enqueue_message('nadie', '+34611000003', 'aviso', '["x"]', idempotency_key => 'w')});
my $late = app(q{SELECT wa_enqueue_text('t1', '+34611000004', 'fuera de plazo')});
my $right = app(q{SELECT wa_enqueue_message('t1', '+34611000005', 'aviso', '["x"]')});
app_waits_for("SELECT status = 'accepted' FROM whatsapp_messages WHERE id = $right", 'a message behind two that are wrong is sent');
is(app(qq{SELECT status, status_reason, sqlstate, split_part(error_message, E'\\n', 1) FROM whatsapp_messages WHERE id IN ($wrong, $late) ORDER BY id}),
	qq{failed|rejected|42704|tenant "nadie" does not exist\nfailed|rejected|55000|the 24-hour window of this recipient is closed}, 'and those say why');
is($sidecar->safe_psql('sidecar', 'SELECT sum(apply_error_count) FROM pg_stat_subscription_stats'), 0, 'without an error where they arrive');
$sidecar->safe_psql('sidecar', q{SELECT wa_assign_phone('nadie', '100000000000009')});
is($sidecar->safe_psql('sidecar', q{SELECT whatsapp_outbox.retry(key) FROM whatsapp_outbox.result WHERE outcome = 'rejected' AND idempotency_key = 'w'}),
	'enqueued', 'once the tenant exists it can be taken again');
app_waits_for("SELECT status = 'accepted' FROM whatsapp_messages WHERE id = $wrong", 'and is sent');
$sidecar->safe_psql('sidecar', q{INSERT INTO whatsapp_outbox.outbox VALUES (gen_random_uuid(), 1, 'otra', 't1', NULL, '{}', false, now())});
is($sidecar->safe_psql('sidecar', q{SELECT message FROM whatsapp_outbox.result WHERE sqlstate = '22023'}), 'unknown kind "otra" in the outbox',
	'what a newer application writes stops nothing');
my $again = app(q{SELECT wa_enqueue_message('nadie2', '+34611000006', 'aviso', '["x"]', idempotency_key => 'again')});
app_waits_for("SELECT status = 'failed' FROM whatsapp_messages WHERE id = $again", 'what was rejected');
isnt(app(q{SELECT wa_enqueue_message('nadie2', '+34611000006', 'aviso', '["x"]', idempotency_key => 'again')}), $again, 'gives its key back');

# What is nobody's mistake does stop it: then it is right to wait.
$sidecar->safe_psql('sidecar', 'REVOKE EXECUTE ON FUNCTION whatsapp_sidecar.wa_enqueue_message(text, text, text, jsonb, text, timestamptz, timestamptz, integer, text, text, text) FROM whatsapp_outbox');
my $held = app(q{SELECT wa_enqueue_message('t3', '+34611000007', 'aviso', '["x"]')});
ok($sidecar->poll_query_until('sidecar', 'SELECT sum(apply_error_count) > 0 FROM pg_stat_subscription_stats'), 'an operator\'s mistake is no result');
like($sidecar->safe_psql('sidecar', q{SELECT state || ' ' || detail FROM whatsapp_outbox.health() WHERE item = 'subscription whatsapp_outbox'}),
	qr/^(warning|error) .* errors since the last reset/, 'the health tells');
$sidecar->safe_psql('sidecar', q{SELECT wa_grant('whatsapp_outbox', 'sender')});
app_waits_for("SELECT status = 'accepted' FROM whatsapp_messages WHERE id = $held", 'and once it is mended, the message is sent');

# ---- the sidecar away -----------------------------------------------------------------------------------

$sidecar->stop('immediate');
my @while_away = map { app("SELECT wa_enqueue_message('t3', '+3461300000$_', 'aviso', '[\"x\"]')") } 1 .. 5;
my $expired = app(q{SELECT wa_enqueue_message('t3', '+34613000009', 'aviso', '["x"]', expires_at => clock_timestamp() + '10 ms')});
is(app(q{SELECT DISTINCT status, status_reason FROM whatsapp_messages WHERE tenant_id = 't3' AND recipient_phone LIKE '+3461300%'}), 'queued|outbox',
	'the application commits while the sidecar is away');
app_waits_for(q{SELECT state <> 'ok' FROM whatsapp.wa_outbox_health() WHERE item = 'slot whatsapp_outbox'}, 'and its health warns');
$sidecar->start;
app_waits_for("SELECT count(*) = 5 FROM whatsapp_messages WHERE status = 'accepted' AND id IN (" . join(', ', @while_away) . ')', 'when it is back they are sent');
app_waits_for("SELECT status = 'expired' FROM whatsapp_messages WHERE id = $expired", 'except one whose time has passed');

# ---- what replication leaves out ------------------------------------------------------------------------

# As after a failover to a shorter history: the sidecar believes to have had more than there is.
$sidecar->safe_psql('sidecar', 'ALTER SUBSCRIPTION whatsapp_outbox DISABLE');
$sidecar->poll_query_until('sidecar', q{SELECT count(*) = 0 FROM pg_stat_subscription WHERE subname = 'whatsapp_outbox' AND pid IS NOT NULL});
my $ahead = $application->safe_psql('app', 'SELECT pg_current_wal_lsn() + 100000000');
$sidecar->safe_psql('sidecar', qq{SELECT pg_replication_origin_advance('pg_' || oid, '$ahead') FROM pg_subscription WHERE subname = 'whatsapp_outbox';
	ALTER SUBSCRIPTION whatsapp_outbox ENABLE});
my @skipped = map { app("SELECT wa_enqueue_message('t1', '+3461400000$_', 'aviso', '[\"x\"]')") } 1 .. 8;
my $nowhere = $application->safe_psql('app', 'SELECT pg_current_wal_lsn()');
ok($application->poll_query_until('app', qq{SELECT confirmed_flush_lsn > '$nowhere' FROM pg_replication_slots WHERE slot_name = 'whatsapp_outbox'}),
	'replication has gone past them');
my $list = join ', ', @skipped;
is(app("SELECT count(*) FROM whatsapp_messages WHERE status_reason = 'outbox' AND id IN ($list)"), 8, 'and left them out, without a word');
is($sidecar->safe_psql('sidecar', q{SELECT whatsapp_outbox.reconcile('0', 3)}), 8, 'the reconciliation takes them, page by page');
is($sidecar->safe_psql('sidecar', q{SELECT whatsapp_outbox.reconcile('0')}), 0, 'once');
app_waits_for("SELECT count(*) = 8 FROM whatsapp_messages WHERE status = 'accepted' AND id IN ($list)", 'they are sent');

# The other direction: results that were received and lost.
$application->safe_psql('app', "SET session_replication_role = replica; DELETE FROM whatsapp_outbox.result WHERE outbox_id = $skipped[0];
	UPDATE whatsapp_sidecar.whatsapp_messages SET status = 'queued' WHERE recipient_phone = '+34614000002'");
$sidecar->safe_psql('sidecar', q{SELECT whatsapp_outbox.reconcile('0')});
is(app("SELECT status FROM whatsapp_messages WHERE id = $skipped[0]"), 'accepted', 'a result that was lost is brought again');
is($sidecar->safe_psql('sidecar', 'SELECT whatsapp_outbox.compare()'), 1, 'a status that was lost is noticed');
is(app("SELECT status FROM whatsapp_messages WHERE id = $skipped[1]"), 'accepted', 'and brought again');

# ---- retention ----------------------------------------------------------------------------------------------

$application->safe_psql('app', "UPDATE whatsapp_outbox.outbox SET created_at = created_at - interval '8 days' WHERE id IN ($skipped[0], $skipped[1]);
	DELETE FROM whatsapp_outbox.result WHERE outbox_id = $skipped[1]");
my $known = $sidecar->safe_psql('sidecar', 'SELECT count(*) FROM whatsapp_outbox.result');
$sidecar->safe_psql('sidecar', qq{UPDATE whatsapp_outbox.result SET taken_at = taken_at - interval '31 days' WHERE outbox_id IN ($wrong, $late, $skipped[2]);
	SELECT whatsapp_outbox.clean()});
is($application->safe_psql('app', "SELECT count(*) FROM whatsapp_outbox.outbox WHERE id = $skipped[0]"), 0, 'an old row that has a result goes');
is($application->safe_psql('app', "SELECT count(*) FROM whatsapp_outbox.outbox WHERE id = $skipped[1]"), 1, 'one that has none here stays');
is($sidecar->safe_psql('sidecar', 'SELECT count(*) FROM whatsapp_outbox.result'), $known, 'a key stays for as long as the outbox has its row');
$application->safe_psql('app', "DELETE FROM whatsapp_outbox.outbox WHERE id = $late");
$sidecar->safe_psql('sidecar', 'SELECT whatsapp_outbox.clean()');
is($sidecar->safe_psql('sidecar', "SELECT count(*) FROM whatsapp_outbox.result WHERE outbox_id = $late"), 0, 'and goes after it');
is($sidecar->safe_psql('sidecar', q{SELECT whatsapp_outbox.reconcile('0')}), 0, 'nothing comes back by that');
is($application->safe_psql('app', "SELECT whatsapp.wa_enqueue_message('t1', '+34611000001', 'aviso', '[]', idempotency_key => 'k1')"), $id,
	'an idempotency key is known from the result, too');

$application->safe_psql('app', "DELETE FROM whatsapp_outbox.outbox WHERE id = $skipped[1]");

# ---- the end: once each --------------------------------------------------------------------------------------

is(work($sidecar), 0, 'all of it together finds nothing left out');
is($sidecar->safe_psql('sidecar', q{SELECT string_agg(item || ' ' || detail, '; ') FROM whatsapp_outbox.health() WHERE state = 'error'}), '', 'the sidecar is well');
is($application->safe_psql('app', q{SELECT string_agg(item || ' ' || detail, '; ') FROM whatsapp.wa_outbox_health() WHERE state = 'error'}), '', 'so is the other side');
my ($count, $time) = sent_by_key($sidecar, $simulator);
is_deeply([ grep { $count->{$_} != 1 } sort keys %$count ], [], 'no message reached a person twice');
my %written = map { split /\|/ } split /\n/, $application->safe_psql('app', 'SELECT key, extract(epoch FROM created_at) FROM whatsapp_outbox.outbox');
note('from the call to the wire: ', distribution(map { $time->{$_} - $written{$_} } grep { $written{$_} } keys %$time));
is($sidecar->safe_psql('sidecar', 'SELECT count(*) FROM whatsapp_outbox.outbox'), 0, 'the sidecar keeps no row of the outbox');
is($sidecar->safe_psql('sidecar', q{SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'whatsapp_outbox.outbox'::regclass}), 'whatsapp_outbox',
	'and what enqueues there is no superuser');

# In this order: what sends to a subscriber that believes to be ahead never ends by itself.
$sidecar->stop;
$application->stop;
done_testing();
