/*
 * One search box: the messages that something an operator has at hand leads to.
 *
 * Each kind of name has an index of its own, so it does not matter how many
 * messages there are.  What is typed is taken for everything that it can be; a
 * number may be an ID, a reference and a phone number at the same time.
 */

/*
 * Everything that is known to be the address of whom the text may mean: a phone
 * number as people write it, a user ID, or a user name behind "@".
 */
CREATE FUNCTION @extschema@.wa_internal_find_people(q text) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN q ~ '^\+?[0-9 ().-]{5,40}$' AND length(@extschema@.wa_internal_digits(q)) BETWEEN 5 AND 20 THEN
            @extschema@.wa_internal_forms_of(ARRAY['+' || @extschema@.wa_internal_digits(q)])
        WHEN q ~ '^[A-Z]{2}\.[A-Za-z0-9.]{1,132}$' THEN
            @extschema@.wa_internal_forms_of(ARRAY[q])
        WHEN q ~ '^@.{1,255}$' THEN
            @extschema@.wa_internal_forms_of(ARRAY(
                SELECT COALESCE(c.user_id, '+' || c.wa_id) FROM @extschema@.whatsapp_contacts AS c
                WHERE c.username IN (substr(q, 2), lower(substr(q, 2)))))
        ELSE '{}'
        END
$$;

/*
 * The newest messages under this name, at most so many of each kind.
 *
 * An idempotency key belongs to a tenant, so it is asked for with each of them:
 * 10,000 tenants are some 20 ms, which nobody pays at an enqueue.
 */
CREATE FUNCTION @extschema@.wa_internal_find(wanted text, most integer)
RETURNS TABLE (message_id bigint, found_by text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    q CONSTANT text := btrim(wanted, E' \t\r\n');
    people CONSTANT text[] := @extschema@.wa_internal_find_people(q);
BEGIN
    IF q ~ '^#?[0-9]{1,18}$' THEN
        RETURN QUERY
            SELECT m.id, 'id'::text FROM @extschema@.whatsapp_messages AS m WHERE m.id = ltrim(q, '#')::bigint;
    END IF;
    RETURN QUERY
        SELECT w.message_id, 'whatsapp_message_id'::text
        FROM @extschema@.whatsapp_wamids AS w WHERE w.whatsapp_message_id = q
        LIMIT most;
    RETURN QUERY
        SELECT i.message_id, 'answer'::text
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.whatsapp_message_id = q AND i.message_id IS NOT NULL;
    RETURN QUERY
        SELECT m.id, 'reference'::text
        FROM @extschema@.whatsapp_messages AS m WHERE m.reference = q
        ORDER BY m.id DESC LIMIT most;
    RETURN QUERY
        SELECT m.id, 'idempotency_key'::text
        FROM @extschema@.whatsapp_tenants AS t
            CROSS JOIN LATERAL (
                SELECT o.id FROM @extschema@.whatsapp_messages AS o
                WHERE o.tenant_id = t.tenant_id AND o.idempotency_key = q) AS m
        LIMIT most;
    RETURN QUERY
        SELECT m.id, 'recipient'::text
        FROM unnest(people) AS p (form)
            CROSS JOIN LATERAL (
                SELECT o.id FROM @extschema@.whatsapp_messages AS o
                WHERE o.recipient_phone = p.form
                ORDER BY o.id DESC LIMIT most) AS m
        WHERE p.form LIKE '+%'
        UNION ALL
        SELECT m.id, 'recipient'::text
        FROM unnest(people) AS p (form)
            CROSS JOIN LATERAL (
                SELECT o.id FROM @extschema@.whatsapp_messages AS o
                WHERE o.recipient_user_id = p.form AND o.recipient_phone IS NULL
                ORDER BY o.id DESC LIMIT most) AS m
        WHERE p.form NOT LIKE '+%';
    /* What somebody has answered, in words: they are rare, and not old. */
    IF length(q) BETWEEN 3 AND 200 THEN
        RETURN QUERY
            SELECT a.message_id, 'answer'::text
            FROM (SELECT i.inbound_id, i.message_id, i.text FROM @extschema@.whatsapp_inbound_messages AS i
                  ORDER BY i.inbound_id DESC LIMIT 3000) AS a
            WHERE a.message_id IS NOT NULL AND strpos(lower(a.text), lower(q)) > 0
            ORDER BY a.inbound_id DESC LIMIT most;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_find(text, integer) IS
'The newest messages that a name leads to, at most so many of each kind of name. Internal.';

CREATE FUNCTION @extschema@.wa_find(
    wanted text,
    most   integer DEFAULT 50)
RETURNS TABLE (id bigint, tenant_id text, phone_number_id text, recipient text, message_type text, template_name text,
    reference text, status text, status_reason text, error_code integer, created_at timestamptz, found_by text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bound CONSTANT text := @extschema@.wa_internal_bound_tenant();
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('wanted'::text, wanted);
    PERFORM @extschema@.wa_internal_check_not_null('most'::text, most);
    IF btrim(wanted) = '' THEN
        RAISE EXCEPTION 'there is nothing to be found by an empty text'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give the ID, wamid, reference, idempotency key or recipient of a message, or words of an '
                      'answer.';
    ELSIF most NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'invalid value of most: %', most
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 1 to 1000.';
    END IF;
    RETURN QUERY
        SELECT m.id, m.tenant_id, m.phone_number_id, COALESCE(m.recipient_phone, m.recipient_user_id), m.message_type,
            m.template_name, m.reference, m.status, m.status_reason, m.error_code, m.created_at, f.found_by
        FROM (SELECT n.message_id, string_agg(DISTINCT n.found_by, ', ' ORDER BY n.found_by)
              FROM @extschema@.wa_internal_find(wanted, most) AS n
              GROUP BY n.message_id
              ORDER BY n.message_id DESC) AS f (message_id, found_by)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = f.message_id
        WHERE bound IS NULL OR m.tenant_id = bound
        ORDER BY m.id DESC
        LIMIT most;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_find(text, integer) IS
'The newest messages that a text leads to: the ID of a message, a wamid (its own or that of an answer to it), a '
'reference, an idempotency key, a recipient (phone number in any form, business-scoped user ID, @username), or words '
'of one of the 3,000 newest answers. found_by: what it was found by. Errors: 22004, 22023.';
