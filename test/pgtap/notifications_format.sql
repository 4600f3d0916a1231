/*
 * Notifications: numbers, money, dates and times in the tenant's language.
 */
\ir ../lib/begin.sql
SELECT plan(70);

SELECT wa_assign_phone('alba', '100000000000001') \g /dev/null
SELECT wa_configure_tenant('alba', time_zone => 'Europe/Madrid', is_new => true) \g /dev/null

CREATE TABLE public.wa_values (
    id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    n numeric, d date, t time, tz timestamptz, ts timestamp, i integer, f double precision, m money, b boolean);

/* How a value is written in a language. */
CREATE FUNCTION pg_temp.written(value jsonb, language text, columns text, VALUES_ text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM wa_drop_notification('public.wa_values', 'x');
    PERFORM wa_create_notification('public.wa_values', 'x', '''alba''', '''+34600000001''', jsonb_build_array(value), language => language, strict => true);
    EXECUTE format('INSERT INTO public.wa_values (%s) VALUES (%s)', columns, VALUES_);
    SELECT m.payload #>> '{components,0,parameters,0,text}' INTO result FROM whatsapp_messages AS m ORDER BY m.id DESC LIMIT 1;
    RETURN result;
END
$$;

/* ---- money and numbers ---- */

SELECT is(pg_temp.written('{"column": "n", "format": "money", "currency": "EUR"}', language, 'n', '1234.5'), text, 'money: ' || language)
    FROM (VALUES ('es', '1.234,50 €'), ('es_ES', '1.234,50 €'), ('es_MX', '€1,234.50'), ('en', '€1,234.50'), ('en_US', '€1,234.50'), ('en_GB', '€1,234.50'),
        ('ca', '1.234,50 €'), ('gl', '1.234,50 €'), ('eu', '1.234,50 €'), ('pt_PT', '1 234,50 €'), ('pt_BR', '€ 1.234,50'), ('fr', '1 234,50 €'),
        ('it', '1.234,50 €'), ('de', '1.234,50 €'), ('sw', '1234.50 EUR')) AS v (language, text);
SELECT is(pg_temp.written('{"column": "n", "format": "money", "currency": "USD"}', 'en', 'n', number), text, 'money: ' || number)
    FROM (VALUES ('0', '$0.00'), ('-1234567.895', '-$1,234,567.90'), ('999.999', '$1,000.00'), ('0.004', '$0.00'), ('123', '$123.00'),
        ('12345678901234567890.12', '$12,345,678,901,234,567,890.12')) AS v (number, text);
SELECT is(pg_temp.written('{"column": "n", "format": "money", "currency": "JPY"}', 'en', 'n', '1234.5'), '¥1,235', 'a currency without fractions');
SELECT is(pg_temp.written('{"column": "n", "format": "money", "currency": "EUR", "digits": 0}', 'es', 'n', '1234.5'), '1.235 €', 'digits as one likes');
SELECT is(pg_temp.written('{"column": "n", "format": "money", "currency": "CHF"}', 'es', 'n', '1234.5'), '1.234,50 CHF', 'a currency without a symbol');
SELECT is(pg_temp.written('{"column": "n", "format": "money", "currency": "CHF"}', 'en', 'n', '1234.5'), 'CHF 1,234.50', 'in front, too');
SELECT is(pg_temp.written('{"column": "i", "format": "number"}', 'es', 'i', '1234567'), '1.234.567', 'an integer');
SELECT is(pg_temp.written('{"column": "f", "format": "number", "digits": 3}', 'es', 'f', '1234.56789'), '1.234,568', 'a floating-point number');
SELECT is(pg_temp.written('{"column": "m", "format": "money", "currency": "EUR"}', 'es', 'm', '''12.34'''), '12,34 €', 'a value of type money');
SELECT is(pg_temp.written('{"column": "n", "format": "number"}', 'es', 'n', '1234.5000'), '1.234,5000', 'as many digits as there are');
SELECT is(pg_temp.written('{"column": "n", "format": "number"}', 'es', 'n', '-999'), '-999', 'no group where none is needed');
SELECT is(pg_temp.written('{"column": "n"}', 'es', 'n', '1234.50'), '1234.50', 'without a format a number stays as it is');
SELECT is(pg_temp.written('"b"', 'es', 'b', 'true'), 'true', 'and a boolean is a word');
SELECT throws_ok($$SELECT pg_temp.written('{"column": "n", "format": "number"}', 'es', 'n', '''NaN''')$$, '22003', NULL, 'NaN is no number');

/* ---- dates and times ---- */

SELECT is(pg_temp.written('{"column": "d", "format": "date"}', language, 'd', '''2026-12-03'''), text, 'date: ' || language)
    FROM (VALUES ('es', '3 de diciembre de 2026'), ('es_AR', '3 de diciembre de 2026'), ('en', 'December 3, 2026'), ('en_GB', '3 December 2026'),
        ('ca', '3 de desembre de 2026'), ('gl', '3 de decembro de 2026'), ('eu', '2026(e)ko abenduaren 3(a)'), ('pt_BR', '3 de dezembro de 2026'),
        ('fr', '3 décembre 2026'), ('it', '3 dicembre 2026'), ('de', '3. Dezember 2026'), ('sw', '2026-12-03')) AS v (language, text);
SELECT is(pg_temp.written('{"column": "d", "format": "date"}', 'fr', 'd', '''2026-08-01'''), '1er août 2026', 'the first in French');
SELECT is(pg_temp.written('{"column": "d", "format": "date"}', 'ca', 'd', '''2026-04-01'''), '1 d’abril de 2026', 'April in Catalan');
SELECT is(pg_temp.written('{"column": "d", "format": "short_date"}', language, 'd', '''2026-12-03'''), text, 'short date: ' || language)
    FROM (VALUES ('es', '3/12/2026'), ('en', '12/3/2026'), ('en_GB', '03/12/2026'), ('de', '03.12.2026'), ('eu', '2026/12/3'), ('sw', '2026-12-03')) AS v (language, text);
SELECT is(pg_temp.written('"d"', 'es', 'd', '''2026-12-03'''), '3 de diciembre de 2026', 'a date is written as one without being told');
SELECT is(pg_temp.written('"t"', language, 't', '''17:05'''), text, 'time: ' || language)
    FROM (VALUES ('es', '17:05'), ('en', '5:05 PM'), ('en_GB', '17:05'), ('sw', '17:05')) AS v (language, text);
SELECT is(pg_temp.written('"t"', 'en', 't', quote_literal(clock)), text, 'twelve hours: ' || clock)
    FROM (VALUES ('00:00', '12:00 AM'), ('00:30', '12:30 AM'), ('12:00', '12:00 PM'), ('11:59:59', '11:59 AM')) AS v (clock, text);
SELECT is(pg_temp.written('"tz"', 'es', 'tz', '''2026-06-30 22:30Z'''), '1 de julio de 2026, 00:30', 'an absolute time is that of the tenant''s zone');
SELECT is(pg_temp.written('"ts"', 'es', 'ts', '''2026-06-30 22:30'''), '30 de junio de 2026, 22:30', 'one without a zone is as it is');
SELECT is(pg_temp.written('{"column": "tz", "format": "time"}', 'es', 'tz', '''2026-12-31 23:30Z'''), '00:30', 'its time');
SELECT is(pg_temp.written('{"column": "tz", "format": "date"}', 'es', 'tz', '''2026-12-31 23:30Z'''), '1 de enero de 2027', 'and its date');
SELECT throws_ok($$SELECT pg_temp.written('"d"', 'es', 'd', '''infinity''')$$, '22008', NULL, 'infinity is no date');

/* ---- nothing of it depends on the session ---- */

SET LOCAL DateStyle = 'German';
SET LOCAL TimeZone = 'Asia/Tokyo';
SET LOCAL lc_monetary = 'C';
SELECT is(pg_temp.written('"tz"', 'es', 'tz', '''2026-06-30 22:30Z'''), '1 de julio de 2026, 00:30', 'wherever the session is');
SELECT is(pg_temp.written('{"column": "d", "format": "short_date"}', 'es', 'd', '''2026-12-03'''), '3/12/2026', 'and whatever dates it likes');
CREATE TABLE public.wa_days (day date, moment timestamptz, PRIMARY KEY (day, moment));
SELECT wa_create_notification('public.wa_days', 'day', '''alba''', '''+34600000001''', strict => true) \g /dev/null
INSERT INTO public.wa_days VALUES ('2026-12-03', '2026-12-03 17:00Z');
SELECT is((SELECT m.idempotency_key FROM whatsapp_messages AS m ORDER BY m.id DESC LIMIT 1), 'public.wa_days/day:2026-12-03,2026-12-03T17:00:00+00:00',
    'nor do keys');

SELECT * FROM finish();
ROLLBACK;
