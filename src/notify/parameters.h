/*
 * parameters.h
 *	  The parameters of a notification's template.
 */
#ifndef WA_NOTIFY_PARAMETERS_H
#define WA_NOTIFY_PARAMETERS_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "notify/scope.h"

typedef struct WaNotifyValue
{
	const char *place; /* for messages, such as parameters[0] */
	const char *sql;
	WaFormat format;
	const char *currency; /* of WA_FORMAT_MONEY */
	int digits;			  /* behind the decimal point; -1: as they come */
	const char *fallback; /* instead of NULL; or NULL */
} WaNotifyValue;

/* The values that must be computed, as a list of WaNotifyValue. */
extern List *wa_notify_parameters_read(Jsonb *parameters, const WaNotifyScope *scope);

/* The document with their texts, in that order, in their places. */
extern Jsonb *wa_notify_parameters_fill(Jsonb *parameters, char **texts);

#endif
