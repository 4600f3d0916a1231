/*
 * Several independent nodes behind one webhook address: which node has which number.
 *
 * Meta sends all webhooks of an account to one address.  Where tenants are spread over
 * several databases, the one behind that address has this directory, passes on what
 * belongs to other nodes (66-forwards) and takes in the rest.  Without a node in the
 * directory nothing of this happens.
 *
 * A number is in one node only.  What this database itself has assigned to a tenant
 * cannot be another node's, and the reverse: triggers see to that, whoever writes.
 */

CREATE FUNCTION @extschema@.wa_internal_address_problem(address text) RETURNS text
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_address_problem';
COMMENT ON FUNCTION @extschema@.wa_internal_address_problem(text) IS
'Why nothing may be sent to this address: it must be https, or http to this machine. NULL: it may. Internal.';

CREATE TABLE @extschema@.whatsapp_nodes (
    node              text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_nodes_node_check CHECK (node ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    url               text NOT NULL
        CONSTRAINT whatsapp_nodes_url_check CHECK (@extschema@.wa_internal_address_problem(url) IS NULL),
    max_waiting       integer NOT NULL DEFAULT 1000000
        CONSTRAINT whatsapp_nodes_max_waiting_check CHECK (max_waiting > 0),
    created_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    is_full           boolean NOT NULL DEFAULT false,
    delivered         bigint NOT NULL DEFAULT 0,
    errors            bigint NOT NULL DEFAULT 0,
    expired           bigint NOT NULL DEFAULT 0,
    last_delivered_at timestamptz,
    failing_since     timestamptz,
    last_error        text
) WITH (fillfactor = 50);
COMMENT ON TABLE @extschema@.whatsapp_nodes IS
'Other installations to which this one passes on the webhooks of their numbers: wa_register_node().';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.node IS 'Name of the node: lower-case letters, digits, "-" and "_".';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.url IS 'Where its gateway takes webhooks.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.max_waiting IS
'When more changes than this wait for it, webhooks for its numbers are refused, so that Meta keeps them.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.created_at IS 'When it was registered.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.is_full IS 'Whether more than max_waiting wait, to within ten seconds.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.delivered IS 'Changes that it has taken.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.errors IS 'Requests that it did not answer with 2xx.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.expired IS 'Changes that were given up after seven days.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.last_delivered_at IS 'When it last took something.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.failing_since IS
'When the first request failed since it last took something; NULL: none has.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.last_error IS 'Why the last request failed that did.';

CREATE TABLE @extschema@.whatsapp_node_numbers (
    phone_number_id text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_node_numbers_id_check CHECK (phone_number_id ~ '^[0-9]{5,20}$'),
    node            text COLLATE "C"
        CONSTRAINT whatsapp_node_numbers_node_fkey REFERENCES @extschema@.whatsapp_nodes,
    former_nodes    text[] COLLATE "C" NOT NULL DEFAULT '{}',
    moved_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_node_numbers_node_idx ON @extschema@.whatsapp_node_numbers (node);
COMMENT ON TABLE @extschema@.whatsapp_node_numbers IS
'Which node has which number: wa_assign_number_to_node(). What is not here is this database''s.';
COMMENT ON COLUMN @extschema@.whatsapp_node_numbers.phone_number_id IS 'Meta''s ID of the number.';
COMMENT ON COLUMN @extschema@.whatsapp_node_numbers.node IS 'The node that has it; NULL: this database, as of old.';
COMMENT ON COLUMN @extschema@.whatsapp_node_numbers.former_nodes IS
'Who had it before: for 30 days they get its statuses, too, which may be of messages that they have sent. Empty text: '
'this database.';
COMMENT ON COLUMN @extschema@.whatsapp_node_numbers.moved_at IS 'When it came to where it is now.';

/* ---- one number, one place ---------------------------------------------------------- */

/*
 * Whoever is about to assign one of these numbers has a lock that conflicts with this one, and has
 * it until he commits.  Reading, enqueueing and sending go on.
 */
CREATE FUNCTION @extschema@.wa_internal_node_number_is_free() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder text;
BEGIN
    LOCK TABLE @extschema@.whatsapp_phone_assignments IN SHARE ROW EXCLUSIVE MODE;
    SELECT a.tenant_id INTO holder FROM @extschema@.whatsapp_phone_assignments AS a
        WHERE a.phone_number_id = NEW.phone_number_id AND a.unassigned_at IS NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'phone number "%" is assigned here', @extschema@.wa_internal_quote(NEW.phone_number_id)
            USING ERRCODE = 'unique_violation',
                  DETAIL = format('It is assigned to tenant "%s" of this database.', holder),
                  HINT = format('Release it first: SELECT wa_unassign_phone(%L);', holder),
                  CONSTRAINT = 'whatsapp_phone_assignments_number_key';
    ELSIF NEW.phone_number_id = current_setting('whatsapp_shared.phone_number_id', true) THEN
        RAISE EXCEPTION 'phone number "%" is the default number', @extschema@.wa_internal_quote(NEW.phone_number_id)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Tenants of this database that have no number of their own send from it.',
                  HINT = 'Set whatsapp_shared.phone_number_id to another number, or to none.';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER whatsapp_node_numbers_free
    BEFORE INSERT OR UPDATE ON @extschema@.whatsapp_node_numbers
    FOR EACH ROW WHEN (NEW.node IS NOT NULL)
    EXECUTE FUNCTION @extschema@.wa_internal_node_number_is_free();

CREATE FUNCTION @extschema@.wa_internal_number_is_no_node_s() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder text;
BEGIN
    SELECT n.node INTO holder FROM @extschema@.whatsapp_node_numbers AS n
        WHERE n.phone_number_id = NEW.phone_number_id AND n.node IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'phone number "%" belongs to node "%"', @extschema@.wa_internal_quote(NEW.phone_number_id),
                holder
            USING ERRCODE = 'unique_violation',
                  DETAIL = 'Its webhooks are passed on to that node.',
                  HINT = format('Take it back first, when no tenant of that node has it any more: '
                                'SELECT wa_unassign_number_from_node(%L);', NEW.phone_number_id),
                  CONSTRAINT = 'whatsapp_node_numbers_pkey';
    END IF;
    RETURN NEW;
END
$$;

/* ---- the directory ------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_check_node_exists(node text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('node'::text, node);
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_nodes AS n WHERE n.node = node) THEN
        RAISE EXCEPTION 'node "%" does not exist', @extschema@.wa_internal_quote(node)
            USING ERRCODE = 'undefined_object',
                  HINT = concat_ws(' ',
                      @extschema@.wa_internal_did_you_mean(node,
                          ARRAY(SELECT n.node FROM @extschema@.whatsapp_nodes AS n)),
                      'Register it: SELECT wa_register_node(name, url);');
    END IF;
END
$$;

/* As many as a sender keeps connections for: src/sender/forward_client.h. */
CREATE FUNCTION @extschema@.wa_internal_max_nodes() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 32
$$;

CREATE FUNCTION @extschema@.wa_register_node(node text, url text, max_waiting integer DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('node'::text, node);
    PERFORM @extschema@.wa_internal_check_not_null('url'::text, url);
    IF node !~ '^[a-z0-9][a-z0-9_-]{0,62}$' THEN
        RAISE EXCEPTION 'invalid name of a node "%"', @extschema@.wa_internal_quote(node)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use up to 63 lower-case letters, digits, "-" and "_", beginning with a letter or digit.';
    ELSIF @extschema@.wa_internal_address_problem(url) IS NOT NULL THEN
        RAISE EXCEPTION 'invalid URL of a node "%"', @extschema@.wa_internal_quote(url)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = @extschema@.wa_internal_address_problem(url),
                  HINT = 'Give the address at which its gateway takes webhooks, such as '
                         'https://node-b.example/webhook.';
    ELSIF max_waiting <= 0 THEN
        RAISE EXCEPTION 'max_waiting must be greater than 0'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for 1000000.';
    END IF;
    LOCK TABLE @extschema@.whatsapp_nodes IN SHARE ROW EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_nodes AS n WHERE n.node = node)
       AND (SELECT count(*) FROM @extschema@.whatsapp_nodes) >= @extschema@.wa_internal_max_nodes() THEN
        RAISE EXCEPTION 'too many nodes'
            USING ERRCODE = 'configuration_limit_exceeded',
                  DETAIL = format('There may be %s.', @extschema@.wa_internal_max_nodes()),
                  HINT = 'Remove those that are no longer there: SELECT wa_unregister_node(name);';
    END IF;
    INSERT INTO @extschema@.whatsapp_nodes AS n (node, url, max_waiting)
        VALUES (node, url, COALESCE(max_waiting, 1000000))
        ON CONFLICT ON CONSTRAINT whatsapp_nodes_pkey DO UPDATE
        SET url = EXCLUDED.url, max_waiting = COALESCE(wa_register_node.max_waiting, n.max_waiting);
    PERFORM @extschema@.wa_internal_wake_due(clock_timestamp());
END
$$;
COMMENT ON FUNCTION @extschema@.wa_register_node(text, text, integer) IS
'Enters another installation, to which webhooks of its numbers and those of the account are passed on, or gives a '
'known one another URL. url: where its gateway takes webhooks; https, or http to this machine. max_waiting: when more '
'changes wait for it, webhooks for its numbers are refused; 1000000 if left out. Errors: 22004, 22023; 53400 there '
'are 32 nodes.';

CREATE FUNCTION @extschema@.wa_assign_number_to_node(phone_number_id text, node text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_number_id(phone_number_id, NULL::text);
    PERFORM @extschema@.wa_internal_check_node_exists(node);
    INSERT INTO @extschema@.whatsapp_node_numbers AS n (phone_number_id, node, former_nodes)
        VALUES (phone_number_id, node, CASE WHEN EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = wa_assign_number_to_node.phone_number_id) THEN ARRAY[''] ELSE '{}' END)
        ON CONFLICT ON CONSTRAINT whatsapp_node_numbers_pkey DO UPDATE
        SET node = EXCLUDED.node, moved_at = clock_timestamp(),
            former_nodes = @extschema@.wa_internal_former_nodes(n.former_nodes, n.node, n.moved_at, EXCLUDED.node)
        WHERE n.node IS DISTINCT FROM EXCLUDED.node;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_assign_number_to_node(text, text) IS
'Gives a number to a node, or moves it there from another one: webhooks of the number are passed on to it. For 30 days '
'statuses also go to where the number was, which may have sent the messages. Errors: 22004, 22023; 23505 a tenant of '
'this database has the number; 42704 unknown node; 55000 it is the default number.';

CREATE FUNCTION @extschema@.wa_unassign_number_from_node(phone_number_id text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('phone_number_id'::text, phone_number_id);
    UPDATE @extschema@.whatsapp_node_numbers AS n
        SET node = NULL, moved_at = clock_timestamp(),
            former_nodes = @extschema@.wa_internal_former_nodes(n.former_nodes, n.node, n.moved_at, NULL::text)
        WHERE n.phone_number_id = phone_number_id AND n.node IS NOT NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_unassign_number_from_node(text) IS
'Takes a number back: its webhooks are taken in here, and for 30 days its statuses are also passed on to the node that '
'had it. False: no node has it. Error 22004: phone_number_id is NULL.';

/* Where a number has been: what is longer ago than statuses come does not count. */
CREATE FUNCTION @extschema@.wa_internal_former_nodes(former text[], was text, since timestamptz, now_at text)
RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT DISTINCT f.node
        FROM unnest(CASE WHEN since > clock_timestamp() - interval '30 days' THEN former ELSE '{}' END
                    || COALESCE(was, '')) AS f (node)
        WHERE f.node <> COALESCE(now_at, '')
        ORDER BY f.node)
$$;

CREATE FUNCTION @extschema@.wa_unregister_node(node text, discard boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    numbers bigint;
    waiting bigint;
BEGIN
    PERFORM @extschema@.wa_internal_check_node_exists(node);
    SELECT count(*) INTO numbers FROM @extschema@.whatsapp_node_numbers AS n WHERE n.node = node;
    IF numbers > 0 THEN
        RAISE EXCEPTION 'node "%" has numbers', node
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('It has %s.', numbers),
                  HINT = 'Give them to another node, or take them back with wa_unassign_number_from_node().';
    END IF;
    /* Nobody adds to what waits until this has ended, and then sees that the node is gone: webhook/forward.c. */
    LOCK TABLE @extschema@.whatsapp_forwards IN SHARE ROW EXCLUSIVE MODE;
    IF discard THEN
        DELETE FROM @extschema@.whatsapp_forwards AS f WHERE f.node = node;
        GET DIAGNOSTICS waiting = ROW_COUNT;
    ELSE
        SELECT count(*) INTO waiting FROM @extschema@.whatsapp_forwards AS f WHERE f.node = node;
        IF waiting > 0 THEN
            RAISE EXCEPTION 'webhooks wait for node "%"', node
                USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('%s changes wait.', waiting),
                      HINT = 'Wait until it has taken them (see wa_node_status), or throw them away: '
                             'SELECT wa_unregister_node(name, discard => true);';
        END IF;
    END IF;
    DELETE FROM @extschema@.whatsapp_nodes AS n WHERE n.node = node;
    UPDATE @extschema@.whatsapp_alerts AS a SET resolved_at = clock_timestamp()
        WHERE a.scope = 'node' AND a.key = node AND a.resolved_at IS NULL;
    RETURN waiting;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_unregister_node(text, boolean) IS
'Removes a node that has no numbers any more. discard: also throws away what waits for it, and returns how many '
'changes that was. Errors: 22004; 42704 unknown node; 55000 it has numbers, or something waits for it.';
