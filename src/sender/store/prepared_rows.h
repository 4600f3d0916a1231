/*
 * prepared_rows.h
 *	  Messages of transactions that are prepared, and have not ended.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.
 */
#ifndef WA_SENDER_STORE_PREPARED_ROWS_H
#define WA_SENDER_STORE_PREPARED_ROWS_H

#include "c.h"

/* This database's prepared transactions; the same text as long as they are the same. */
extern const char *wa_store_prepared_transactions(void);

/*
 * Their messages, of those transactions that came by replication; sorted.  Reads the queue
 * from end to end, unless nothing is prepared.
 */
extern int wa_store_prepared_messages(int64 **ids);

#endif
