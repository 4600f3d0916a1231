/*
 * text_limits.c
 *	  Rules that several kinds of content share, each with its message.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "base/jsonb.h"
#include "common/blank_text.h"
#include "template/text_limits.h"

char *
wa_format(const char *fmt, va_list args)
{
	StringInfoData out;

	initStringInfo(&out);
	for (;;)
	{
		va_list again;
		int needed;

		va_copy(again, args);
		needed = appendStringInfoVA(&out, fmt, again);
		va_end(again);
		if (needed == 0)
			return out.data;
		enlargeStringInfo(&out, needed);
	}
}

/*
 * In another encoding nothing is sent (all texts are UTF-8), and what is blank is not
 * looked for.
 */
bool
wa_shows_nothing(const char *text)
{
	return GetDatabaseEncoding() == PG_UTF8 && wa_text_is_blank(text, strlen(text));
}

/* Meta counts characters, not bytes. */
void
wa_check_text(const char *what, const char *text, int max)
{
	int chars = pg_mbstrlen(text);

	if (chars == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be empty", what)));
	if (wa_shows_nothing(text))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be blank", what),
				 errdetail("It consists of characters that nobody sees.")));
	if (chars > max)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s is too long", what),
						errdetail("It has %d characters; at most %d are allowed.", chars, max)));
}

void
wa_check_link(const char *what, const char *link)
{
	const char *rest = NULL;

	if (pg_strncasecmp(link, "https://", 8) == 0)
		rest = link + 8;
	else if (pg_strncasecmp(link, "http://", 7) == 0)
		rest = link + 7;
	if (rest == NULL || *rest == '\0' || *rest == '/')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be an http or https URL", what)));
	for (const char *p = rest; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= ' ' || *p == 0x7f)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s must not contain spaces or control characters", what)));
	}
	wa_check_text(what, link, WA_MAX_LINK);
}

static void
check_degrees(const char *what, const JsonbValue *value, double limit)
{
	char *text = wa_jsonb_scalar(value);
	char *end;
	double degrees;

	if (text == NULL || value->type == jbvBool)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s of the location is missing or not a number", what)));
	degrees = strtod(text, &end);
	if (end == text || *end != '\0' || !(degrees >= -limit && degrees <= limit))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s of the location must be a number from -%.0f to %.0f", what,
							   limit, limit)));
}

void
wa_check_coordinates(const JsonbValue *latitude, const JsonbValue *longitude)
{
	check_degrees("latitude", latitude, 90);
	check_degrees("longitude", longitude, 180);
}
