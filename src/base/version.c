/*
 * version.c
 *	  Which versions of the SQL scripts this library serves.
 *
 * Posting a message and settling it are two things; a sender that could do the first
 * with tables that it does not know, and not the second, would post it for ever.  So
 * it asks first.  A new version of the scripts is added by its release; an old one
 * stays for as long as the library works with its tables and has its functions.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/version.h"

#define TEXT_OF(x) #x
#define VERSION_TEXT(x) TEXT_OF(x)

/* WA_VERSION is that of the control file. */
static const char *const served[] = {VERSION_TEXT(WA_VERSION)};

PG_FUNCTION_INFO_V1(wa_internal_library_version);
PG_FUNCTION_INFO_V1(wa_internal_version_served);

const char *
wa_version_of_library(void)
{
	return VERSION_TEXT(WA_VERSION);
}

bool
wa_version_is_served(const char *scripts)
{
	for (int i = 0; i < lengthof(served); i++)
	{
		if (strcmp(scripts, served[i]) == 0)
			return true;
	}
	return false;
}

Datum
wa_internal_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(wa_version_of_library()));
}

/* wa_internal_version_served(scripts text) -> boolean */
Datum
wa_internal_version_served(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wa_version_is_served(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
