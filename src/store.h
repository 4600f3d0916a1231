/*
 * store.h
 *	  Every SQL statement a sender runs on the hot path, with rows in typed
 *	  structs.  Knows nothing of HTTP.
 *
 * Everything returned lives in the current memory context.  All functions
 * but wa_store_begin and wa_store_commit need a transaction begun with the
 * former, and raise on failure.
 */
#ifndef WA_STORE_H
#define WA_STORE_H

#include "datatype/timestamp.h"

#include "plan.h"

/* Where to go on in one number's ready rows, and how far. */
typedef struct WaClaimLimit
{
	const char *phone_number_id;
	int64 rank; /* rows after (rank, message_id) */
	int64 message_id;
	int limit;
} WaClaimLimit;

typedef struct WaClaimRow
{
	int64 message_id;
	int64 rank;
	TimestampTz due_at;
	TimestampTz expires_at; /* 0: never */
	int attempts;
	const char *phone_number_id;
	const char *tenant_id;
	const char *recipient_phone;   /* or NULL */
	const char *recipient_user_id; /* or NULL */
	const char *message_type;
	const char *template_name;	   /* or NULL */
	const char *template_language; /* or NULL */
	const char *payload;
	const char *context_message_id; /* or NULL */
	const char *on_uncertain;		/* or NULL */
} WaClaimRow;

typedef struct WaAccepted
{
	int64 message_id;
	int attempt;
	const char *phone_number_id;
	const char *wamid;
	const char *wa_id;			/* "" if unknown */
	const char *user_id;		/* "" if unknown */
	const char *message_status; /* "" if not told */
	TimestampTz at;
} WaAccepted;

/*
 * Any other fate of a message that is still in the queue.  state is the new
 * state of its queue row, or 0 where the row goes and the message is finished
 * with the given status.
 */
typedef struct WaFate
{
	int64 message_id;
	char state;					 /* r, d, h, u or 0 */
	const char *status;			 /* new status of the message */
	const char *reason;			 /* hold reason, or status_reason of a finished one; or NULL */
	const char *phone_number_id; /* NULL: none */
	TimestampTz due_at;			 /* 0: as it is */
	int attempts;				 /* attempts counted from now on */
	bool failed_attempt;		 /* keep a row in whatsapp_attempts */
	int attempt;				 /* its number */
	const char *outcome;		 /* its outcome, a word */
	TimestampTz started_at;
	int http_status;
	int code; /* 0: leave the message's error alone */
	const char *message;
	const char *fbtrace_id;
} WaFate;

extern void wa_store_init(Oid schema);

extern void wa_store_begin(const char *activity);
extern void wa_store_commit(void);

extern int wa_store_claim(const WaClaimLimit *limits, int nlimits, const int64 *ids, int nids,
						  WaClaimRow **rows);
extern int64 wa_store_lease(int sender, int64 generation, const int64 *ids, const int16 *attempts,
							int n);
extern int wa_store_lock_leases(const int64 *leases, int n);
extern void wa_store_drop_leases(const int64 *leases, int n);
extern void wa_store_accept(const WaAccepted *accepted, int n);
extern int wa_store_lock_messages(WaFate *fates, int n);
extern void wa_store_fates(const WaFate *fates, int n);
extern void wa_store_mark_sending(const int64 *ids, const int16 *attempts, int n);

/*
 * For the other files that run statements in a sender: a kept plan with the
 * result it must have (SPI_OK_...).
 */
typedef struct WaStatement
{
	WaPlan plan;
	int expected;
} WaStatement;

extern void wa_store_run(WaStatement *statement, Datum *values, const char *nulls);
extern char *wa_store_text(int row, int column); /* NULL for SQL NULL; column from 1 */
extern int64 wa_store_int(int row, int column, int64 if_null);
extern TimestampTz wa_store_time(int row, int column, TimestampTz if_null);

extern Datum wa_store_int8_array(const int64 *values, int n);
extern Datum wa_store_int2_array(const int16 *values, int n);
extern Datum wa_store_int4_array(const int32 *values, int n);
extern Datum wa_store_text_array(const char *const *values, int n); /* NULL elements allowed */
extern Datum wa_store_time_array(const TimestampTz *values, int n); /* 0 elements become NULL */

#endif
