/*
 * quote.c
 *	  Values from outside, as they may appear in an error, a row or the log.
 *
 * Whatever comes from a caller or from Meta may be a hundred megabytes long, end the
 * line of the log and begin another that looks like the server's, or turn the rest of
 * the line round.  Every message that quotes such a value quotes it by these.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/quote.h"
#include "common/plain_text.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(wa_internal_quote);

static char *
quote_len(const char *text, size_t len)
{
	int clipped = pg_mbcliplen(text, (int) Min(len, 4 * WA_QUOTE_BYTES), WA_QUOTE_BYTES);
	StringInfoData out;

	initStringInfo(&out);
	for (int at = 0; at < clipped;)
	{
		int size = Min(pg_mblen(text + at), clipped - at);
		char character[MAX_MULTIBYTE_CHAR_LEN + 1] = {0};

		memcpy(character, text + at, Min(size, MAX_MULTIBYTE_CHAR_LEN));
		if (wa_plain_text_oddity(character) == (size_t) size &&
			(size == 1 || GetDatabaseEncoding() == PG_UTF8))
			for (int i = 0; i < size; i++)
				appendStringInfo(&out, "\\x%02x", (unsigned char) text[at + i]);
		else
			appendBinaryStringInfo(&out, text + at, size);
		at += size;
	}
	if ((size_t) clipped < len)
		appendStringInfoString(&out, "...");
	return out.data;
}

char *
wa_quote(const char *text)
{
	return quote_len(text, strlen(text));
}

char *
wa_quote_text(const text *value)
{
	return quote_len(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

/* wa_internal_quote(value text) -> text */
Datum
wa_internal_quote(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(wa_quote_text(PG_GETARG_TEXT_PP(0))));
}
