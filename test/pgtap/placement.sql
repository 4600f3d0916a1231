/*
 * The place of a message in the queue: whichever way it comes there, the same
 * obstacles give it the same state, hold reason and due time.
 */
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
\pset pager off
SET client_min_messages = error;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS whatsapp_shared;
SELECT plan(54);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
SELECT wa_upload_media('panaderia', '%PDF-1.7', 'application/pdf') AS file \gset

/*
 * The ways into the queue.  begin makes a message that is about to go one of them,
 * finish lets it go; in between something changes.
 */
CREATE FUNCTION pg_temp.begin(way text, urgency integer, file bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    new_id bigint;
BEGIN
    IF way = 'enqueue' THEN
        RETURN NULL;
    END IF;
    new_id := wa_enqueue_message('panaderia', '+34600112233', 'aviso', priority => urgency);
    IF file IS NOT NULL THEN
        INSERT INTO whatsapp_media_uses VALUES (new_id, file);
    END IF;
    UPDATE whatsapp_messages AS m SET attempts = CASE WHEN way IN ('retry', 'resend', 'policy', 'next attempt') THEN 1 ELSE 0 END,
            status = CASE way WHEN 'retry' THEN 'failed' WHEN 'resend' THEN 'uncertain' WHEN 'policy' THEN 'uncertain' ELSE 'queued' END
        WHERE m.id = new_id;
    CASE way
        WHEN 'retry' THEN
            DELETE FROM whatsapp_queue AS q WHERE q.message_id = new_id;
        WHEN 'resend', 'policy' THEN
            UPDATE whatsapp_queue AS q SET state = 'u', hold_reason = 'parked', attempts = 1, due_at = 'infinity' WHERE q.message_id = new_id;
        WHEN 'release' THEN
            UPDATE whatsapp_queue AS q SET state = 'h', hold_reason = 'tenant_paused' WHERE q.message_id = new_id;
        WHEN 'assignment' THEN
            UPDATE whatsapp_queue AS q SET state = 'h', hold_reason = 'no_number', phone_number_id = NULL WHERE q.message_id = new_id;
        WHEN 'due' THEN
            UPDATE whatsapp_queue AS q SET state = 'd', hold_reason = 'pair_rate' WHERE q.message_id = new_id;
        WHEN 'next attempt' THEN
            UPDATE whatsapp_queue AS q SET state = 'd', hold_reason = 'retry', attempts = 1 WHERE q.message_id = new_id;
    END CASE;
    RETURN new_id;
END
$$;
CREATE FUNCTION pg_temp.finish(way text, id bigint, urgency integer) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    CASE way
        WHEN 'enqueue' THEN
            id := wa_enqueue_message('panaderia', '+34600112233', 'aviso', priority => urgency);
        WHEN 'retry' THEN
            PERFORM wa_retry_message(id);
        WHEN 'resend' THEN
            PERFORM wa_resolve_message(id, 'resend');
        WHEN 'release' THEN
            PERFORM wa_internal_release_holds('tenant_paused', tenant => 'panaderia');
        WHEN 'assignment' THEN
            IF EXISTS (SELECT FROM whatsapp_phone_assignments AS a WHERE a.unassigned_at IS NULL) THEN
                PERFORM wa_internal_queue_to_number('panaderia', '100000000000001');
            ELSE
                PERFORM wa_internal_place_rows(ARRAY[id]);
            END IF;
        ELSE /* as the sender does with what is due */
            UPDATE whatsapp_queue AS q SET state = p.state, hold_reason = p.hold_reason, due_at = p.due_at
                FROM wa_internal_placements(ARRAY[id]) AS p WHERE q.message_id = p.message_id;
    END CASE;
    RETURN id;
END
$$;

CREATE FUNCTION pg_temp.place(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', q.state, q.hold_reason,
        CASE WHEN q.due_at > clock_timestamp() + interval '50 minutes' THEN 'later' END)
    FROM whatsapp_queue AS q WHERE q.message_id = $1
$$;
/* From an hour ago until in an hour. */
CREATE FUNCTION pg_temp.set_quiet_hours(quiet boolean) RETURNS void LANGUAGE sql AS $$
    UPDATE whatsapp_tenants SET time_zone = 'UTC',
        quiet_from = CASE WHEN quiet THEN (now() AT TIME ZONE 'UTC' - interval '1 hour')::time END,
        quiet_to = CASE WHEN quiet THEN (now() AT TIME ZONE 'UTC' + interval '1 hour')::time END
$$;
CREATE FUNCTION pg_temp.set_number(assigned boolean) RETURNS void LANGUAGE sql AS $$
    UPDATE whatsapp_phone_assignments SET unassigned_at = CASE WHEN assigned THEN NULL ELSE clock_timestamp() END;
    UPDATE whatsapp_queue SET state = CASE state WHEN 'r' THEN 'h' ELSE state END, phone_number_id = NULL WHERE NOT assigned
$$;

/* The message goes its way while these are so. */
CREATE FUNCTION pg_temp.placed(way text, quiet boolean, has_number boolean, urgency integer, file bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint := pg_temp.begin(way, urgency, file);
    place text;
BEGIN
    PERFORM pg_temp.set_quiet_hours(quiet);
    PERFORM pg_temp.set_number(has_number) WHERE NOT has_number;
    id := pg_temp.finish(way, id, urgency);
    place := pg_temp.place(id);
    PERFORM pg_temp.set_quiet_hours(false), pg_temp.set_number(true);
    DELETE FROM whatsapp_queue AS q;
    RETURN place;
END
$$;

SELECT is(pg_temp.placed(w.way, f.quiet, f.has_number, f.urgency, NULL), f.place, format('%s: %s', w.way, f.what))
    FROM unnest('{enqueue,retry,resend,policy,release,assignment,due,next attempt}'::text[]) WITH ORDINALITY AS w (way, n)
        CROSS JOIN (VALUES
            (1, 'nothing is in the way', false, true, 0, 'r'),
            (2, 'quiet hours', true, true, 0, 'd quiet_hours later'),
            (3, 'quiet hours, and it is urgent', true, true, 100, 'r'),
            (4, 'no number', false, false, 0, 'h no_number'),
            (5, 'no number, and quiet hours', true, false, 0, 'h no_number later'))
            AS f (n, what, quiet, has_number, urgency, place)
    ORDER BY f.n, w.n;

SELECT is(pg_temp.placed(w.way, true, true, 0, :file), 'h media_upload later', format('%s: its file is not uploaded, and quiet hours', w.way))
    FROM unnest('{retry,resend,policy,release,assignment,due,next attempt}'::text[]) AS w (way);

/* ---- the due time ---- */

CREATE FUNCTION pg_temp.waits(state "char", reason text, attempts integer, due_in interval, scheduled_in interval) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    new_id CONSTANT bigint := wa_enqueue_message('panaderia', '+34600112233', 'aviso');
BEGIN
    UPDATE whatsapp_messages AS m SET scheduled_at = now() + scheduled_in WHERE m.id = new_id;
    UPDATE whatsapp_queue AS q SET state = waits.state, hold_reason = reason, attempts = waits.attempts, due_at = now() + due_in WHERE q.message_id = new_id;
    RETURN (SELECT concat_ws(' ', p.state, p.hold_reason, date_trunc('hour', p.due_at - now())) FROM wa_internal_placements(ARRAY[new_id]) AS p);
END
$$;
SELECT is(pg_temp.waits('h', 'tenant_paused', 0, '2 hours', '2 hours'), 'd scheduled 02:00:00', 'a hold ends before the message is due');
SELECT is(pg_temp.waits('h', 'template_paused', 1, '3 hours', '-1 hour'), 'd retry 03:00:00', 'or before its next attempt is');
SELECT is(pg_temp.waits('d', 'quiet_hours', 1, '8 hours', '-1 hour'), 'r -01:00:00', 'quiet hours that are no more leave nothing behind');
SELECT is(pg_temp.waits('d', 'quiet_hours', 0, '8 hours', '2 hours'), 'd scheduled 02:00:00', 'but the time for which it is scheduled');
SELECT is(pg_temp.waits('d', 'tenant_rate', 0, '-1 hour', '-5 hours'), 'r -01:00:00', 'what is due keeps the time at which it was');
SELECT is(pg_temp.waits('u', 'parked', 1, '100 years', '-5 hours'), 'r 00:00:00', 'what was uncertain is due now');
SELECT results_eq(
    $$SELECT p.state, p.hold_reason FROM whatsapp_queue AS q CROSS JOIN wa_internal_placements(ARRAY[q.message_id], without_number => true) AS p ORDER BY q.message_id LIMIT 1$$,
    $$VALUES ('h'::"char", 'no_number')$$, 'one that loses its number waits for another');

SELECT * FROM finish();
ROLLBACK;
