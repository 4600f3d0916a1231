# From the commit of an opt-out on no request begins for that person, whatever the
# message has waited for; and what is no template leaves only while its service
# window is open.  WA_OPT_OUT_QUEUE: how many messages wait (100,000).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../lib";

use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WaDelivery qw(new_delivery enqueue wait_for wait_status deliver_webhooks hand_in invariants_hold);
use WaLoad qw(stopwatch);
use WaTest qw(sender_pids set_and_reload);

my ($node, $sim) = new_delivery(
	'consent',
	tenants   => 4,
	simulator => ['--webhook-pull'],
	settings  => [ "whatsapp_shared.retry_delay = '1h'", "whatsapp_shared.pair_interval = 0" ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# What one message became, and how many requests were made for it.
sub requests_of
{
	my ($id) = @_;
	return scalar grep { ($_->{message}{biz_opaque_callback_data} // '') =~ /^wa1:[^:]*:$id:/ } $sim->requests(0, incomplete => 1);
}

sub is_skipped
{
	my ($id, $what, $requests) = @_;
	wait_for($node, "SELECT (status, status_reason) = ('skipped', 'opted_out') FROM whatsapp_messages WHERE id = $id", "$what: skipped");
	return is(requests_of($id), $requests // 0, "$what: not sent");
}

# ---- whatever it has waited for ---------------------------------------------------------

# A claim that stands between its lease and the COMMIT.
sql(<<'SQL');
CREATE TABLE public.gate (opened boolean);
GRANT SELECT ON public.gate TO PUBLIC;
CREATE FUNCTION public.wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        EXIT WHEN EXISTS (SELECT FROM public.gate);
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER wait_at_gate AFTER INSERT ON whatsapp_leases EXECUTE FUNCTION public.wait_at_gate();
SQL
my $leased = enqueue($node, 't1', '+34611480001');
wait_for($node, q{SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE backend_type = 'whatsapp_shared sender'}, 'a message is being leased');
sql(q{SELECT wa_opt_out('t1', '+34611480001')});
sql('INSERT INTO public.gate VALUES (true)');
is_skipped($leased, 'leased and not begun');
sql('DROP TRIGGER wait_at_gate ON whatsapp_leases');

# Held; deferred for a retry; scheduled; set aside behind another one to the same person.
sql(q{SELECT wa_pause('tenant', 't2', 'the test')});
$sim->faults({ match => { recipient => '34611480003', first => 1 }, code => 131016, status => 500 }, { match => { recipient => '34611480005' }, delay_ms => 5000 });
my %waiting = (held => enqueue($node, 't2', '+34611480002'), retried => enqueue($node, 't1', '+34611480003'),
	scheduled => enqueue($node, 't1', '+34611480004', scheduled_at => q{now() + interval '1 month'}));
wait_for($node, "SELECT count(*) = 1 FROM whatsapp_attempts WHERE message_id = $waiting{retried}", 'an attempt fails');
$sim->hold_answers;
my $before = enqueue($node, 't1', '+34611480005');
wait_for($node, "SELECT status = 'sending' FROM whatsapp_messages WHERE id = $before", 'a message is on the wire');
$waiting{'set aside'} = enqueue($node, 't1', '+34611480005');
sql(q{INSERT INTO whatsapp_opt_outs (tenant_id, recipient) SELECT t, '+3461148000' || i FROM (VALUES ('t1'), ('t2')) AS v (t), generate_series(2, 5) AS i});
is(sql("SELECT string_agg(DISTINCT reason, ' ') FROM unnest(ARRAY[" . join(',', values %waiting) . ']::bigint[]) AS id, wa_explain(id)'),
	'opted_out', 'wa_explain() knows of all of them at once');
$sim->answer(5000);
is_skipped($waiting{$_}, $_, $_ eq 'retried' ? 1 : 0) foreach sort keys %waiting;
wait_status($node, $before, 'accepted', 'what was on the wire has arrived');
sql(q{SELECT wa_opt_in('t1', '+34611480003'), wa_resume('tenant', 't2')});

# Handed over, but the handshake with the peer takes for ever.
my $mute = IO::Socket::INET->new(Listen => 10, LocalAddr => '127.0.0.1') or die "could not listen: $!";
set_and_reload($node, graph_url => 'https://127.0.0.1:' . $mute->sockport, connect_timeout => '120s', request_timeout => '600s');
my $began = time;
my $connecting = enqueue($node, 't1', '+34611480011');
my $paused = enqueue($node, 't2', '+34611480012');
wait_for($node, 'SELECT sum(in_flight) = 2 FROM wa_stats()', 'two requests wait for a connection');
sql(q{SELECT wa_opt_out('t1', '+34611480011')});
is_skipped($connecting, 'waiting for a connection');
is(sql('SELECT sum(in_flight) FROM wa_stats()'), 1, 'the other one still waits');
sql(q{SELECT wa_pause('tenant', 't2', 'the test')});
wait_for($node, 'SELECT sum(in_flight) = 0 FROM wa_stats()', 'until its tenant is paused');
cmp_ok(time - $began, '<', 100, 'before it is given up');
set_and_reload($node, graph_url => $sim->url, connect_timeout => undef, request_timeout => undef);
sql(q{SELECT wa_resume('tenant', 't2')});
wait_status($node, $paused, 'accepted', 'and leaves when it may');
is(sql("SELECT string_agg(attempts::text, ' ' ORDER BY id) FROM whatsapp_messages WHERE id IN ($connecting, $paused)"), '0 1', 'what never began was no attempt');
close $mute;

# Its template becomes marketing while it waits.
sql(q{SELECT wa_register_template('aviso', 'es', '[{"type": "BODY", "text": "{{1}}"}]'), wa_opt_out('t1', '+34611480006'), wa_pause('tenant', 't1', 'the test')});
my $recategorised = enqueue($node, 't1', '+34611480006');
is(sql("SELECT state FROM whatsapp_queue WHERE message_id = $recategorised"), 'r', 'an order waits');
$sim->event('template_category_update', { message_template_id => 1, message_template_name => 'aviso', message_template_language => 'es',
	previous_category => 'UTILITY', new_category => 'MARKETING' });
deliver_webhooks($node, $sim);
is_skipped($recategorised, 'Meta says that it is marketing');
sql(q{SELECT wa_resume('tenant', 't1')});

# ---- words, and what people hear --------------------------------------------------------

sub word
{
	my ($text) = @_;
	sql('DELETE FROM whatsapp_opt_outs');
	$sim->inbound(number => '100000000000001', from => '+34611480007', type => 'text', text => { body => $text });
	deliver_webhooks($node, $sim);
	return sql(q{SELECT string_agg(DISTINCT category, ' ') FROM whatsapp_opt_outs WHERE recipient = '+34611480007'});
}
sub edited_word
{
	my ($text) = @_;
	sql('DELETE FROM whatsapp_opt_outs');
	my %from = (number => '100000000000001', from => '+34611480007');
	my $id = $sim->inbound(%from, type => 'text', text => { body => 'Hola' });
	$sim->inbound(%from, type => 'edit', edit => { original_message_id => $id, message => { type => 'text', text => { body => $text } } });
	hand_in($node, $sim->webhooks(1000, 0));
	return sql(q{SELECT string_agg(DISTINCT category, ' ') FROM whatsapp_opt_outs WHERE recipient = '+34611480007'});
}
sql(q{UPDATE whatsapp_templates SET category = 'UTILITY'});
is(word('BAJA'), 'marketing', 'a word stops marketing');
is(edited_word('BAJA'), 'marketing', 'also one that an edit has made of another');
wait_status($node, enqueue($node, 't1', '+34611480007'), 'accepted', 'and no order');
set_and_reload($node, opt_out_scope => 'all');
is(word('BAJA'), 'all', 'or everything, if the operator says so');
is(word('Stop promotions'), 'marketing', 'but not by Meta\'s own button');
set_and_reload($node, opt_out_scope => undef);
sql(q{SELECT wa_pause('tenant', 't1', 'the test')});
my @orders = map { enqueue($node, 't1', '+34611480007') } 1 .. 3;
is(word('STOP ALL'), 'all', 'the customer may say so, too');
sql(q{SELECT wa_resume('tenant', 't1')});
is_skipped($_, 'an order for one who wants nothing at all') foreach @orders;
is(sql(q{SELECT count(*) || ' ' || sum(occurrences) FROM whatsapp_alerts WHERE kind = 'opted_out_of_all'}), '1 1', 'one alert tells of it');

# ---- the service window -------------------------------------------------------------------

sql(q{SELECT wa_pause('tenant', 't3', 'the test')});
sql(q{INSERT INTO whatsapp_windows VALUES ('100000000000003', '+34611480008', now() - interval '23 hours')});
my %text = (
	open    => sql(q{SELECT wa_enqueue_text('t3', '+34611480008', 'hola')}),
	plain   => sql(q{SELECT wa_enqueue_text('t3', '+34611480008', 'hola')}),
	replied => sql(q{SELECT wa_enqueue_text('t3', '+34611480008', 'hola', fallback_template => 'aviso', fallback_parameters => '["hola"]')}));
sql("SELECT wa_cancel_message($text{open})");
sql(q{UPDATE whatsapp_windows SET last_inbound_at = now() - interval '25 hours' WHERE recipient = '+34611480008'});
sql(q{SELECT wa_resume('tenant', 't3')});
wait_status($node, $text{plain}, 'failed', 'the window of a text has closed while it waited');
is(sql("SELECT error_code || ' ' || status_reason FROM whatsapp_messages WHERE id = $text{plain}"), '131047 window_closed', 'for Meta\'s reason');
is(requests_of($text{plain}), 0, 'and without asking');
wait_status($node, $text{replied}, 'accepted', 'one with a fallback leaves');
my ($sent) = grep { ($_->{message}{biz_opaque_callback_data} // '') =~ /^wa1:[^:]*:$text{replied}:/ } $sim->requests(0, incomplete => 1);
is($sent->{message}{template}{name}, 'aviso', 'as the template');
is($sent->{message}{text}, undef, 'and as nothing else');

# ---- conversations that another application has ------------------------------------------------

my %person = (number => '100000000000003', user => '+34611480021');
my $clock = time - 1000;
sub told
{
	my ($what, @more) = @_;
	my %at = (number => $person{number}, timestamp => $clock += 10);
	if ($what =~ /^control/) { $sim->handover(%at, user => $person{user}, control => $what, owner => 'ai_agent') }
	else { $sim->inbound(%at, from => $person{user}, field => $what, type => 'text', text => { body => 'hola' }) }
	hand_in($node, $sim->webhooks(1000, 0));
	return;
}
sub send_text { return sql(qq{SELECT wa_enqueue_text('t3', '$person{user}', 'hola')}) }
sub is_held
{
	my ($id, $what) = @_;
	wait_for($node, "SELECT (state, hold_reason) = ('h', 'thread_taken') FROM whatsapp_queue WHERE message_id = $id", $what);
	return is(requests_of($id), 0, 'and takes nothing over');
}
told('messages');
$sim->inbound(number => $person{number}, timestamp => $clock += 10, from => $person{user}, type => 'reaction', reaction => { message_id => 'wamid.Later', emoji => '👍' });
hand_in($node, $sim->webhooks(1000, 0));
sql(qq{INSERT INTO whatsapp_wamids (whatsapp_message_id, message_id) VALUES ('wamid.Later', $text{plain})});
told('control_taken');
my $answer = send_text();
is_held($answer, 'an answer waits while another one has the conversation');
is(sql("SELECT reason FROM wa_explain($answer)"), 'thread_taken', 'as wa_explain() says');
wait_status($node, enqueue($node, 't3', $person{user}), 'accepted', 'a template does not wait, nor behind it');
told('standby');
is_held($answer, 'also when the customer has written to the other one');
told('control_passed');
wait_status($node, $answer, 'accepted', 'and leaves when the conversation is passed back');
told('control_taken');
$answer = send_text();
is_held($answer, 'taken again');
told('messages');
wait_status($node, $answer, 'accepted', 'it leaves when the customer writes to us');
told('control_taken');
$answer = send_text();
is_held($answer, 'and once more');
sql(q{SELECT wa_configure_tenant('t3', on_thread => 'take_over')});
wait_status($node, $answer, 'accepted', 'a tenant may take conversations over');
wait_status($node, send_text(), 'accepted', 'whenever it writes');
sql(q{SELECT wa_configure_tenant('t3', on_thread => 'hold')});
$answer = send_text();
is_held($answer, 'or no longer');
sql(qq{UPDATE whatsapp_windows SET last_inbound_at = now() - interval '25 hours' WHERE recipient = '$person{user}'});
sql('SELECT wa_worker_restart()');    # new ones look at all that is held
wait_status($node, $answer, 'failed', 'and it fails when the window closes');
wait_for($node, qq{SELECT message_id = $text{plain} FROM whatsapp_inbound_messages WHERE context_whatsapp_message_id = 'wamid.Later'},
	'and at reactions that came before their message was known');

# ---- in a long queue ------------------------------------------------------------------------

# People opt out one after the other who are next, or nearly; their commit is compared
# with what arrives.
my $n = $ENV{WA_OPT_OUT_QUEUE} // 100_000;
$sim->faults;
sql(q{UPDATE whatsapp_templates SET category = 'MARKETING'; UPDATE whatsapp_phone_numbers SET messages_per_second = 500 WHERE phone_number_id = '100000000000004'});
sql(<<"SQL");
CREATE TABLE public.opted (recipient text, committed_at timestamptz);
CREATE PROCEDURE public.opt_out(times integer) LANGUAGE plpgsql AS \$\$
DECLARE
    who text;
BEGIN
    FOR i IN 1 .. times LOOP
        SELECT m.recipient_phone INTO who
            FROM public.whatsapp_queue AS q JOIN public.whatsapp_messages AS m ON m.id = q.message_id
            WHERE q.phone_number_id = '100000000000004' AND q.state = 'r'
            ORDER BY q.rank, q.message_id OFFSET i % 40 LIMIT 1;
        PERFORM public.wa_opt_out('t4', who);
        COMMIT;
        INSERT INTO public.opted VALUES (who, clock_timestamp());
        COMMIT;
        PERFORM pg_sleep(0.004); /* two more messages leave meanwhile */
    END LOOP;
END
\$\$;
SELECT count(wa_enqueue_message('t4', '+34700' || lpad(i::text, 7, '0'), 'aviso', '["hola"]')) FROM generate_series(1, $n) AS i
SQL
wait_for($node, q{SELECT count(*) >= 100 FROM whatsapp_messages WHERE tenant_id = 't4' AND status = 'accepted'}, "$n messages are being sent");
my $watch = stopwatch(sender_pids($node, 'postgres'));
sql('CALL public.opt_out(400)');
wait_for($node, q{SELECT bool_and(m.status <> 'queued') FROM whatsapp_messages AS m WHERE m.recipient_phone IN (SELECT recipient FROM public.opted)},
	'nothing is left to those who have opted out');
my $busy = 1000 * $watch->waited;    # ms for which the sender could not run
sql(q{SELECT wa_pause('tenant', 't4', 'the test')});
my %committed = map { split /\|/ } split /\n/, sql('SELECT recipient, extract(epoch FROM min(committed_at)) FROM public.opted GROUP BY recipient');
my @late = sort { $a <=> $b } map { ($_->{time} - $committed{ $_->{to} }) * 1000 } grep { defined $committed{ $_->{to} } } $sim->requests(0, incomplete => 1);
my @after = grep { $_ > 0 } @late;
my $skipped = sql(q{SELECT count(*) FROM whatsapp_messages WHERE tenant_id = 't4' AND status = 'skipped'});
diag(sprintf '%d opted out, %d of them in time; %d requests began after the commit, the last %.2f ms', scalar keys %committed, $skipped,
	scalar @after, $after[-1] // 0);
cmp_ok($skipped, '>', 100, 'many are in time');
cmp_ok($after[-1] // 0, '<=', 50 + $busy, 'nothing begins 50 ms after the commit');

invariants_hold($node);
$node->stop;
done_testing();
