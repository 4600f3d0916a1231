/*
 * placement.c
 *	  The state, hold reason and due time of a row of the queue.
 *
 * The only place that decides them.  A message comes here whenever it enters
 * the queue, and again whenever what it waited for is over: enqueued, put back by
 * a person or by the policy for uncertain messages, due, released from a hold,
 * given to another number.  The functions that enqueue call it in C; everybody
 * else through wa_internal_placements(), which reads the facts from the tables.
 *
 * It asks what the message itself has to wait for.  What may stop it besides, for
 * reasons that change while it waits (pauses, a tenant that is switched off,
 * rates, the account's messaging limit), the sender asks at the moment of the
 * claim, from memory: sender/pace/gate.c.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/queue_state.h"
#include "enqueue/placement.h"
#include "enqueue/quiet.h"

/*
 * What no clock ends comes first: the end of quiet hours helps nobody who has
 * no number then.  The due time says in any case when it may leave at the
 * earliest.
 */
WaPlacement
wa_placement_decide(const WaPlacementFacts *facts)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz leaves = Max(facts->due_at, now);
	WaPlacement place = {.state = WA_QUEUE_READY, .due_at = facts->due_at};
	bool quiet = false;

	if (facts->has_quiet_hours && facts->priority < WA_PRIORITY_URGENT &&
		!TIMESTAMP_NOT_FINITE(leaves))
		quiet = wa_quiet_end(&leaves, facts->quiet_from, facts->quiet_to, facts->time_zone);
	if (quiet)
		place.due_at = leaves;

	if (!facts->has_number)
	{
		place.state = WA_QUEUE_HELD;
		place.hold_reason = "no_number";
	}
	else if (facts->awaits_upload)
	{
		place.state = WA_QUEUE_HELD;
		place.hold_reason = "media_upload";
	}
	else if (quiet)
	{
		place.state = WA_QUEUE_DEFERRED;
		place.hold_reason = "quiet_hours";
	}
	else if (facts->due_at > now)
	{
		place.state = WA_QUEUE_DEFERRED;
		place.hold_reason = facts->attempted ? "retry" : "scheduled";
	}
	return place;
}

PG_FUNCTION_INFO_V1(wa_internal_place);

/*
 * wa_internal_place(has_number, awaits_upload, attempts, priority, due, quiet_from,
 * quiet_to, time_zone): state, hold_reason, due_at
 */
Datum
wa_internal_place(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	WaPlacementFacts facts = {0};
	WaPlacement place;
	Datum values[3];
	bool nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i <= 4; i++)
		if (PG_ARGISNULL(i))
			elog(ERROR, "argument %d must not be null", i + 1);
	facts.has_number = PG_GETARG_BOOL(0);
	facts.awaits_upload = PG_GETARG_BOOL(1);
	facts.attempted = PG_GETARG_INT32(2) > 0;
	facts.priority = PG_GETARG_INT32(3);
	facts.due_at = PG_GETARG_TIMESTAMPTZ(4);
	facts.has_quiet_hours = !PG_ARGISNULL(5) && !PG_ARGISNULL(6);
	if (facts.has_quiet_hours)
	{
		facts.quiet_from = PG_GETARG_TIMEADT(5);
		facts.quiet_to = PG_GETARG_TIMEADT(6);
	}
	facts.time_zone = PG_ARGISNULL(7) ? NULL : PG_GETARG_TEXT_PP(7);

	place = wa_placement_decide(&facts);
	values[0] = CharGetDatum(place.state);
	nulls[1] = place.hold_reason == NULL;
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(place.hold_reason);
	values[2] = TimestampTzGetDatum(place.due_at);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
