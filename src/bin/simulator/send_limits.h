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
 * True if the limits allow the message, which arrived so long ago; it is then counted.
 * A refused one is not counted, so that a client that waits as told succeeds.  who is
 * the recipient's user id, however the recipient was addressed, or a group.
 */
extern bool sim_limits_allow(SimNumber *number, const SimMessage *message, const char *who,
							 int64_t waited_us, SimProblem *problem);

/*
 * A user wrote to the number: opens the service window, and after an
 * advertisement (referral) what follows may be free; counts as traffic.
 */
extern void sim_limits_inbound(SimNumber *number, const char *who, bool referral);

/* Something came that opens no window. */
extern void sim_limits_traffic(SimNumber *number);

extern bool sim_limits_window(const SimNumber *number, const char *who);

/*
 * When messages to a user who came by an advertisement stop being free, epoch
 * seconds; 0: they are not.  The first answer within a day of coming starts it.
 */
extern int64_t sim_limits_free_entry(SimNumber *number, const char *who);

/* The value of x-business-use-case-usage; false if there is none. */
extern bool sim_limits_usage(const SimNumber *number, char *out, size_t size);

extern void sim_limits_reset(void);

#endif
