/*
 * The error codes of the Cloud API, as an operator looks them up.
 */
\ir ../lib/begin.sql
SELECT plan(15);

SELECT results_eq($$SELECT class, pause, max_retries, opts_out FROM wa_error_codes WHERE code = 131026$$,
    $$VALUES ('permanent', NULL::interval, NULL::integer, false)$$, 'a message that cannot be delivered fails');
SELECT results_eq($$SELECT class, pause, max_retries, opts_out FROM wa_error_codes WHERE code = 131049$$,
    $$VALUES ('retry', interval '24 hours', 2, false)$$, 'one that Meta withholds waits a day, twice at most');
SELECT results_eq($$SELECT class, pause FROM wa_error_codes WHERE code = 130429$$,
    $$VALUES ('throttle_number', interval '2 seconds')$$, 'a number that is too fast is slowed down');
SELECT results_eq($$SELECT class, pause FROM wa_error_codes WHERE code = 190$$,
    $$VALUES ('pause_account', NULL::interval)$$, 'a bad token stops the account until somebody acts');
SELECT results_eq($$SELECT class FROM wa_error_codes WHERE code = 132016$$,
    $$VALUES ('pause_template')$$, 'a disabled template stops nothing else');
SELECT results_eq($$SELECT code FROM wa_error_codes WHERE opts_out$$,
    $$VALUES (131050)$$, 'one code says that the recipient wants no more');
SELECT is((SELECT count(*) FROM wa_error_codes WHERE code BETWEEN 200 AND 299), 100::bigint,
    'a range of codes has a row for each');
SELECT is((SELECT count(*) FROM wa_error_codes WHERE code = 130430), 0::bigint, 'unknown codes have none');
SELECT is((SELECT count(*) - count(DISTINCT code) FROM wa_error_codes), 0::bigint, 'no code has two rows');
SELECT is((SELECT count(*) FROM wa_error_codes
    WHERE title = '' OR remedy !~ '^[A-Z].*[.]$'), 0::bigint, 'each has a title and a remedy that is a sentence');
SELECT bag_eq($$SELECT DISTINCT class FROM wa_error_codes$$,
    $$VALUES ('permanent'), ('retry'), ('throttle_number'), ('throttle_pair'), ('pause_account_short'),
        ('pause_account'), ('pause_number'), ('pause_template'), ('not_applicable')$$, 'the classes that the manual names');
SELECT is((SELECT string_agg(code || ': ' || remedy, E'\n') FROM wa_error_codes WHERE remedy ~* 'another category|other category|category of|buy|new number'), NULL,
    'none advises what Meta punishes: another category (131064), another number');
SELECT is((SELECT string_agg(DISTINCT class, ', ') FROM wa_error_codes WHERE code = ANY ('{2494164,2494165,2494166,2494167,2494168,2494176,2494177,2494179}')
    HAVING count(*) = 8), 'not_applicable', 'the codes of customers'' sign-up are known');
SELECT is((SELECT count(*) FROM wa_error_codes WHERE class = 'permanent' AND remedy LIKE '%wa_retry_message%' AND remedy !~* '(then|and) (call )?wa_retry_message|Once '), 0::bigint,
    'nobody is sent round in circles: a cause is mended before a permanent failure is tried again');
SELECT throws_ok($$UPDATE wa_error_codes SET class = 'retry' WHERE code = 190$$, '55000', NULL,
    'what a code means is not for SQL to change');

SELECT * FROM finish();
ROLLBACK;
