/*
 * Links to tenants' pages: what is kept of them, whom they let in, and their end.
 */
\ir ../lib/begin.sql
SELECT plan(35);

SELECT wa_configure_tenant(t, is_new => true) FROM unnest('{alba,trigal}'::text[]) AS t \g /dev/null

CREATE FUNCTION pg_temp.key_of(link text) RETURNS text LANGUAGE sql AS $$ SELECT split_part(link, '#key=', 2) $$;
/* When the test's transaction began is the past of every link made in it. */
CREATE FUNCTION pg_temp.check(tenant text, link text) RETURNS text LANGUAGE sql AS $$
    SELECT (wa_internal_check_link(tenant, encode(wa_internal_link_hash(pg_temp.key_of(link)), 'hex'))).tenant_id
$$;

/* ---- making ---- */

CREATE TEMP TABLE made AS SELECT wa_tenant_link('alba') AS link;
SELECT matches(link, '^/app/settings/notifications/alba#key=wal_[A-Za-z0-9_-]{43}$', 'a link is a path, and a key of 32 bytes behind #') FROM made;
SELECT is((SELECT count(*) FROM whatsapp_tenant_links AS l, made WHERE position(pg_temp.key_of(link) IN l::text) > 0), 0::bigint, 'the key is not kept');
SELECT is(key_hash, sha256(convert_to(pg_temp.key_of(link), 'UTF8')), 'but its SHA-256') FROM whatsapp_tenant_links, made;
SELECT is(created_by, session_user::text, 'with who made it') FROM whatsapp_tenant_links;
SELECT ok(abs(extract(epoch FROM expires_at - created_at - interval '30 days')) < 1, 'it is valid for 30 days') FROM whatsapp_tenant_links;
SELECT is(last_used_at, NULL, 'and nobody has used it') FROM whatsapp_tenant_links;
SELECT isnt(pg_temp.key_of(wa_tenant_link('alba')), pg_temp.key_of(link), 'the next one has another key') FROM made;

SELECT wa_configure_tenant('pan & café/2 á#?', is_new => true) \g /dev/null
SELECT matches(wa_tenant_link('pan & café/2 á#?'), '^/app/settings/notifications/pan%20%26%20caf%C3%A9%2F2%20%C3%A1%23%3F#key=', 'a tenant''s name is escaped');
SELECT wa_configure_tenant(12, is_new => true) \g /dev/null
SELECT matches(wa_tenant_link(12, valid_for => '1 day'), '^/app/settings/notifications/12#', 'and may be of any type');
SELECT is(wa_revoke_links(12), 1, 'for revoking, too');

SELECT throws_ok($$SELECT wa_tenant_link('nadie')$$, '42704', 'tenant "nadie" does not exist', 'a tenant must exist');
SELECT throws_ok($$SELECT wa_tenant_link(NULL::text)$$, '22004', NULL, 'and be given');
SELECT throws_ok($$SELECT wa_tenant_link('alba', page => 'admin')$$, '22023', 'unknown page "admin"', 'there is one page');
SELECT throws_ok($$SELECT wa_tenant_link('alba', page => NULL)$$, '22004', NULL, 'and a page it must be');
SELECT throws_ok($$SELECT wa_tenant_link('alba', valid_for => '-1 day')$$, '22023', 'a link can be valid for a minute to a year', 'no link is born dead');
SELECT throws_ok($$SELECT wa_tenant_link('alba', valid_for => '367 days')$$, '22023', NULL, 'or lives for ever');
SELECT throws_ok($$SELECT wa_tenant_link('alba', valid_for => 'infinity')$$, NULL, NULL, 'in whatever words');
SELECT throws_ok($$SELECT wa_tenant_link('alba', valid_for => NULL)$$, '22004', NULL, 'not even unasked');

/* ---- using ---- */

SELECT is(pg_temp.check('alba', link), 'alba', 'it opens its tenant''s page') FROM made;
SELECT isnt(last_used_at, NULL, 'and that is noted') FROM whatsapp_tenant_links, made WHERE key_hash = wa_internal_link_hash(pg_temp.key_of(link));
UPDATE whatsapp_tenant_links AS l SET last_used_at = clock_timestamp() - interval '59 s';
SELECT pg_temp.check('alba', link) FROM made \g /dev/null
SELECT ok(last_used_at < clock_timestamp() - interval '58 s', 'once a minute') FROM whatsapp_tenant_links, made WHERE key_hash = wa_internal_link_hash(pg_temp.key_of(link));
UPDATE whatsapp_tenant_links AS l SET last_used_at = clock_timestamp() - interval '61 s';
SELECT pg_temp.check('alba', link) FROM made \g /dev/null
SELECT ok(last_used_at > clock_timestamp() - interval '58 s', 'at least') FROM whatsapp_tenant_links, made WHERE key_hash = wa_internal_link_hash(pg_temp.key_of(link));

SELECT throws_ok(format('SELECT pg_temp.check(%L, %L)', 'trigal', link), '42501', 'this link is for another page', 'not another tenant''s') FROM made;
SELECT throws_ok(format('SELECT pg_temp.check(%L, %L)', 'nadie', link), '42501', 'this link is for another page', 'nor does it tell who is a tenant') FROM made;
SELECT throws_ok(format('SELECT pg_temp.check(NULL, %L)', link), '42501', NULL, 'or open the page of nobody') FROM made;
SELECT throws_ok($$SELECT pg_temp.check('alba', '#key=wal_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA')$$, '28000', 'this link is not known', 'nothing else is a key');
SELECT throws_ok($$SELECT pg_temp.check('alba', NULL)$$, '28000', 'this link is not known', 'nor is nothing');
SELECT throws_ok(format('SELECT pg_temp.check(%L, %L)', 'alba', '#key=' || encode(l.key_hash, 'hex')), '28000', NULL, 'nor what the table has')
    FROM whatsapp_tenant_links AS l LIMIT 1;

/* ---- the end ---- */

UPDATE whatsapp_tenant_links SET expires_at = clock_timestamp();
SELECT throws_ok(format('SELECT pg_temp.check(%L, %L)', 'alba', link), '28000', 'this link has expired', 'a link expires') FROM made;
UPDATE whatsapp_tenant_links SET expires_at = clock_timestamp() + interval '1 day';
SELECT wa_tenant_link('trigal') AS others \gset
SELECT is(wa_revoke_links('alba'), 2, 'all links of a tenant are revoked at once');
SELECT throws_ok(format('SELECT pg_temp.check(%L, %L)', 'alba', link), '28000', 'this link has been withdrawn', 'and open nothing') FROM made;
SELECT is(wa_revoke_links('alba'), 0, 'once');
SELECT is(pg_temp.check('trigal', :'others'), 'trigal', 'others'' links stay');

UPDATE whatsapp_tenant_links SET revoked_at = now() - interval '91 days' WHERE tenant_id = 'alba';
SELECT is(wa_internal_retain_links(1), 1::bigint, 'they are deleted a while after their end, some at a time');
SELECT wa_internal_reconcile() \g /dev/null
SELECT is((SELECT array_agg(DISTINCT tenant_id ORDER BY tenant_id) FROM whatsapp_tenant_links), '{12,"pan & café/2 á#?",trigal}', 'by the senders'' upkeep, and no others are');

SELECT * FROM finish();
ROLLBACK;
