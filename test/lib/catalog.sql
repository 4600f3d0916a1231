/*
 * What an extension consists of, as text: a line for each fact, sorted, without
 * OIDs, so that two databases can be compared with diff.  psql's variable
 * "extension" names it.  Line ends inside of definitions become "\n".
 *
 * Members of the extension with all that hangs on them: definitions, columns,
 * constraints, indexes, triggers, policies, comments, privileges (also those
 * that pg_dump takes for the extension's own), and what pg_dump takes along.
 * The rows of its tables are not compared.
 */
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
\pset pager off
SET search_path = pg_catalog, pg_temp;

CREATE FUNCTION pg_temp.privileges(acl aclitem[]) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(format('%s=%s%s/%s',
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, a.privilege_type,
                CASE WHEN a.is_grantable THEN '*' END, a.grantor::regrole), ' '
                ORDER BY a.grantee::regrole::text, a.privilege_type), 'none')
    FROM aclexplode(acl) AS a
$$;

CREATE TEMP TABLE member AS
    SELECT d.classid, d.objid FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = :'extension';

CREATE TEMP VIEW relation AS
    SELECT c.*, c.oid::regclass::text AS name FROM pg_class AS c
    WHERE c.oid IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass);

/* Objects with an identity, a comment and privileges of their own. */
CREATE TEMP VIEW object AS
    SELECT classid, objid, 0 AS objsubid FROM member
    UNION ALL
    SELECT 'pg_class'::regclass, a.attrelid, a.attnum
    FROM pg_attribute AS a JOIN relation AS r ON r.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'pg_class'::regclass, i.indexrelid, 0
    FROM pg_index AS i JOIN relation AS r ON r.oid = i.indrelid
    UNION ALL
    SELECT 'pg_constraint'::regclass, c.oid, 0
    FROM pg_constraint AS c JOIN relation AS r ON r.oid = c.conrelid
    UNION ALL
    SELECT 'pg_trigger'::regclass, t.oid, 0
    FROM pg_trigger AS t JOIN relation AS r ON r.oid = t.tgrelid
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'pg_policy'::regclass, p.oid, 0
    FROM pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid;

SELECT replace(fact, E'\n', '\n') AS fact FROM (
    SELECT format('%s: comment %s', pg_describe_object(o.classid, o.objid, o.objsubid), quote_nullable(d.description))
    FROM object AS o
        LEFT JOIN pg_description AS d
            ON (d.classoid, d.objoid, d.objsubid) = (o.classid, o.objid, o.objsubid)

    UNION ALL
    SELECT format('%s: initial privileges %s', pg_describe_object(i.classoid, i.objoid, i.objsubid),
                  pg_temp.privileges(i.initprivs))
    FROM pg_init_privs AS i
        JOIN object AS o ON (o.classid, o.objid, o.objsubid) = (i.classoid, i.objoid, i.objsubid)

    UNION ALL
    SELECT format('%s: privileges %s, owner %s, %s', p.oid::regprocedure, pg_temp.privileges(p.proacl),
                  p.proowner::regrole, pg_get_functiondef(p.oid))
    FROM pg_proc AS p
    WHERE p.oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)

    UNION ALL
    SELECT format('%s: kind %s, privileges %s, owner %s, options %s, persistence %s, row security %s %s, '
                  'replica identity %s', r.name, r.relkind, pg_temp.privileges(r.relacl), r.relowner::regrole,
                  r.reloptions, r.relpersistence, r.relrowsecurity, r.relforcerowsecurity, r.relreplident)
    FROM relation AS r

    UNION ALL
    SELECT format('%s: %s', r.name, pg_get_viewdef(r.oid))
    FROM relation AS r
    WHERE r.relkind IN ('v', 'm')

    UNION ALL
    SELECT format('%s: %s', r.name, to_jsonb(s) - 'seqrelid' - 'seqtypid')
    FROM relation AS r JOIN pg_sequence AS s ON s.seqrelid = r.oid

    UNION ALL
    SELECT format('%s.%s: column %s, type %s, not null %s, default %s, identity "%s", generated "%s", '
                  'storage %s "%s", collation %s, statistics %s, options %s, privileges %s',
                  r.name, a.attname, row_number() OVER (PARTITION BY r.oid ORDER BY a.attnum),
                  format_type(a.atttypid, a.atttypmod), a.attnotnull,
                  quote_nullable(pg_get_expr(f.adbin, f.adrelid)), a.attidentity, a.attgenerated,
                  a.attstorage, a.attcompression, o.collname, NULLIF(a.attstattarget, -1),
                  /* pg_attver is the server's own count of changes. */
                  (SELECT array_agg(p) FROM unnest(a.attoptions) AS p WHERE p NOT LIKE 'pg_attver=%'),
                  pg_temp.privileges(a.attacl))
    FROM pg_attribute AS a
        JOIN relation AS r ON r.oid = a.attrelid AND r.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
        LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
        LEFT JOIN pg_collation AS o ON o.oid = a.attcollation
    WHERE a.attnum > 0 AND NOT a.attisdropped

    UNION ALL
    SELECT format('%s: constraint %s %s, valid %s', r.name, c.conname, pg_get_constraintdef(c.oid), c.convalidated)
    FROM pg_constraint AS c JOIN relation AS r ON r.oid = c.conrelid

    UNION ALL
    SELECT format('%s, valid %s, clustered %s, replica identity %s, options %s', pg_get_indexdef(i.indexrelid),
                  i.indisvalid, i.indisclustered, i.indisreplident, x.reloptions)
    FROM pg_index AS i
        JOIN relation AS r ON r.oid = i.indrelid
        JOIN pg_class AS x ON x.oid = i.indexrelid

    UNION ALL
    SELECT format('%s, enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
    FROM pg_trigger AS t JOIN relation AS r ON r.oid = t.tgrelid
    WHERE NOT t.tgisinternal

    UNION ALL
    SELECT format('%s: policy %s, command %s, permissive %s, roles %s, using %s, check %s', r.name, p.polname,
                  p.polcmd, p.polpermissive,
                  (SELECT array_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE o::regrole::text END ORDER BY o)
                   FROM unnest(p.polroles) AS o),
                  pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid

    UNION ALL
    SELECT format('%s: dumped where %s', x.relation::regclass, quote_literal(x.condition))
    FROM pg_extension AS e, unnest(e.extconfig, e.extcondition) AS x (relation, condition)
    WHERE e.extname = :'extension') AS facts (fact)
ORDER BY fact COLLATE "C";
