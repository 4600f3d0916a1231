/*
 * sync_rows.h
 *	  What is to be read from Meta, and what has been: whatsapp_sync and the tables
 *	  that a page of a listing changes.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.
 */
#ifndef WA_SENDER_STORE_SYNC_ROWS_H
#define WA_SENDER_STORE_SYNC_ROWS_H

#include "datatype/timestamp.h"

/* Values of whatsapp_sync.kind, in the order of wa_sync_kind_names. */
typedef enum WaSyncKind
{
	WA_SYNC_PHONE_NUMBERS,
	WA_SYNC_TEMPLATES,
	WA_SYNC_TOKEN,
	WA_SYNC_KINDS,
	WA_SYNC_NONE = -1
} WaSyncKind;

extern const char *const wa_sync_kind_names[WA_SYNC_KINDS];

/*
 * What is asked for, or due by the interval in seconds (0: never), or has failed
 * in a run that began before retry_before.  The token is due then in any case: it
 * may be another one.
 */
extern WaSyncKind wa_store_next_sync(int interval, TimestampTz retry_before);

/* A run has begun; or ended, after so many entries, or with an error if not NULL. */
extern void wa_store_sync_started(WaSyncKind kind, TimestampTz started);
extern void wa_store_sync_ended(WaSyncKind kind, int items, const char *error);

/*
 * Applies one page, a JSON text.  Returns the cursor of the next page, in the
 * current memory context, or NULL at the end; adds the page's entries to items.
 */
extern char *wa_store_apply_sync_page(WaSyncKind kind, const char *page, int *items);

/* All pages of the run that began then have been applied. */
extern void wa_store_finish_sync(WaSyncKind kind, TimestampTz started);

#endif
