/*
 * A property: whatever is told of persons, in whatever order, portions and repetitions, no
 * message begins for one after an opt-out, no window that is open is refused, and what
 * is left follows from what was told, not from its order.
 *
 * test/lib/persons.sql invents the histories, tells them, and says what must hold.  They follow
 * from the seed, which is printed:
 *   psql -v seed=0.123 -v histories=1000 -f persons_histories.sql
 * make check-persons-long tells a million.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
\ir ../lib/persons.sql
SELECT plan(9);

\if :{?seed}
\else
SELECT round(random()::numeric, 6) AS seed \gset
\endif
\if :{?histories}
\else
\set histories 60
\endif
\echo # seed :seed
SELECT setseed(:seed) \g /dev/null

SELECT pg_temp.prepare() \g /dev/null
CALL pg_temp.tell_histories(:histories, 2, 6, false);
SELECT pg_temp.sweep() \g /dev/null

CREATE FUNCTION pg_temp.never_wrong(property text) RETURNS text LANGUAGE sql AS $$
    SELECT is_empty(format('SELECT w.h, w.t, w.detail FROM pg_temp.wrong AS w WHERE w.property = %L ORDER BY 1, 2, 3 LIMIT 5', property), property)
$$;
SELECT pg_temp.never_wrong('all of it can be used');
SELECT pg_temp.never_wrong('each person is one, under every form, with one key');
SELECT pg_temp.never_wrong('different persons are different');
SELECT pg_temp.never_wrong('nobody is there besides');
SELECT pg_temp.never_wrong('the latest number, user ID, name and user name are shown');
SELECT pg_temp.never_wrong('who has opted out last has opted out, under every form, and nobody else');
SELECT pg_temp.never_wrong('the window is that of the latest message, under every form');
SELECT pg_temp.never_wrong('a message is accepted, held, skipped or refused as the person wants');
SELECT pg_temp.never_wrong('no message begins for a person after an opt-out, and none is lost');

SELECT * FROM finish();
ROLLBACK;
