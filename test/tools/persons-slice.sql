/*
 * Tells a slice of histories of persons (test/lib/persons.sql), each portion in a transaction of its
 * own, in a database of its own.  Prints what is wrong, and last a line of counts:
 * histories, tellings, events, probes, wrong tellings.
 *   psql -v seed=0.123 -v histories=500 -v events=6 -f persons-slice.sql
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
\ir ../lib/persons.sql
SELECT setseed(:seed) \g /dev/null
SELECT pg_temp.prepare() \g /dev/null
COMMIT;
CALL pg_temp.tell_histories(:histories, 2, :events, true);
SELECT pg_temp.sweep() \g /dev/null
SELECT format('wrong: %s: history %s, telling %s: %s', w.property, w.h, w.t, left(w.detail, 300))
FROM (SELECT *, row_number() OVER (PARTITION BY property ORDER BY h, t) AS n FROM pg_temp.wrong) AS w WHERE w.n <= 5 ORDER BY w.property, w.n;
SELECT format('%s %s %s %s %s', t.histories, t.tellings, t.events, t.probes, (SELECT count(DISTINCT (h, t)) FROM pg_temp.wrong)) FROM pg_temp.told AS t;
