/*
 * ingest.h
 *	  The outline of the work on what Meta sends, for those who take it in.
 */
#ifndef WA_WEBHOOK_INGEST_H
#define WA_WEBHOOK_INGEST_H

#include "fmgr.h"

#include "base/owner.h"
#include "webhook/webhook.h"

/*
 * Meta sends up to three megabytes, and up to 1,000 updates.  What a signed body can cost
 * is bounded by this, and by the counts in webhook/field.c and webhook/park.c.
 */
#define WA_INGEST_MAX_BODY (4 * 1024 * 1024)

/* A section as the owner of the tables, in which items are read, then written. */
typedef struct WaIngest
{
	WaOwner owner;
	int guc_level;
	WaWebhook webhook;
	WaWebhookBody unmatched; /* statuses that came earlier; nobody asks for their counts */
} WaIngest;

extern void wa_ingest_require_encoding(void);
extern bool wa_ingest_is_too_large(Datum body);

/*
 * In this order: begin, read one body or several plain ones, write, end.  An error in
 * between leaves the section to the abort of the (sub)transaction (base/role_section.h).
 */
extern void wa_ingest_begin(WaIngest *ingest, FunctionCallInfo fcinfo);

/*
 * Indexes the body, in the current memory context.  Returns why that cannot be done, or
 * NULL; then a plain one (common/webhook_body.h) may be read beside others.
 */
extern const char *wa_ingest_scan(WaJson *json, const bytea *body);
extern void wa_ingest_read(WaIngest *ingest, WaWebhookBody *body, const WaJson *json);

/* Scans and reads whatever it is, as the only one; what is none is kept as a whole. */
extern void wa_ingest_read_any(WaIngest *ingest, WaWebhookBody *body, const bytea *given);

/*
 * Takes unmatched statuses along, a few, and not more often than once a second.
 */
extern void wa_ingest_read_unmatched_sometimes(WaIngest *ingest);

/* Everything but traffic, which is the caller's to write, last of all. */
extern void wa_ingest_write(WaIngest *ingest);
extern void wa_ingest_end(WaIngest *ingest);

/* What became of the items: the result of wa_webhook_ingest(). */
extern Datum wa_ingest_counts(const WaWebhookBody *body);

#endif
