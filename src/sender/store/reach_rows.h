/*
 * reach_rows.h
 *	  Who was written to first in the last 24 hours: whatsapp_reach.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  Rows
 * and strings live until that transaction ends.
 */
#ifndef WA_SENDER_STORE_REACH_ROWS_H
#define WA_SENDER_STORE_REACH_ROWS_H

#include "datatype/timestamp.h"

typedef struct WaReachRow
{
	const char *tenant_id;
	double daily_share; /* of the account's limit; below 0: it has none */
	int64 used;			/* recipients of the last 24 hours */
	TimestampTz oldest; /* of these; 0: there is none */
} WaReachRow;

/* One row for each tenant; returns how many there are.  Takes long where many were reached. */
extern int wa_store_reach(WaReachRow **rows);

/* Forgets what is older than 24 hours. */
extern void wa_store_prune_reach(void);

/*
 * Which of these cost nothing: the recipient was reached already, or wrote to this
 * number in the last 24 hours.  free has room for n.
 */
extern void wa_store_is_reached(const char *const *recipients, const char *const *numbers, int n,
								bool *free);

/* These are reached from now on, each by its tenant. */
extern void wa_store_add_reached(const char *const *recipients, const char *const *tenants, int n);

#endif
