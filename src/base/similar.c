/*
 * similar.c
 *	  Whether a name that does not exist is a slip of the pen for one that does.
 *
 * Errors about unknown names say what the caller may have meant.  This runs on
 * the way to an error only, so that it may look at every name there is.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/varlena.h"

#include "base/quote.h"
#include "compat.h"

/* Longer names are compared as far as this; an ID of a tenant has 255 characters. */
#define MAX_BYTES 1024

/* Slips that a name of at least so many characters may have. */
#define LETTERS_PER_SLIP 4
#define MAX_SLIPS 2

/* How many names a hint suggests. */
#define MAX_SUGGESTIONS 3

PG_FUNCTION_INFO_V1(wa_internal_did_you_mean);

typedef struct Suggestion
{
	const char *name;
	int slips;
} Suggestion;

/* In lower case, and without the spaces around it: neither counts as a slip. */
static char *
plain_form(const text *name)
{
	const char *start = VARDATA_ANY(name);
	int n = pg_mbcliplen(start, VARSIZE_ANY_EXHDR(name), MAX_BYTES);

	while (n > 0 && *start == ' ')
		start++, n--;
	while (n > 0 && start[n - 1] == ' ')
		n--;
	return str_tolower(start, n, DEFAULT_COLLATION_OID);
}

/* How many characters differ; -1 if they are too many for a slip. */
static int
count_slips(const char *given, const char *known)
{
	int len = (int) strlen(given);
	int allowed = Min(MAX_SLIPS, pg_mbstrlen_with_len(given, len) / LETTERS_PER_SLIP);
	int slips = varstr_levenshtein_less_equal(given, len, known, (int) strlen(known), 1, 1, 1,
											  allowed, true);

	return slips > allowed ? -1 : slips;
}

/* Puts a name among the nearest ones, which are in order.  Returns how many there are. */
static int
suggest(Suggestion *nearest, int n, const char *name, int slips)
{
	int i = n;

	while (i > 0 && (nearest[i - 1].slips > slips ||
					 (nearest[i - 1].slips == slips && strcmp(nearest[i - 1].name, name) > 0)))
		i--;
	if (i == MAX_SUGGESTIONS)
		return n;
	n = Min(n + 1, MAX_SUGGESTIONS);
	memmove(&nearest[i + 1], &nearest[i], sizeof(Suggestion) * (n - 1 - i));
	nearest[i].name = name;
	nearest[i].slips = slips;
	return n;
}

/*
 * wa_internal_did_you_mean(given, known): the sentence of a hint that names the
 * nearest of the known names; NULL if none is near.
 */
Datum
wa_internal_did_you_mean(PG_FUNCTION_ARGS)
{
	const text *given = PG_GETARG_TEXT_PP(0);
	char *plain = plain_form(given);
	Suggestion nearest[MAX_SUGGESTIONS + 1];
	StringInfoData hint;
	Datum *known;
	bool *nulls;
	int n_known;
	int n = 0;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &known, &nulls,
					  &n_known);
	for (int i = 0; i < n_known; i++)
	{
		int slips;

		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			continue;
		slips = count_slips(plain, plain_form(DatumGetTextPP(known[i])));
		if (slips >= 0)
			n = suggest(nearest, n, TextDatumGetCString(known[i]), slips);
	}
	if (n == 0)
		PG_RETURN_NULL();
	initStringInfo(&hint);
	for (int i = 0; i < n; i++)
		appendStringInfo(&hint, "%s\"%s\"", i == 0 ? "Did you mean " : " or ",
						 wa_quote(nearest[i].name));
	appendStringInfoChar(&hint, '?');
	PG_RETURN_TEXT_P(cstring_to_text(hint.data));
}
