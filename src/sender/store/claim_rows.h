/*
 * claim_rows.h
 *	  What the claim reads from the queue.
 */
#ifndef WA_SENDER_STORE_CLAIM_ROWS_H
#define WA_SENDER_STORE_CLAIM_ROWS_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

/* Where to go on in one number's ready rows, and how far. */
typedef struct WaClaimLimit
{
	const char *phone_number_id;
	int64 rank; /* rows after (rank, message_id) */
	int64 message_id;
	int limit;
	int64 passed_by; /* set: the lowest rank of a row that was locked; PG_INT64_MAX if none */
	bool more;		 /* set: there are further rows */
} WaClaimLimit;

/* What its recipient's consent says: sender/store/consent_rows.c. */
typedef enum WaMayLeave
{
	WA_MAY_LEAVE,
	WA_NOT_YET,		  /* somebody has it locked: to be looked at again */
	WA_OPTED_OUT,	  /* the recipient does not want it */
	WA_WINDOW_CLOSED, /* it is no template, and 24 hours have passed */
	WA_THREAD_TAKEN	  /* nor is this one, and another application has the conversation */
} WaMayLeave;

typedef struct WaClaimRow
{
	int64 message_id;
	ItemPointerData queue_tid; /* where its two rows are now */
	ItemPointerData message_tid;
	int64 rank;
	TimestampTz due_at;
	TimestampTz expires_at; /* 0: never */
	int attempts;
	const char *phone_number_id;
	const char *tenant_id;
	const char *recipient_phone;   /* or NULL */
	const char *recipient_user_id; /* or NULL */
	const char *person;			   /* whose that is; NULL: nobody knows (store/person_rows.h) */
	const char *message_type;
	const char *template_name;	   /* or NULL */
	const char *template_language; /* or NULL */
	const char *payload;
	const char *context_message_id; /* or NULL */
	bool by_id;						/* read by its id, and not after the cursor */
	WaMayLeave may_leave;
} WaClaimRow;

static inline const char *
wa_claim_row_recipient(const WaClaimRow *row)
{
	return row->recipient_phone ? row->recipient_phone : row->recipient_user_id;
}

/* One and the same for all numbers and user ids of a person. */
static inline const char *
wa_claim_row_person(const WaClaimRow *row)
{
	return row->person ? row->person : wa_claim_row_recipient(row);
}

/*
 * Needs a transaction begun with wa_store_begin.  Locks ready rows of the queue
 * until it ends: per number after its cursor, and those of these ids that are
 * still there.  What somebody else has locked is passed by.
 *
 * Returns how many there are, in the current memory context: a row that was read
 * both ways is there twice.  Raises on failure.
 */
extern int wa_store_claim(WaClaimLimit *limits, int nlimits, const int64 *ids, int nids,
						  WaClaimRow **rows);

#endif
