/*
 * ingest_many.c
 *	  Webhooks that arrive side by side, taken in by one transaction.
 *
 * Meta sends one status in a request, as a rule, and waits for the response to
 * each.  To verify it and to read it takes microseconds; the statements and the COMMIT
 * take a hundred times that, and cost hardly more for a hundred statuses than for
 * one.  So bodies that have nothing but a few statuses (common/webhook_body.h) are
 * read into the same lists and written together, as the items of one body are.
 *
 * Each body is all or nothing for itself.  What is written together is written in a
 * subtransaction; if that fails, they are taken in one by one, each in a subtransaction
 * of its own, and so is every other kind of body from the start: messages call
 * functions of the application, account events lock what nobody else does.  A
 * body that fails alone is the caller's to report: it must not be answered with 200.
 *
 * Locks: those written together lock as one body does, each kind of row in its order,
 * and traffic comes last for all of them, when nothing slow can follow.  Bodies that
 * are taken in one by one keep their locks until the transaction ends, and may
 * get into a deadlock with another session; its victim fails, and the others do not.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/owner.h"
#include "base/role_section.h"
#include "base/subtransaction.h"
#include "common/webhook_body.h"
#include "compat.h"
#include "shared/hearing.h"
#include "webhook/credentials.h"
#include "webhook/ingest.h"
#include "webhook/traffic.h"

/*
 * As many as are worth it: the statements' share in a body has fallen to a few
 * microseconds by then.  An index of a body takes ten times its size.
 */
#define MAX_TOGETHER 1000
#define MAX_TOGETHER_BYTES (4 * 1024 * 1024)

PG_FUNCTION_INFO_V1(wa_webhook_ingest_many);

typedef enum Outcome
{
	WAITING, /* becomes one of the others */
	INGESTED,
	INVALID_SIGNATURE,
	TOO_LARGE,
	FAILED
} Outcome;

static const char *const outcome_names[] = {[INGESTED] = "ingested",
											[INVALID_SIGNATURE] = "invalid_signature",
											[TOO_LARGE] = "too_large",
											[FAILED] = "failed"};

typedef struct Body
{
	const bytea *body;
	Outcome outcome;
	WaWebhookBody counts;
	WaJson json;	  /* of a plain one, while it waits to be written */
	ErrorData *error; /* why it failed */
} Body;

/* One call.  Everything that outlives a subtransaction is in "context". */
typedef struct Many
{
	FunctionCallInfo fcinfo;
	MemoryContext context;
	Body *items;
	int n;
	WaWebhookList traffic;
} Many;

/* What one subtransaction takes in. */
typedef struct Portion
{
	Many *many;
	Body **items;
	int n;
	WaWebhookList traffic;
} Portion;

/* ---- arguments ---- */

static Datum *
elements(FunctionCallInfo fcinfo, int arg, const char *name, Oid type, bool **nulls, int *n)
{
	Datum *values;

	if (PG_ARGISNULL(arg))
		wa_raise_null_argument(name);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), type, -1, false, TYPALIGN_INT, &values, nulls, n);
	return values;
}

static void
read_arguments(Many *many)
{
	bool *no_body;
	bool *no_signature;
	int nsignatures;
	Datum *bodies = elements(many->fcinfo, 0, "bodies", BYTEAOID, &no_body, &many->n);
	Datum *signatures =
		elements(many->fcinfo, 1, "signatures", TEXTOID, &no_signature, &nsignatures);

	if (many->n != nsignatures)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("arguments \"bodies\" and \"signatures\" must have as many elements "
							   "as each other")));
	wa_ingest_require_encoding();
	wa_webhook_require_secret();
	many->items = palloc0(sizeof(Body) * many->n);
	for (int i = 0; i < many->n; i++)
	{
		Body *item = &many->items[i];

		CHECK_FOR_INTERRUPTS();
		if (no_body[i])
			wa_raise_null_argument("bodies");
		item->body = DatumGetByteaPP(bodies[i]);
		if (wa_ingest_is_too_large(bodies[i]))
			item->outcome = TOO_LARGE;
		else if (no_signature[i] ||
				 !wa_webhook_is_signed(DatumGetTextPP(signatures[i]), item->body))
			item->outcome = INVALID_SIGNATURE;
	}
}

static bool
any_waits(const Many *many)
{
	for (int i = 0; i < many->n; i++)
		if (many->items[i].outcome == WAITING)
			return true;
	return false;
}

/* ---- subtransactions ---- */

/*
 * What went wrong, or NULL.  A cancellation is meant for the whole call.
 */
static ErrorData *
attempt(void (*step)(void *argument), Portion *portion)
{
	ErrorData *error = wa_subtransaction_run(step, portion);

	if (error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	return error;
}

static void
write_portion(WaIngest *ingest, Portion *portion)
{
	wa_ingest_write(ingest);
	wa_webhook_keep_traffic(&portion->traffic, portion->many->context, &ingest->webhook.traffic);
	wa_ingest_end(ingest);
}

static void
take_in_portion(void *argument)
{
	Portion *portion = argument;
	WaIngest ingest;

	wa_ingest_begin(&ingest, portion->many->fcinfo);
	for (int i = 0; i < portion->n; i++)
		wa_ingest_read(&ingest, &portion->items[i]->counts, &portion->items[i]->json);
	wa_ingest_read_unmatched_sometimes(&ingest);
	write_portion(&ingest, portion);
}

static void
take_in_one(void *argument)
{
	Portion *portion = argument;
	WaIngest ingest;

	wa_ingest_begin(&ingest, portion->many->fcinfo);
	wa_ingest_read_any(&ingest, &portion->items[0]->counts, portion->items[0]->body);
	write_portion(&ingest, portion);
}

static void
succeeded(Portion *portion)
{
	Many *many = portion->many;

	for (int i = 0; i < portion->n; i++)
		portion->items[i]->outcome = INGESTED;
	wa_webhook_keep_traffic(&many->traffic, many->context, &portion->traffic);
}

/* The server's log has it, as it has an error that leaves the call. */
static void
alone(Many *many, Body *item)
{
	Portion portion = {.many = many, .items = &item, .n = 1};

	memset(&item->counts, 0, sizeof(item->counts));
	item->error = attempt(take_in_one, &portion);
	if (item->error == NULL)
	{
		succeeded(&portion);
		return;
	}
	item->outcome = FAILED;
	wa_hearing_missed();
	ereport(LOG,
			(errcode(item->error->sqlerrcode),
			 errmsg("could not take in a webhook: %s", item->error->message), errhidestmt(true)));
}

static void
together(Many *many, Body **items, int n)
{
	Portion portion = {.many = many, .items = items, .n = n};
	ErrorData *error;

	if (n == 0)
		return;
	error = attempt(take_in_portion, &portion);
	if (error == NULL)
	{
		succeeded(&portion);
		return;
	}
	ereport(LOG, (errcode(error->sqlerrcode),
				  errmsg("could not take in %d webhooks together: %s", n, error->message),
				  errdetail("They are taken in one by one."), errhidestmt(true)));
	FreeErrorData(error);
	for (int i = 0; i < n; i++)
		alone(many, items[i]);
}

/* ---- the order of it ---- */

/* In the current memory context. */
static bool
is_plain(Body *item)
{
	return wa_ingest_scan(&item->json, item->body) == NULL && wa_webhook_body_is_plain(&item->json);
}

/*
 * Plain ones from this place on, as many as may go together.  Returns where the next
 * portion begins.
 */
static int
next_portion(Many *many, int place, MemoryContext scratch)
{
	Body **items = MemoryContextAlloc(scratch, sizeof(Body *) * MAX_TOGETHER);
	size_t bytes = 0;
	int n = 0;

	MemoryContextSwitchTo(scratch);
	for (; place < many->n && n < MAX_TOGETHER && bytes < MAX_TOGETHER_BYTES; place++)
	{
		Body *item = &many->items[place];

		if (item->outcome != WAITING || VARSIZE_ANY_EXHDR(item->body) > WA_WEBHOOK_BODY_MAX_PLAIN)
			continue;
		bytes += VARSIZE_ANY_EXHDR(item->body);
		if (is_plain(item))
			items[n++] = item;
	}
	MemoryContextSwitchTo(many->context);
	together(many, items, n);
	return place;
}

static void
take_in(Many *many)
{
	MemoryContext scratch =
		AllocSetContextCreate(many->context, "webhooks taken in together", ALLOCSET_DEFAULT_SIZES);

	for (int place = 0; place < many->n;)
	{
		place = next_portion(many, place, scratch);
		MemoryContextReset(scratch);
	}
	MemoryContextDelete(scratch);
	for (int i = 0; i < many->n; i++)
		if (many->items[i].outcome == WAITING)
			alone(many, &many->items[i]);
}

/* An error here takes everything back, and is the caller's. */
static void
write_traffic(Many *many)
{
	WaOwner owner;

	if (many->traffic.count == 0)
		return;
	wa_owner_begin(&owner, many->fcinfo);
	wa_webhook_write_traffic(owner.schema, &many->traffic, GetCurrentTimestamp());
	wa_owner_end(&owner);
}

/* ---- results ---- */

enum
{
	ORDINAL,
	OUTCOME,
	RESULT,
	SQLSTATE,
	MESSAGE,
	COLUMNS
};

/* Most are alike: one status, which was applied.  "last" is the one that "made" was made of. */
static Datum
counts_of(const Body *body, const Body **last, Datum *made)
{
	if (*last == NULL || (*last)->counts.forwarded != body->counts.forwarded ||
		memcmp((*last)->counts.counts, body->counts.counts, sizeof(body->counts.counts)) != 0)
		*made = wa_ingest_counts(&body->counts);
	*last = body;
	return *made;
}

static void
return_results(const Many *many)
{
	const Body *last = NULL;
	Datum made = (Datum) 0;
	ReturnSetInfo *set = (ReturnSetInfo *) many->fcinfo->resultinfo;

	for (int i = 0; i < many->n; i++)
	{
		const Body *item = &many->items[i];
		Datum values[COLUMNS] = {0};
		bool nulls[COLUMNS] = {false, false, true, true, true};

		values[ORDINAL] = Int32GetDatum(i + 1);
		values[OUTCOME] = CStringGetTextDatum(outcome_names[item->outcome]);
		if (item->outcome == INGESTED)
		{
			values[RESULT] = counts_of(item, &last, &made);
			nulls[RESULT] = false;
		}
		if (item->error != NULL)
		{
			values[SQLSTATE] = CStringGetTextDatum(unpack_sql_state(item->error->sqlerrcode));
			values[MESSAGE] = CStringGetTextDatum(item->error->message);
			nulls[SQLSTATE] = nulls[MESSAGE] = false;
		}
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
}

/*
 * wa_webhook_ingest_many(bodies, signatures)
 */
Datum
wa_webhook_ingest_many(PG_FUNCTION_ARGS)
{
	Many many = {.fcinfo = fcinfo, .context = CurrentMemoryContext};
	ErrorContextCallback hide;

	InitMaterializedSRF(fcinfo, 0);
	wa_webhook_hide_arguments(&hide);
	read_arguments(&many);
	error_context_stack = hide.previous; /* from here on it is Meta's */
	if (any_waits(&many))
	{
		wa_hearing_watch();
		wa_role_settle_deferred();
		take_in(&many);
		write_traffic(&many);
	}
	return_results(&many);
	return (Datum) 0;
}
