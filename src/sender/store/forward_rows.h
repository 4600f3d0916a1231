/*
 * forward_rows.h
 *	  Webhooks that wait for other nodes: whatsapp_forwards, whatsapp_nodes.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  What happens
 * to the rows is in the SQL functions that are called here (sql/66-forwards.sql).
 */
#ifndef WA_SENDER_STORE_FORWARD_ROWS_H
#define WA_SENDER_STORE_FORWARD_ROWS_H

#include "datatype/timestamp.h"

/* A node; its strings live until the transaction ends. */
typedef struct WaNodeRow
{
	const char *node;
	const char *url;
} WaNodeRow;

/* What goes out together. */
typedef struct WaForwardQuery
{
	const char *node;
	bool has_words;
	int64 after; /* beyond this one */
	int most;
	int64 most_bytes;
	int64 most_parts;
} WaForwardQuery;

typedef struct WaForwardRow
{
	int64 forward_id;
	const char *entry;
} WaForwardRow;

/* In order of their names; sets *rows, which lives until the transaction ends. */
extern int wa_store_nodes(WaNodeRow **rows);

/* In order of arrival; the same. */
extern int wa_store_next_forwards(const WaForwardQuery *query, WaForwardRow **rows);

/* When the next one that was put off is due; DT_NOEND: none. */
extern TimestampTz wa_store_next_forward_time(void);

/* The node has taken these; or not, and why.  refused: it was one alone, and may have been seen. */
extern void wa_store_forwarded(const char *node, const int64 *ids, int n);
extern void wa_store_forward_failed(const char *node, const int64 *ids, int n, bool refused,
									const char *problem);

/* What is due by the clock, also for those that take nothing. */
extern void wa_store_keep_forwards(void);

#endif
