/*
 * quiet.c
 *	  A tenant's quiet hours.
 *
 * They are clock times where the tenant lives, so the end is computed on the
 * local calendar and only then made absolute: a night in which the clock
 * changes is an hour shorter or longer, and still ends at the hour given.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/zone.h"
#include "enqueue/quiet.h"

/* What the clock shows there then. */
static Timestamp
to_local(TimestampTz when, Datum zone)
{
	return DatumGetTimestamp(
		DirectFunctionCall2(timestamptz_zone, zone, TimestampTzGetDatum(when)));
}

static TimestampTz
from_local(Timestamp local, Datum zone)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamp_zone, zone, TimestampGetDatum(local)));
}

static Timestamp
local_midnight(Timestamp local)
{
	Timestamp time = local % USECS_PER_DAY;

	return local - (time < 0 ? time + USECS_PER_DAY : time);
}

bool
wa_quiet_end(TimestampTz *when, TimeADT from, TimeADT to, const text *time_zone)
{
	Datum zone = wa_zone_if_known(time_zone);
	Timestamp local = to_local(*when, zone);
	Timestamp midnight = local_midnight(local);
	TimeADT time = local - midnight;
	Timestamp end;

	if (from < to)
	{
		if (time < from || time >= to)
			return false;
		end = midnight + to;
	}
	else
	{
		if (from == to || (time < from && time >= to))
			return false;
		end = midnight + (time >= from ? USECS_PER_DAY : 0) + to;
	}
	*when = from_local(end, zone);
	return true;
}

/*
 * The next time after this one at which the clock there shows "from".  If the clock
 * changes just then, quiet hours may begin up to an hour earlier than that: whoever
 * waits for it looks in between, too.
 */
static TimestampTz
next_begin(TimestampTz after, TimeADT from, const text *time_zone)
{
	Datum zone = wa_zone_if_known(time_zone);
	Timestamp local = to_local(after, zone);
	Timestamp begin = local_midnight(local) + from;

	return from_local(begin > local ? begin : begin + USECS_PER_DAY, zone);
}

PG_FUNCTION_INFO_V1(wa_internal_quiet_end);
PG_FUNCTION_INFO_V1(wa_internal_quiet_begin);

/*
 * wa_internal_quiet_end(when, from, to, time_zone): the end of the quiet hours
 * that "when" falls into; NULL if it falls into none.
 */
Datum
wa_internal_quiet_end(PG_FUNCTION_ARGS)
{
	TimestampTz when;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	when = PG_GETARG_TIMESTAMPTZ(0);
	if (TIMESTAMP_NOT_FINITE(when) ||
		!wa_quiet_end(&when, PG_GETARG_TIMEADT(1), PG_GETARG_TIMEADT(2),
					  PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3)))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(when);
}

/*
 * wa_internal_quiet_begin(after, from, time_zone): when quiet hours that begin
 * at this clock time begin next.
 */
Datum
wa_internal_quiet_begin(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(0)))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next_begin(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_TIMEADT(1),
									 PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2)));
}
