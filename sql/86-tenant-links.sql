/*
 * Links to a tenant's own page of the gateway.
 *
 * A link is an address with a random key behind its "#", which browsers send to
 * no server.  Whoever has the key may do on the page what the tenant may, for
 * that tenant only, until the link expires or is revoked.  The key is told once,
 * when the link is made; what is kept is its SHA-256, which is enough for a key
 * of 32 random bytes, and is no key for whoever reads this table or a dump of it.
 */

CREATE TABLE @extschema@.whatsapp_tenant_links (
    key_hash     bytea PRIMARY KEY,
    tenant_id    text COLLATE "C" NOT NULL
        REFERENCES @extschema@.whatsapp_tenants ON DELETE CASCADE,
    page         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by   text NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX whatsapp_tenant_links_tenant_idx ON @extschema@.whatsapp_tenant_links (tenant_id);
COMMENT ON TABLE @extschema@.whatsapp_tenant_links IS
'Links to tenants'' own pages, made by wa_tenant_link(). Kept for whatsapp_shared.retention after their end.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.key_hash IS 'SHA-256 of the link''s key, which is not kept.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.tenant_id IS 'The tenant whose page it opens.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.page IS 'The page: notifications.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.created_at IS 'When it was made.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.created_by IS
'The role that made it; by way of the gateway, its role and whom it had identified.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.expires_at IS 'Until when it opens the page.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.revoked_at IS 'When it was revoked; NULL: it was not.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.last_used_at IS
'When it was last used, to within a minute; NULL: never.';

/* ---- making them -------------------------------------------------------------- */

/* As a segment of a URL's path (RFC 3986, section 3.3): what is not unreserved is escaped. */
CREATE FUNCTION @extschema@.wa_internal_url_segment(segment text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(CASE WHEN o.octet >= 128 THEN '%' || upper(to_hex(o.octet))
                           WHEN chr(o.octet) ~ '[A-Za-z0-9._~-]' THEN chr(o.octet)
                           ELSE '%' || upper(lpad(to_hex(o.octet), 2, '0')) END, '' ORDER BY o.i)
    FROM (SELECT i, get_byte(convert_to(segment, 'UTF8'::name), i)
          FROM generate_series(0, length(convert_to(segment, 'UTF8'::name)) - 1) AS i) AS o (i, octet)
$$;

/* What a link's key is found by. */
CREATE FUNCTION @extschema@.wa_internal_link_hash(key text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(convert_to(key, 'UTF8'::name))
$$;

/*
 * The key has the entropy of three random UUIDs, 366 bits of the server's strong
 * random source, condensed to 32 bytes.
 */
CREATE FUNCTION @extschema@.wa_internal_make_link(
    tenant text, valid_for interval, page text, created_by text, OUT url text, OUT expires_at timestamptz)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key CONSTANT text := 'wal_' || translate(encode(sha256(uuid_send(gen_random_uuid())
        || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'), '+/=', '-_');
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('valid_for'::text, valid_for);
    PERFORM @extschema@.wa_internal_check_not_null('page'::text, page);
    PERFORM @extschema@.wa_internal_check_tenant_exists(tenant);
    IF page <> 'notifications' THEN
        RAISE EXCEPTION 'unknown page "%"', @extschema@.wa_internal_quote(page)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use notifications.', COLUMN = 'page';
    ELSIF valid_for < interval '1 minute' OR valid_for > interval '1 year' THEN
        RAISE EXCEPTION 'a link can be valid for a minute to a year'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'valid_for';
    END IF;
    expires_at := clock_timestamp() + valid_for;
    INSERT INTO @extschema@.whatsapp_tenant_links (key_hash, tenant_id, page, created_by, expires_at)
        VALUES (@extschema@.wa_internal_link_hash(key), tenant, page, created_by, expires_at);
    url := format('%s/app/settings/%s/%s#key=%s', current_setting('whatsapp_shared.gateway_url', true), page,
        @extschema@.wa_internal_url_segment(tenant), key);
END
$$;

CREATE FUNCTION @extschema@.wa_tenant_link(
    tenant_id text,
    valid_for interval DEFAULT '30 days',
    page      text DEFAULT 'notifications')
RETURNS text
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.url FROM @extschema@.wa_internal_make_link($1, $2, $3, session_user::text) AS l
$$;
COMMENT ON FUNCTION @extschema@.wa_tenant_link(text, interval, text) IS
'Makes a link to the tenant''s own page of the gateway and returns it, to be handed to the tenant: whoever has it can '
'change the tenant''s settings, read its last messages and answer. It begins with whatsapp_shared.gateway_url, is '
'valid for a minute to a year, and cannot be shown again. page: notifications. Errors: 42704 no such tenant; 22023 '
'no such page, or no such time.';

CREATE FUNCTION @extschema@.wa_revoke_links(tenant_id text) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    revoked integer;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_exists(wa_revoke_links.tenant_id);
    UPDATE @extschema@.whatsapp_tenant_links AS l SET revoked_at = clock_timestamp()
        WHERE l.tenant_id = wa_revoke_links.tenant_id AND l.revoked_at IS NULL AND l.expires_at > clock_timestamp();
    GET DIAGNOSTICS revoked = ROW_COUNT;
    RETURN revoked;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_revoke_links(text) IS
'Ends all links that wa_tenant_link() has made for the tenant, from COMMIT on, and returns how many there were. Error '
'42704: no such tenant.';

CREATE TRIGGER whatsapp_tenant_links_noted
    AFTER INSERT ON @extschema@.whatsapp_tenant_links
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', 'create_link,,');
CREATE TRIGGER whatsapp_tenant_links_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_tenant_links
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL)
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', ',revoke_link,');

/* ---- using them --------------------------------------------------------------- */

/*
 * Refuses a key that is not that of a live link of this tenant.  It is the gateway
 * that hashes it: a server may log the parameters of statements.  The errors are
 * read by whoever followed the link, so they say what to do and not whose it was.
 *
 * When it was last used is noted once a minute and by one of those who use it at
 * once; nobody waits for that, and a standby, which cannot, answers all the same.
 */
CREATE FUNCTION @extschema@.wa_internal_check_link(tenant text, key_sha256 text)
RETURNS @extschema@.whatsapp_tenant_links
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    link @extschema@.whatsapp_tenant_links;
    problem text;
BEGIN
    SELECT l.* INTO link FROM @extschema@.whatsapp_tenant_links AS l
        WHERE l.key_hash = decode(key_sha256, 'hex');
    problem := CASE WHEN link.key_hash IS NULL THEN 'this link is not known'
                    WHEN link.revoked_at IS NOT NULL THEN 'this link has been withdrawn'
                    WHEN link.expires_at <= clock_timestamp() THEN 'this link has expired' END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem
            USING ERRCODE = 'invalid_authorization_specification', HINT = 'Ask your platform for a new link.';
    ELSIF link.tenant_id IS DISTINCT FROM tenant THEN
        RAISE EXCEPTION 'this link is for another page'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Open the link that your platform gave you.';
    END IF;
    IF COALESCE(link.last_used_at < clock_timestamp() - interval '1 minute', true)
       AND NOT current_setting('transaction_read_only')::boolean THEN
        UPDATE @extschema@.whatsapp_tenant_links AS l SET last_used_at = clock_timestamp()
            WHERE l.key_hash IN (
                SELECT o.key_hash FROM @extschema@.whatsapp_tenant_links AS o
                WHERE o.key_hash = link.key_hash FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    RETURN link;
END
$$;

/* ---- upkeep ------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_retain_links(batch integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep CONSTANT interval := current_setting('whatsapp_shared.retention')::interval;
    deleted bigint;
BEGIN
    IF keep = interval '0' THEN
        RETURN 0;
    END IF;
    DELETE FROM @extschema@.whatsapp_tenant_links AS d WHERE d.key_hash IN (
        SELECT l.key_hash FROM @extschema@.whatsapp_tenant_links AS l
        WHERE LEAST(l.revoked_at, l.expires_at) < now() - keep
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
