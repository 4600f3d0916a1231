/*
 * measure.h
 *	  What a sender counts of its requests for whoever watches it.
 */
#ifndef WA_SENDER_MEASURE_H
#define WA_SENDER_MEASURE_H

#include "http/result.h"
#include "sender/state/sender.h"
#include "sender/store/dispositions.h"

/* The first byte of the request has left at begun_us (steady clock); once for each job. */
extern void wa_measure_left(WaSender *sender, const WaJob *job, int64 begun_us);

/* It has been answered, or has ended without an answer; begun_us is 0 if it had not begun. */
extern void wa_measure_ended(WaSender *sender, int64 begun_us, int64 ended_us);

/* What a response tells of Meta's clock; of one a minute that is looked at. */
extern void wa_measure_clock(WaSender *sender, const WaHttpResult *result);

/* Its message has been settled. */
extern void wa_measure_settled(WaSender *sender, const WaJob *job,
							   const WaDisposition *disposition);

#endif
