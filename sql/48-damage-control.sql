/*
 * Damage control: what happens by itself when the quality of a number falls,
 * Meta flags it, or lowers the account's limit; whoever finds out.
 */

CREATE TABLE @extschema@.whatsapp_damage_policies (
    event  text PRIMARY KEY
        CONSTRAINT whatsapp_damage_policies_event_check
        CHECK (event IN ('quality_yellow', 'quality_red', 'number_flagged', 'limit_lowered')),
    action text NOT NULL
        CONSTRAINT whatsapp_damage_policies_action_check CHECK (action IN ('alert', 'slow', 'pause')),
    factor real NOT NULL DEFAULT 0.5
        CONSTRAINT whatsapp_damage_policies_factor_check CHECK (factor > 0 AND factor <= 1)
);

INSERT INTO @extschema@.whatsapp_damage_policies (event, action) VALUES
    ('quality_yellow', 'slow'), ('quality_red', 'pause'), ('number_flagged', 'pause'), ('limit_lowered', 'slow');
COMMENT ON TABLE @extschema@.whatsapp_damage_policies IS
'What happens automatically when a number''s quality falls, or Meta flags it or lowers the messaging limit: alert '
'(nothing more), slow (its rate times factor), or pause (until the cause has gone, or wa_resume()). Each raises an '
'alert.';
COMMENT ON COLUMN @extschema@.whatsapp_damage_policies.event IS
'quality_yellow, quality_red, number_flagged or limit_lowered.';
COMMENT ON COLUMN @extschema@.whatsapp_damage_policies.action IS
'alert (nothing more), slow (the rate times factor) or pause.';
COMMENT ON COLUMN @extschema@.whatsapp_damage_policies.factor IS 'What slow multiplies the number''s rate by.';

/* The policies that are in force for a number. */
CREATE FUNCTION @extschema@.wa_internal_damage_of(n @extschema@.whatsapp_phone_numbers)
RETURNS SETOF @extschema@.whatsapp_damage_policies
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.* FROM @extschema@.whatsapp_damage_policies AS p
    WHERE p.event = 'quality_' || lower(n.quality_rating)
        OR p.event = 'number_flagged' AND n.flagged_at IS NOT NULL
        OR p.event = 'limit_lowered' AND n.limit_lowered_from IS NOT NULL
    ORDER BY array_position('{quality_red,number_flagged,limit_lowered,quality_yellow}'::text[], p.event)
$$;

/*
 * Something of this has changed, whoever found out: a webhook or the
 * synchronisation.  The rate goes with the row that is being written.
 */
CREATE FUNCTION @extschema@.wa_internal_number_rate_by_damage() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.messaging_limit IS DISTINCT FROM OLD.messaging_limit THEN
        IF @extschema@.wa_internal_limit_rank(NEW.messaging_limit)
           < @extschema@.wa_internal_limit_rank(OLD.messaging_limit) THEN
            NEW.limit_lowered_from := COALESCE(OLD.limit_lowered_from, OLD.messaging_limit);
        ELSIF @extschema@.wa_internal_limit_rank(NEW.messaging_limit)
              >= @extschema@.wa_internal_limit_rank(OLD.limit_lowered_from) THEN
            NEW.limit_lowered_from := NULL;
        END IF;
    END IF;
    SELECT d.factor, d.event INTO NEW.rate_factor, NEW.rate_reason
        FROM @extschema@.wa_internal_damage_of(NEW) AS d
        WHERE d.action = 'slow' ORDER BY d.factor LIMIT 1;
    NEW.rate_factor := COALESCE(NEW.rate_factor, 1);
    RETURN NEW;
END
$$;

CREATE TRIGGER whatsapp_phone_numbers_rate_by_damage
    BEFORE UPDATE OF quality_rating, messaging_limit, flagged_at ON @extschema@.whatsapp_phone_numbers
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_number_rate_by_damage();

CREATE FUNCTION @extschema@.wa_internal_number_pause_by_damage() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ours CONSTANT text := '^(quality_|number_flagged$|limit_lowered$)';
    why text;
    words text;
BEGIN
    SELECT d.event INTO why FROM @extschema@.wa_internal_damage_of(NEW) AS d WHERE d.action = 'pause' LIMIT 1;
    IF why IS NULL THEN
        PERFORM @extschema@.wa_internal_lift_pause_for('number'::text, NEW.phone_number_id, ours);
        RETURN NULL;
    END IF;
    words := CASE why
        WHEN 'number_flagged' THEN 'Meta has flagged it for its quality'
        WHEN 'limit_lowered' THEN format('Meta has lowered the messaging limit from %s to %s',
            NEW.limit_lowered_from, NEW.messaging_limit)
        ELSE format('Meta rates its quality %s: recipients block or report its messages', NEW.quality_rating) END;
    UPDATE @extschema@.whatsapp_pauses AS p SET reason = why, detail = words
        WHERE p.scope = 'number' AND p.key = NEW.phone_number_id AND p.automatic AND p.reason ~ ours;
    IF NOT FOUND THEN
        PERFORM @extschema@.wa_internal_pause('number'::text, NEW.phone_number_id, why, words, NULL::integer,
            NULL::timestamptz);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER whatsapp_phone_numbers_pause_by_damage
    AFTER UPDATE OF quality_rating, messaging_limit, flagged_at ON @extschema@.whatsapp_phone_numbers
    FOR EACH ROW
    WHEN ((NEW.quality_rating, NEW.messaging_limit, NEW.flagged_at, NEW.limit_lowered_from)
          IS DISTINCT FROM (OLD.quality_rating, OLD.messaging_limit, OLD.flagged_at, OLD.limit_lowered_from))
    EXECUTE FUNCTION @extschema@.wa_internal_number_pause_by_damage();
