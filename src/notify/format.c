/*
 * format.c
 *	  Values as people write them, in a given language.
 *
 * Nothing here depends on the settings of the session: the same row gives the
 * same message whether a Python program or a psql in another country wrote it.
 * A language that we do not know gets ISO dates and plain numbers, which
 * everybody can read.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "parser/parse_coerce.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/cash.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/zone.h"
#include "common/language.h"
#include "notify/format.h"

static const char *const format_names[] = {[WA_FORMAT_NONE] = "none",
										   [WA_FORMAT_NUMBER] = "number",
										   [WA_FORMAT_MONEY] = "money",
										   [WA_FORMAT_DATE] = "date",
										   [WA_FORMAT_SHORT_DATE] = "short_date",
										   [WA_FORMAT_TIME] = "time",
										   [WA_FORMAT_DATETIME] = "datetime"};

const char *
wa_format_name(WaFormat format)
{
	return format_names[format];
}

bool
wa_format_find(const char *name, WaFormat *format)
{
	for (int i = WA_FORMAT_NUMBER; i < lengthof(format_names); i++)
	{
		if (strcmp(name, format_names[i]) == 0)
		{
			*format = i;
			return true;
		}
	}
	return false;
}

bool
wa_format_takes(WaFormat format, Oid type)
{
	bool is_instant = type == TIMESTAMPOID || type == TIMESTAMPTZOID;

	switch (format)
	{
		case WA_FORMAT_NONE:
			return true;
		case WA_FORMAT_NUMBER:
		case WA_FORMAT_MONEY:
			return type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID ||
				   type == FLOAT4OID || type == FLOAT8OID || type == CASHOID;
		case WA_FORMAT_DATE:
		case WA_FORMAT_SHORT_DATE:
			return is_instant || type == DATEOID;
		case WA_FORMAT_TIME:
			return is_instant || type == TIMEOID || type == TIMETZOID;
		case WA_FORMAT_DATETIME:
			return is_instant;
	}
	return false;
}

/*
 * Nobody wants to read an ISO date.  Numbers stay as they are: they may be
 * numbers of orders.
 */
WaFormat
wa_format_default(Oid type)
{
	switch (type)
	{
		case DATEOID:
			return WA_FORMAT_DATE;
		case TIMEOID:
		case TIMETZOID:
			return WA_FORMAT_TIME;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return WA_FORMAT_DATETIME;
		default:
			return WA_FORMAT_NONE;
	}
}

/* ---- numbers ---- */

/*
 * "number" as numeric_out writes it, without its sign.
 */
static void
append_grouped(StringInfo buf, const char *number, const WaLanguage *language)
{
	const char *point = strchr(number, '.');
	int whole = point != NULL ? (int) (point - number) : (int) strlen(number);

	for (int i = 0; i < whole; i++)
	{
		if (i > 0 && (whole - i) % 3 == 0 && language != NULL)
			appendStringInfoString(buf, language->group);
		appendStringInfoChar(buf, number[i]);
	}
	if (point != NULL)
		appendStringInfo(buf, "%s%s", language != NULL ? language->decimal : ".", point + 1);
}

static const char *
round_to_text(Datum value, int digits)
{
	if (numeric_is_nan(DatumGetNumeric(value)) || numeric_is_inf(DatumGetNumeric(value)))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("a value that is not finite cannot be written as a number")));
	if (digits >= 0)
		value = DirectFunctionCall2(numeric_round, value, Int32GetDatum(digits));
	return DatumGetCString(DirectFunctionCall1(numeric_out, value));
}

static void
format_number(StringInfo buf, const WaFormatOptions *options, const WaLanguage *language,
			  Datum value)
{
	const char *number = round_to_text(value, options->digits);

	if (*number == '-')
		appendStringInfoChar(buf, *number++);
	append_grouped(buf, number, language);
}

static void
format_money(StringInfo buf, const WaFormatOptions *options, const WaLanguage *language,
			 Datum value)
{
	const WaCurrency *currency = wa_currency_find(options->currency);
	int digits = options->digits;
	const char *symbol = options->currency;
	const char *number;

	if (digits < 0)
		digits = currency != NULL ? currency->digits : 2;
	if (currency != NULL && language != NULL)
		symbol = currency->symbol;
	number = round_to_text(value, digits);
	if (*number == '-')
		appendStringInfoChar(buf, *number++);
	if (language == NULL || !language->currency_first)
	{
		append_grouped(buf, number, language);
		appendStringInfo(buf, "%s%s", language != NULL ? language->currency_space : " ", symbol);
	}
	else
	{
		/* A code, unlike a symbol, is a word of its own. */
		appendStringInfo(buf, "%s%s", symbol,
						 symbol == options->currency ? " " : language->currency_space);
		append_grouped(buf, number, language);
	}
}

/* ---- dates and times ---- */

/*
 * As for quiet hours: a tenant without a time zone lives in the server's.  One that is not known
 * is an error here: the hour in a text would be wrong.
 */
static Datum
zone_of(text *time_zone)
{
	return time_zone != NULL ? PointerGetDatum(time_zone) : wa_zone_of_server();
}

static void
not_finite(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					errmsg("an infinite time cannot be written as a date")));
}

static void
split_timestamp(Timestamp timestamp, struct pg_tm *tm)
{
	fsec_t fsec;

	if (TIMESTAMP_NOT_FINITE(timestamp))
		not_finite();
	if (timestamp2tm(timestamp, NULL, tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
}

static void
split_time(TimeADT time, struct pg_tm *tm)
{
	tm->tm_hour = (int) (time / USECS_PER_HOUR);
	tm->tm_min = (int) (time / USECS_PER_MINUTE % MINS_PER_HOUR);
}

/*
 * The calendar date and clock time where the tenant lives.
 */
static void
split(const WaFormatOptions *options, Datum value, Oid type, struct pg_tm *tm)
{
	memset(tm, 0, sizeof(*tm));
	switch (type)
	{
		case DATEOID:
			if (DATE_NOT_FINITE(DatumGetDateADT(value)))
				not_finite();
			j2date(DatumGetDateADT(value) + POSTGRES_EPOCH_JDATE, &tm->tm_year, &tm->tm_mon,
				   &tm->tm_mday);
			break;
		case TIMEOID:
			split_time(DatumGetTimeADT(value), tm);
			break;
		case TIMETZOID:
			split_time(DatumGetTimeTzADTP(value)->time, tm);
			break;
		case TIMESTAMPTZOID:
			if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
				not_finite();
			value = DirectFunctionCall2(timestamptz_zone, zone_of(options->time_zone), value);
			/* FALLTHROUGH */
		case TIMESTAMPOID:
			split_timestamp(DatumGetTimestamp(value), tm);
			break;
		default:
			elog(ERROR, "type %u is neither date nor time", type);
	}
}

static void
append_date(StringInfo buf, const char *pattern, const WaLanguage *language, const struct pg_tm *tm)
{
	for (const char *p = pattern; *p != '\0'; p++)
	{
		if (*p != '%')
		{
			appendStringInfoChar(buf, *p);
			continue;
		}
		switch (*++p)
		{
			case 'd':
				appendStringInfo(buf, "%d", tm->tm_mday);
				break;
			case 'D':
				appendStringInfo(buf, "%02d", tm->tm_mday);
				break;
			case 'o':
				appendStringInfo(buf, "%d%s", tm->tm_mday, tm->tm_mday == 1 ? "er" : "");
				break;
			case 'n':
				appendStringInfo(buf, "%d", tm->tm_mon);
				break;
			case 'N':
				appendStringInfo(buf, "%02d", tm->tm_mon);
				break;
			case 'm':
				appendStringInfoString(buf, language->months[tm->tm_mon - 1]);
				break;
			case 'y':
				appendStringInfo(buf, "%d", tm->tm_year);
				break;
		}
	}
}

static void
append_time(StringInfo buf, const WaLanguage *language, const struct pg_tm *tm)
{
	if (language != NULL && language->twelve_hours)
		appendStringInfo(buf, "%d:%02d %s", (tm->tm_hour + 11) % 12 + 1, tm->tm_min,
						 tm->tm_hour % 24 < 12 ? "AM" : "PM");
	else
		appendStringInfo(buf, "%02d:%02d", tm->tm_hour, tm->tm_min);
}

static void
format_time(StringInfo buf, const WaFormatOptions *options, const WaLanguage *language, Datum value,
			Oid type)
{
	bool is_short = options->format == WA_FORMAT_SHORT_DATE;
	struct pg_tm tm;

	split(options, value, type, &tm);
	if (options->format != WA_FORMAT_TIME)
	{
		if (language != NULL)
			append_date(buf, is_short ? language->short_date : language->date, language, &tm);
		else
			append_date(buf, "%y-%N-%D", NULL, &tm);
	}
	if (options->format == WA_FORMAT_DATETIME)
		appendStringInfoString(buf, language != NULL ? ", " : " ");
	if (options->format == WA_FORMAT_TIME || options->format == WA_FORMAT_DATETIME)
		append_time(buf, language, &tm);
}

/* ---- */

static char *
plain_text(Datum value, Oid type)
{
	Oid output;
	bool is_varlena;

	if (type == BOOLOID)
		return pstrdup(DatumGetBool(value) ? "true" : "false");
	getTypeOutputInfo(type, &output, &is_varlena);
	return OidOutputFunctionCall(output, value);
}

char *
wa_format_value(const WaFormatOptions *options, Datum value, Oid type)
{
	const WaLanguage *language = wa_language_find(options->language);
	StringInfoData buf;

	initStringInfo(&buf);
	switch (options->format)
	{
		case WA_FORMAT_NONE:
			return plain_text(value, type);
		case WA_FORMAT_NUMBER:
			format_number(&buf, options, language, value);
			break;
		case WA_FORMAT_MONEY:
			format_money(&buf, options, language, value);
			break;
		default:
			format_time(&buf, options, language, value, type);
			break;
	}

	/* The tables are UTF-8; a database that has no euro sign says so here. */
	return pg_any_to_server(buf.data, buf.len, PG_UTF8);
}

char *
wa_format_canonical(Datum value, Oid type)
{
	Oid base = getBaseType(type);
	int utc = 0;

	switch (base)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return JsonEncodeDateTime(palloc(MAXDATELEN + 1), value, base,
									  base == TIMESTAMPTZOID ? &utc : NULL);
		default:
			return plain_text(value, type);
	}
}

Datum
wa_format_instant(Datum value, Oid type, text *time_zone)
{
	if (type == TIMESTAMPTZOID)
		return value;
	if (type == DATEOID)
		value = DirectFunctionCall1(date_timestamp, value);
	return DirectFunctionCall2(timestamp_zone, zone_of(time_zone), value);
}
