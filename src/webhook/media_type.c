/*
 * media_type.c
 *	  Which files that customers send are fetched: for SQL.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "common/media_types.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(wa_internal_media_type_wanted);

/*
 * wa_internal_media_type_wanted(mime_type, types)
 */
Datum
wa_internal_media_type_wanted(PG_FUNCTION_ARGS)
{
	const text *type = PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(wa_media_types_include(text_to_cstring(PG_GETARG_TEXT_PP(1)), VARDATA_ANY(type),
										  VARSIZE_ANY_EXHDR(type)));
}
