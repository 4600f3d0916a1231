/*
 * schema.h
 *	  Where the extension lives in the current database.
 */
#ifndef WA_BASE_SCHEMA_H
#define WA_BASE_SCHEMA_H

#include "fmgr.h"

/* Schema of the SQL function being called; a cached look-up. */
extern Oid wa_schema_of_call(FunctionCallInfo fcinfo);

/*
 * Schema of the extension, or InvalidOid while it is not installed; with the
 * version of its scripts, in size bytes, unless size is 0.
 */
extern Oid wa_schema_and_version(char *version, size_t size);

/* Its name, quoted for use in SQL, palloc'd. */
extern char *wa_schema_quoted(Oid schema);

#endif
