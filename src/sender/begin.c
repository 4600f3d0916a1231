/*
 * begin.c
 *	  Whether what is leased may be begun.
 *
 * Where commits wait for a standby, that one may take over at any moment, and
 * knows of a request what the lease says that it has got.  So no request begins
 * before its lease is there: that is the fence between two primaries.  A commit
 * whose wait was broken off leaves a lease behind that waits here.
 *
 * And a lease does not last.  Whoever takes over has it for uncertain, and decides
 * about its messages when their grace is over; a process that was stopped all that
 * time, or a machine, would go on as if nothing had happened.  So what was leased
 * long ago is not begun, but put back and claimed again, which asks the standby
 * anew.  Age is measured by both clocks: the steady one stands still while a
 * machine sleeps, and the other one may be set back.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "sender/begin.h"
#include "sender/store/replication.h"

/* The highest age at which a request is begun: this, and never half of the grace. */
#define MAX_AGE_US INT64_C(10000000)

void
wa_begin_leasing(WaLease *lease)
{
	lease->written_us = wa_now_us();
	lease->written_at = wa_now();
}

void
wa_begin_leased(WaLease *lease)
{
	lease->commit_end = wa_replication_last_commit();
}

static bool
is_too_old(const WaLease *lease)
{
	int64 age = Max(wa_now_us() - lease->written_us, wa_now() - lease->written_at);

	return age > Min(MAX_AGE_US, (int64) wa_guc_uncertain_grace * 1000 / 2);
}

WaBegin
wa_begin_verdict(WaLease *lease)
{
	if (is_too_old(lease))
		return WA_BEGIN_NEVER;
	if (lease->commit_end != InvalidXLogRecPtr)
	{
		if (!wa_replication_has(lease->commit_end))
			return WA_BEGIN_NOT_YET;
		lease->commit_end = InvalidXLogRecPtr; /* once there, always there */
	}
	return WA_BEGIN_NOW;
}
