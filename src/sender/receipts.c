/*
 * receipts.c
 *	  Telling Meta which messages of customers have been read.
 *
 * Sender 0 does it for all numbers, through the same connections as the messages and
 * beside them: a few requests at a time, one for each number, and none while the
 * connections are taken.  Meta does not say that they count for a number's rate; one at
 * a time is far below it in any case, and so they take no token from the messages.
 *
 * The rows are whatsapp_read_receipts (sql/77-read-receipts.sql).  One is read and its
 * attempt counted in one short transaction, the request made after its commit, and the
 * row deleted in another.  A process that dies in between leaves a row that is due again
 * after its back-off: what was marked twice is marked.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "graph/request.h"
#include "graph/response.h"
#include "http/http.h"
#include "sender/http_client.h"
#include "sender/receipts.h"
#include "sender/store/receipt_rows.h"
#include "sender/store/transaction.h"

/* On the wire at a time; a number that hangs takes one of them, and no more. */
#define MAX_RECEIPTS 4

/* After that many attempts nobody waits for it any more. */
#define MAX_ATTEMPTS 5

/* Wake-ups can be lost: look without being told. */
#define LOOK_INTERVAL_US INT64_C(30000000)

/* What is too old. */
#define CLEAN_INTERVAL_US INT64_C(300000000)

typedef struct Receipt
{
	WaReceiptRow row; /* receipt_id 0: the slot is free */
	char number[WA_NUMBER_SIZE];
	bool submitted;
	bool arrived;
	bool done;		   /* Meta has taken it; else: */
	WaOutcome outcome; /* what it has said */
} Receipt;

static Receipt receipts[MAX_RECEIPTS];
static bool look;
static int64 next_look_us;
static int64 next_clean_us;

void
wa_receipts_requested(void)
{
	look = true;
}

bool
wa_receipts_is_tag(const void *tag)
{
	for (int i = 0; i < MAX_RECEIPTS; i++)
		if (tag == &receipts[i])
			return true;
	return false;
}

static bool
any_arrived(void)
{
	for (int i = 0; i < MAX_RECEIPTS; i++)
		if (receipts[i].row.receipt_id != 0 && receipts[i].arrived)
			return true;
	return false;
}

static void
release(Receipt *receipt)
{
	memset(receipt, 0, sizeof(*receipt));
}

void
wa_receipts_response(WaSender *sender, const WaHttpResult *result)
{
	Receipt *receipt = result->tag;

	receipt->arrived = true;
	receipt->done = result->phase == WA_HTTP_ANSWERED && result->status == 200;
	if (!receipt->done)
		wa_graph_response_read(result, &receipt->outcome);
}

/*
 * Whether there will not be another attempt.  Only what Meta calls the message's own
 * fault ends it at once: pauses and throttles follow from messages, and mean "later" here.
 */
static bool
is_over(const Receipt *receipt)
{
	const WaOutcome *outcome = &receipt->outcome;

	return receipt->done || receipt->row.attempts >= MAX_ATTEMPTS ||
		   (outcome->kind == WA_OUTCOME_REFUSED &&
			(outcome->error->error_class == WA_CLASS_PERMANENT ||
			 outcome->error->error_class == WA_CLASS_NOT_APPLICABLE));
}

static void
record(const Receipt *receipt)
{
	if (!is_over(receipt))
		return;
	if (!receipt->done)
		ereport(LOG, (errmsg("could not mark a message as read: %s",
							 receipt->outcome.message[0] != '\0' ? receipt->outcome.message
																 : "no answer"),
					  errdetail("Number %s, error %d.", receipt->number, receipt->outcome.code)));
	wa_store_receipt_done(&receipt->row);
}

static void
record_responses(void)
{
	if (!any_arrived())
		return;
	wa_store_begin("recording what was marked as read");
	for (int i = 0; i < MAX_RECEIPTS; i++)
		if (receipts[i].row.receipt_id != 0 && receipts[i].arrived)
			record(&receipts[i]);
	wa_store_commit();
	for (int i = 0; i < MAX_RECEIPTS; i++)
		if (receipts[i].arrived)
			release(&receipts[i]);
	look = true;
}

static Receipt *
free_slot(void)
{
	for (int i = 0; i < MAX_RECEIPTS; i++)
		if (receipts[i].row.receipt_id == 0)
			return &receipts[i];
	return NULL;
}

/* The next one that is due, of a number for which none is on its way. */
static bool
next_receipt(WaReceiptRow *row)
{
	const char *busy[MAX_RECEIPTS];
	int n = 0;

	for (int i = 0; i < MAX_RECEIPTS; i++)
		if (receipts[i].row.receipt_id != 0)
			busy[n++] = receipts[i].number;
	return wa_store_next_receipt(busy, n, row);
}

/* Nothing is due now: when to look again. */
static void
plan_next_look(void)
{
	TimestampTz next = wa_store_next_receipt_time();
	int64 wait = next == DT_NOEND ? LOOK_INTERVAL_US : next - wa_now();

	next_look_us = wa_now_us() + Max(0, Min(wait, LOOK_INTERVAL_US));
}

/* What could not be started is due again after its back-off. */
static void
submit(WaSender *sender, Receipt *receipt, StringInfo body)
{
	StringInfoData url;

	initStringInfo(&url);
	wa_graph_messages_url(&url, wa_guc_graph_url, wa_guc_api_version, receipt->number, false);
	if (wa_http_submit(sender->http, url.data, body->data, body->len, NULL, receipt))
		receipt->submitted = true;
	else
		release(receipt);
	pfree(url.data);
}

/* Starts one that is due.  False if there is none, or none that may go out now. */
static bool
start_one(WaSender *sender)
{
	Receipt *receipt = free_slot();
	WaReceiptRow row;
	StringInfoData body;
	bool found;

	if (receipt == NULL || !wa_http_client_has_room(sender))
	{
		next_look_us = wa_now_us() + LOOK_INTERVAL_US / 30;
		return false;
	}
	initStringInfo(&body);
	wa_store_begin("marking messages as read");
	found = next_receipt(&row);
	if (found)
	{
		receipt->row = row;
		strlcpy(receipt->number, row.phone_number_id, sizeof(receipt->number));
		wa_graph_read_receipt_body(&body, row.whatsapp_message_id, row.typing);
	}
	else
		plan_next_look();
	wa_store_commit();

	if (found)
		submit(sender, receipt, &body);
	pfree(body.data);
	return found;
}

static void
clean(void)
{
	wa_store_begin("forgetting what was read long ago");
	wa_store_clean_receipts();
	wa_store_commit();
	next_clean_us = wa_now_us() + CLEAN_INTERVAL_US;
}

static bool
may_tell(WaSender *sender)
{
	return !sender->stopping && sender->at_home && wa_guc_enabled && sender->has_token &&
		   sender->account_paused_until == 0;
}

void
wa_receipts_run(WaSender *sender)
{
	if (sender->index != 0)
		return;
	record_responses();
	if (!may_tell(sender))
		return;
	if (look || wa_now_us() >= next_look_us)
	{
		look = false;
		while (start_one(sender))
			;
	}
	if (wa_now_us() >= next_clean_us)
		clean();
}

/* What had been answered could not be recorded: it is told once more when it is due. */
void
wa_receipts_aborted(WaSender *sender)
{
	for (int i = 0; i < MAX_RECEIPTS; i++)
		if (receipts[i].arrived || !receipts[i].submitted)
			release(&receipts[i]);
	next_look_us = wa_now_us() + LOOK_INTERVAL_US;
}

long
wa_receipts_wait_ms(WaSender *sender)
{
	if (sender->index != 0)
		return -1;
	if (any_arrived())
		return 0;
	if (!may_tell(sender))
		return -1;
	if (look)
		return 0;
	return (long) Max(0, (Min(next_look_us, next_clean_us) - wa_now_us() + 999) / 1000);
}
