/*
 * zone.c
 *	  In which time zone somebody lives.
 *
 * A name is checked when it is written, and may be gone later: time zones belong to
 * the operating system, whose upgrades rename them, or move old names to a package of
 * their own.  What goes by one for many tenants at once, or for somebody who is not
 * asked about it, must not fail then, so it goes by the server's; wa_health() says so.
 */
#include "postgres.h"

#include "fmgr.h"
#include "pgtime.h"
#include "utils/builtins.h"

#include "base/zone.h"
#include "compat.h"

Datum
wa_zone_of_server(void)
{
	return CStringGetTextDatum(pg_get_timezone_name(log_timezone));
}

Datum
wa_zone_if_known(const text *name)
{
	char known[TZ_STRLEN_MAX + 1];

	if (name == NULL || VARSIZE_ANY_EXHDR(name) > TZ_STRLEN_MAX)
		return wa_zone_of_server();
	text_to_cstring_buffer(name, known, sizeof(known));
	return pg_tzset(known) != NULL ? PointerGetDatum(name) : wa_zone_of_server();
}

PG_FUNCTION_INFO_V1(wa_internal_known_zone);

Datum
wa_internal_known_zone(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(wa_zone_if_known(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0)));
}
