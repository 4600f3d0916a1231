/*
 * enqueue.h
 *	  Writing a message and its queue row in the caller's transaction.
 *
 * An entry point first reads its arguments into a zeroed WaEnqueue, and then,
 * in a section between wa_owner_begin() and wa_owner_end(), calls:
 *
 *		wa_enqueue_look_up		who sends; is it already there?
 *		(build the content)
 *		wa_enqueue_write		the rows, and the wake-up for the sender
 */
#ifndef WA_ENQUEUE_ENQUEUE_H
#define WA_ENQUEUE_ENQUEUE_H

#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/snapshot.h"

#include "common/consent.h"
#include "common/recipient.h"
#include "enqueue/options.h"
#include "enqueue/placement.h"

typedef struct WaEnqueue
{
	Oid schema; /* where the tables are */
	WaMessageOptions options;

	/* as given */
	text *tenant_id;
	char recipient[WA_RECIPIENT_SIZE];
	bool recipient_is_user_id;
	const char *place; /* of the recipient in a list, for messages; or NULL */
	text *beside;	   /* what it may have been exchanged for; or NULL */
	bool silent;	   /* no NOTICE about the template: there was one */

	/* looked up */
	int64 existing_id; /* same idempotency key; 0 if none */
	bool tenant_enabled;
	WaOptOuts opt_outs;
	text *tenant_language;	/* NULL: the installation's default */
	text *phone_number_id;	/* NULL: no number yet */
	WaPlacementFacts facts; /* all but the number and the file */
	TimestampTz due_at;		/* scheduled_at, now, or the end of the quiet hours */

	/* the content */
	text *message_type;
	text *template_name;
	text *template_language;
	Jsonb *payload;
	bool is_marketing; /* falls under an opt-out of marketing */
	int64 media;	   /* file of whatsapp_media that it sends; 0 if none */
	bool awaits_media; /* ... which Meta does not have yet */

	/* The template that replaces it if its window closes before its turn; payload NULL: none. */
	struct
	{
		text *template_name;
		text *template_language;
		Jsonb *payload;
	} fallback;
} WaEnqueue;

/* Raises unless it is one.  Of a single message, the other arguments are for the hint. */
extern void wa_enqueue_recipient(WaEnqueue *e, text *recipient);

extern void wa_enqueue_look_up(WaEnqueue *e);
extern int64 wa_enqueue_write(WaEnqueue *e);

/* The reason code for which it would be stored as skipped, or NULL. */
extern const char *wa_enqueue_reason_to_skip(const WaEnqueue *e);

/*
 * Inserts the queue row of a message that has had this many attempts, and wakes the
 * sender when the transaction commits.
 */
extern void wa_enqueue_queue_row(const WaEnqueue *e, int64 id, int attempts);

/*
 * At commit, wakes the sender for a row of the queue that is ready, or deferred
 * until then; for a held row does nothing.  The number may be NULL unless the row
 * is ready.
 */
extern void wa_enqueue_wake(char state, const char *phone_number_id, int64 rank,
							TimestampTz due_at);

/* The message that has the same idempotency key; 0 if there is none. */
extern int64 wa_enqueue_find_key(const WaEnqueue *e, Snapshot snapshot);

#endif
