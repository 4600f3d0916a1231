/*
 * send_limits.h
 *	  Meta's limits on sending: per number, per pair, and on new recipients.
 */
#ifndef SIM_SEND_LIMITS_H
#define SIM_SEND_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "bin/simulator/message.h"
#include "bin/simulator/registry.h"

/*
 * True if the limits allow the message now; it is then counted.  A refused one
 * is not counted, so that a client that waits as told succeeds.
 */
extern bool sim_limits_allow(SimNumber *number, const SimMessage *message, SimProblem *problem);

/*
 * A user, by number or id, wrote to the number: opens the service window and,
 * if count is set, counts as traffic.
 */
extern void sim_limits_inbound(SimNumber *number, const char *from, bool count);

/* The value of x-business-use-case-usage; false if there is none. */
extern bool sim_limits_usage(const SimNumber *number, char *out, size_t size);

extern void sim_limits_reset(void);

#endif
