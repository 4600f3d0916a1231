/*
 * lookup.h
 *	  How many lookups of names may be without an answer.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_LOOKUP_H
#define WA_HTTP_LOOKUP_H

#include <stdbool.h>

typedef struct WaLookups
{
	bool left_behind; /* threads may be at work for nobody */
} WaLookups;

/* Whether another may be begun. */
extern bool wa_lookups_may_begin(WaLookups *lookups);

#endif
