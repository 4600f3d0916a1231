/*
 * Who wants which messages: what words say, under which names a person is known,
 * what becomes of messages that wait, and what people hear of it.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(64);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
SELECT wa_assign_phone('horno', '100000000000002') \g /dev/null
SELECT wa_register_template('oferta', 'es', '[{"type": "BODY", "text": "Oferta."}]', 'MARKETING') \g /dev/null
SELECT wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Pedido."}]', 'UTILITY') \g /dev/null
SELECT wa_register_template('aviso', 'es', '[{"type": "BODY", "text": "{{1}}"}]', 'UTILITY') \g /dev/null
CREATE FUNCTION pg_temp.fate(id bigint) RETURNS text LANGUAGE sql AS
    $$SELECT concat_ws(' ', m.status, m.status_reason) FROM whatsapp_messages AS m WHERE m.id = $1$$;
CREATE FUNCTION pg_temp.opt_outs() RETURNS text LANGUAGE sql AS
    $$SELECT COALESCE(string_agg(concat_ws(' ', recipient, category), ', ' ORDER BY recipient, category), 'none') FROM whatsapp_opt_outs$$;

/* ---- what words say ---- */

CREATE FUNCTION pg_temp.says(message text) RETURNS text LANGUAGE sql AS
    $$SELECT COALESCE((SELECT concat_ws(' ', c.action, CASE c.action WHEN 'out' THEN c.category END) FROM wa_internal_opt_choice($1) AS c), 'nothing')$$;
SELECT is(pg_temp.says(message), says, format('"%s"', message)) FROM (VALUES
    ('BAJA', 'out marketing'), ('  ¡Baja!  ', 'out marketing'), ('bájá', 'out marketing'), ('STOP 🛑', 'out marketing'), ('"stop"', 'out marketing'),
    ('Baja, por favor', 'out marketing'), ('baja por favor', 'out marketing'), ('Hola, quiero darme de baja. Gracias', 'out marketing'),
    (E'hola\nSTOP', 'out marketing'), ('Stop! No more of this', 'out marketing'), ('opt  out', 'out marketing'),
    ('stop please', 'out marketing'), ('Desabonner svp', 'out marketing'), ('Abmelden, bitte', 'out marketing'),
    ('Stop promotions', 'out marketing'), ('Detener promociones', 'out marketing'), ('Parar promoções', 'out marketing'),
    ('STOP ALL', 'out all'), ('stopall', 'out all'), ('Baja total', 'out all'), ('Hola. Baja de todo, por favor', 'out all'),
    ('la barra baja', 'nothing'), ('quiero la de la planta baja', 'nothing'), ('non-stop', 'nothing'), ('don''t stop', 'nothing'), ('hola', 'nothing'),
    ('¿está de baja?', 'nothing'), ('', 'nothing'), ('👍', 'nothing'),
    ('ALTA', 'in'), ('alta por favor', 'in'), ('Hola, alta en la panadería', 'nothing'), ('Sí. Alta', 'nothing'), ('START', 'in')) AS v (message, says);
INSERT INTO whatsapp_opt_words VALUES ('es', 'nada más', 'out', 'all') \g /dev/null
SELECT is(pg_temp.says('Nada mas'), 'out all', 'a site''s own word may say all');

/* ---- one person, several names ---- */

SELECT wa_internal_know('+34600000001', 'ES.1', NULL, now()) \g /dev/null
SELECT wa_opt_out('panaderia', '+34600000001') \g /dev/null
SELECT is(pg_temp.opt_outs(), '+34600000001 marketing, ES.1 marketing', 'who opts out by number does so by user ID');
SELECT is(wa_opt_in('panaderia', 'ES.1'), true, 'and opts in again');
SELECT is(pg_temp.opt_outs(), 'none', 'under both');
INSERT INTO whatsapp_opt_outs (tenant_id, recipient, category) VALUES ('panaderia', 'ES.1', 'all'), ('horno', 'ES.1', 'marketing') \g /dev/null
SELECT is(pg_temp.opt_outs(), '+34600000001 all, +34600000001 marketing, ES.1 all, ES.1 marketing', 'also when rows are inserted directly');
DELETE FROM whatsapp_opt_outs;
SELECT wa_opt_out('panaderia', '+34600000002'), wa_opt_out('panaderia', 'ES.3') \g /dev/null
SELECT wa_internal_know('+34600000002', NULL, NULL, now()), wa_internal_know('+34600000003', NULL, NULL, now()) \g /dev/null
SELECT is(pg_temp.opt_outs(), '+34600000002 marketing, ES.3 marketing', 'nothing is known of these');
SELECT wa_internal_know('+34600000002', 'ES.2', NULL, now()) \g /dev/null
SELECT is(pg_temp.opt_outs(), '+34600000002 marketing, ES.2 marketing, ES.3 marketing', 'until a user ID turns out to belong to the number');
SELECT wa_internal_know('+34600000003', 'ES.3', NULL, now()) \g /dev/null
SELECT is(pg_temp.opt_outs(), '+34600000002 marketing, +34600000003 marketing, ES.2 marketing, ES.3 marketing', 'or two customers to be one');
DELETE FROM whatsapp_opt_outs;

/* ---- what waits ---- */

SELECT wa_enqueue_message('panaderia', '+34600000001', 'oferta') AS ready,
    wa_enqueue_message('panaderia', '+34600000001', 'oferta', scheduled_at => now() + interval '1 month') AS scheduled,
    wa_enqueue_message('panaderia', '+34600000001', 'pedido') AS needed,
    wa_enqueue_message('panaderia', '+34600000009', 'oferta') AS other,
    wa_enqueue_message('horno', '+34600000001', 'oferta') AS elsewhere \gset
CREATE FUNCTION pg_temp.sweep(page integer DEFAULT 1000) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    at bigint := 0;
BEGIN
    WHILE at IS NOT NULL LOOP
        at := wa_internal_skip_opted_out(at, page);
    END LOOP;
END
$$;
SELECT wa_opt_out('panaderia', '+34600000001') \g /dev/null
SELECT pg_temp.sweep() \g /dev/null
SELECT is(pg_temp.fate(:ready), 'skipped opted_out', 'what is ready is skipped');
SELECT is(pg_temp.fate(:scheduled), 'skipped opted_out', 'and what is scheduled');
SELECT is(concat_ws(', ', pg_temp.fate(:needed), pg_temp.fate(:other), pg_temp.fate(:elsewhere)), 'queued, queued, queued', 'and nothing else');
SELECT is((SELECT count(*) FROM whatsapp_queue), 3::bigint, 'it has left the queue');
SELECT is((SELECT count(*) FROM whatsapp_alerts WHERE kind = 'opted_out_of_all'), 0::bigint, 'which nobody needs to hear of');
UPDATE whatsapp_templates SET category = 'UNKNOWN' WHERE name = 'pedido';
SELECT pg_temp.sweep(1) \g /dev/null
SELECT is(pg_temp.fate(:needed), 'skipped opted_out', 'a template becomes marketing, or might be, while a message waits');
UPDATE whatsapp_templates SET category = 'UTILITY' WHERE name = 'pedido';
SELECT wa_opt_in('panaderia', '+34600000001') \g /dev/null
SELECT pg_temp.sweep() \g /dev/null
SELECT is(pg_temp.fate(:ready), 'skipped opted_out', 'opting in again does not revive it');
SELECT is(wa_retry_message(:ready), true, 'a person may');
SELECT is(pg_temp.fate(:ready), 'queued', 'and has');

/* On the wire, or in doubt: its turn has come. */
INSERT INTO whatsapp_leases (sender, pid, generation, message_ids, attempts) VALUES (0, 1, 1, ARRAY[:ready::bigint], '{1}');
UPDATE whatsapp_queue SET state = 'u' WHERE message_id = :elsewhere;
INSERT INTO whatsapp_opt_outs (tenant_id, recipient) VALUES ('panaderia', '+34600000001'), ('horno', '+34600000001') ON CONFLICT DO NOTHING \g /dev/null
SELECT pg_temp.sweep() \g /dev/null
SELECT is(concat_ws(', ', pg_temp.fate(:ready), pg_temp.fate(:elsewhere)), 'queued, queued', 'what may be on the wire is left alone');
DELETE FROM whatsapp_leases;

/* ---- what people hear ---- */

CREATE FUNCTION pg_temp.alerts() RETURNS text LANGUAGE sql AS
    $$SELECT count(*) || ' open, ' || COALESCE(sum(occurrences), 0) || ' times' FROM whatsapp_alerts WHERE kind = 'opted_out_of_all' AND resolved_at IS NULL$$;
DELETE FROM whatsapp_opt_outs;
SELECT wa_opt_out('panaderia', '+34600000001', 'all') \g /dev/null
SELECT wa_enqueue_message('panaderia', '+34600000001', 'oferta') \g /dev/null
SELECT is(pg_temp.alerts(), '0 open, 0 times', 'marketing is skipped as it should be');
SELECT is(pg_temp.fate(wa_enqueue_message('panaderia', '+34600000001', 'pedido')), 'skipped opted_out', 'who wants nothing at all gets nothing');
SELECT is(pg_temp.alerts(), '1 open, 1 times', 'an alert says so');
SELECT wa_enqueue_message('panaderia', '+34600000001', 'pedido'), wa_enqueue_message('panaderia', 'ES.1', 'pedido') \g /dev/null
SELECT is(pg_temp.alerts(), '1 open, 1 times', 'once for each person');
SELECT wa_resolve_alert(alert_id) FROM whatsapp_alerts WHERE kind = 'opted_out_of_all' \g /dev/null
SELECT wa_enqueue_message('panaderia', '+34600000001', 'pedido') \g /dev/null
SELECT is(pg_temp.alerts(), '0 open, 0 times', 'also if it was dealt with');
SELECT wa_opt_in('panaderia', '+34600000001', 'all'), wa_enqueue_message('panaderia', '+34600000001', 'pedido'), wa_enqueue_message('panaderia', '+34600000001', 'pedido'),
    wa_opt_out('panaderia', '+34600000001', 'all') \g /dev/null
SELECT pg_temp.sweep() \g /dev/null
SELECT is(pg_temp.alerts(), '1 open, 1 times', 'a new opt-out may skip what waits, with an alert of its own');
SELECT wa_opt_in('panaderia', '+34600000001', 'all') \g /dev/null
SELECT is(pg_temp.alerts(), '0 open, 0 times', 'which opting in closes');

/* ---- something to fall back to ---- */

INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34600000001', now() - interval '23 hours');
SELECT throws_ok($$SELECT wa_enqueue_text('panaderia', '+34600000001', 'hola', fallback_template => 'aviso')$$, '22023', NULL, 'a fallback is checked while the window is open, too');
SELECT wa_enqueue_text('panaderia', '+34600000001', 'hola', fallback_template => 'aviso', fallback_parameters => '["hola"]') AS text,
    wa_enqueue_text('panaderia', '+34600000001', 'hola') AS plain \gset
SELECT is((SELECT string_agg(concat_ws(' ', message_id, template_name, template_language), ', ') FROM whatsapp_fallbacks), :text || ' aviso es', 'it is kept');
SELECT is((SELECT string_agg(concat_ws(' ', message_id, template_name, payload ->> 'name'), ', ') FROM wa_internal_use_fallbacks(ARRAY[:text, :plain]::bigint[])), :text || ' aviso aviso', 'and used when it is needed');
SELECT is((SELECT concat_ws(' ', message_type, template_name, payload #>> '{components,0,parameters,0,text}') FROM whatsapp_messages WHERE id = :text), 'template aviso hola', 'the message is a template then');
SELECT wa_cancel_message(:text), wa_internal_drop_fallbacks(10) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_fallbacks), 0::bigint, 'it goes with its place in the queue');

SELECT finish();
ROLLBACK;
