/*
 * quiet.h
 *	  A tenant's quiet hours.
 */
#ifndef WA_ENQUEUE_QUIET_H
#define WA_ENQUEUE_QUIET_H

#include "datatype/timestamp.h"
#include "utils/date.h"

/*
 * If "when" falls between from and to in the time zone (NULL: log_timezone, as
 * the session's own would differ from caller to caller), moves it to their end
 * and returns true.  Hours may span midnight; equal ends mean no quiet hours.
 */
extern bool wa_quiet_end(TimestampTz *when, TimeADT from, TimeADT to, const text *time_zone);

#endif
