/*
 * parameters.h
 *	  A statement and its parameters, and a copy of them for one that has to wait.
 */
#ifndef GW_PARAMETERS_H
#define GW_PARAMETERS_H

#include <libpq-fe.h>

/* As PQsendQueryParams() takes them: types, lengths and formats may be NULL, as may each value. */
typedef struct GwParameters
{
	const char *sql;
	int n;
	const Oid *types;
	const char *const *values;
	const int *lengths;
	const int *formats;
} GwParameters;

/* In one piece of memory. */
extern GwParameters *gw_parameters_copy(const GwParameters *from);
extern void gw_parameters_free(GwParameters *copy); /* NULL is allowed */

#endif
