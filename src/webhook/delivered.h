/*
 * delivered.h
 *	  How delivered messages count for wa_costs.
 */
#ifndef WA_WEBHOOK_DELIVERED_H
#define WA_WEBHOOK_DELIVERED_H

#include "datatype/timestamp.h"

typedef struct WaDelivered
{
	TimestampTz at;		  /* 0: it is not delivered, and the rest says nothing */
	const char *category; /* NULL: Meta has not told any */
	bool is_free;
} WaDelivered;

/* A message that counts otherwise than before. */
typedef struct WaRecount
{
	int64 message_id;
	WaDelivered before;
} WaRecount;

extern bool wa_delivered_differs(const WaDelivered *before, const WaDelivered *after);

/* Takes from the sums of whatsapp_usage_days what was counted, and adds what the rows say now. */
extern void wa_delivered_recount(Oid schema, const WaRecount *recounts, int n);

#endif
