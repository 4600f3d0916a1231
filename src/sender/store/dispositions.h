/*
 * dispositions.h
 *	  What becomes of messages: the rows of an acceptance, and of any other disposition.
 */
#ifndef WA_SENDER_STORE_DISPOSITIONS_H
#define WA_SENDER_STORE_DISPOSITIONS_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

typedef struct WaAccepted
{
	int64 message_id;
	ItemPointerData queue_tid; /* where its two rows were when it was claimed */
	ItemPointerData message_tid;
	int attempt;
	const char *phone_number_id;
	const char *wamid;
	const char *input;			/* whom the response is about, as we wrote him; "" if not told */
	const char *wa_id;			/* "" if unknown */
	const char *user_id;		/* "" if unknown */
	const char *message_status; /* "" if not told */
	TimestampTz at;
} WaAccepted;

/*
 * Any other disposition of a message that is still in the queue.  state is the new
 * state of its queue row, or 0 where the row goes and the message is finished
 * with the given status.
 */
typedef struct WaDisposition
{
	int64 message_id;
	char state;					 /* r, d, h, u or 0 */
	const char *status;			 /* new status of the message */
	const char *reason;			 /* hold reason, or status_reason of a finished one; or NULL */
	const char *phone_number_id; /* NULL: none */
	TimestampTz due_at;			 /* 0: as it is */
	int16 attempts;				 /* attempts counted from now on */
	bool queue_only;			 /* nothing that the message's own row says has changed */
	bool failed_attempt;		 /* keep a row in whatsapp_attempts */
	bool opts_out;				 /* the recipient wants no more of it: wa_store_opt_outs() */
	int16 attempt;				 /* its number */
	const char *outcome;		 /* its outcome, a word */
	TimestampTz started_at;
	int32 http_status;
	int32 code; /* 0: leave the message's error alone */
	const char *message;
	const char *fbtrace_id;
	bool superseded; /* set by wa_store_dispositions: the message is in the queue for a later
						attempt */
} WaDisposition;

extern void wa_store_accept(WaAccepted *accepted, int n);
extern int wa_store_lock_messages(WaDisposition *dispositions, int n);
extern void wa_store_dispositions(WaDisposition *dispositions, int n);
extern void wa_store_mark_sending(const int64 *ids, const int16 *attempts, int n);

#endif
