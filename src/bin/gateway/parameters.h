/*
 * parameters.h
 *	  A copy of a statement and its parameters, for one that has to wait.
 */
#ifndef GW_PARAMETERS_H
#define GW_PARAMETERS_H

#include <libpq-fe.h>

/* As PQsendQueryParams() takes them; all zeroes is an empty one. */
typedef struct GwParameters
{
	char *sql;
	int n;
	Oid *types;
	char **values;
	int *lengths;
	int *formats;
} GwParameters;

/* types, lengths and formats may be NULL, as may each value. */
extern void gw_parameters_copy(GwParameters *out, const char *sql, int n, const Oid *types,
							   const char *const *values, const int *lengths, const int *formats);
extern void gw_parameters_free(GwParameters *parameters);

#endif
