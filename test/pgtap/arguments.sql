/*
 * What no function is given silently: all of its arguments null.
 */
\ir ../lib/begin.sql
SELECT plan(2);

/* What a call of it with nothing but nulls ends as: its SQLSTATE. */
CREATE FUNCTION pg_temp.ends_as(called regprocedure) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    p pg_proc;
BEGIN
    SELECT o.* INTO p FROM pg_proc AS o WHERE o.oid = called;
    EXECUTE format('SELECT count(*) FROM %s(%s) AS f', p.oid::regproc,
        (SELECT string_agg('NULL::' || CASE t.type WHEN 'anyelement'::regtype THEN 'integer' ELSE t.type::text END, ', ' ORDER BY t.n)
         FROM unnest(p.proargtypes::regtype[]) WITH ORDINALITY AS t (type, n)));
    RETURN '00000';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;

CREATE TEMP TABLE public_function AS
    SELECT p.oid::regprocedure AS function FROM pg_proc AS p
        JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    WHERE e.extname = 'whatsapp_shared' AND p.proname ~ '^wa_(?!internal_|gateway_)' AND p.prokind = 'f'
        AND p.pronargs > 0 AND p.prorettype <> 'trigger'::regtype;

SELECT cmp_ok((SELECT count(*) FROM public_function), '>', 80::bigint, 'there are functions to be called');
/* Of wa_metrics() null is its default; wa_reprocess_parked() takes it for every reason; documents have a form. */
SELECT is((SELECT string_agg(f.function || ' ' || r.ended, ', ' ORDER BY f.function::text)
           FROM public_function AS f, pg_temp.ends_as(f.function) AS r (ended) WHERE r.ended <> '22004'),
    'wa_import_settings(jsonb) 22023, wa_metrics(boolean) 00000, wa_reprocess_parked(text) 00000', 'a null is named');

SELECT * FROM finish();
ROLLBACK;
