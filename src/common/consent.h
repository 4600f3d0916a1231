/*
 * consent.h
 *	  What a recipient allows.  Pure.
 *
 * It is asked twice of each message: when it is enqueued, and when it is to leave.
 */
#ifndef WA_COMMON_CONSENT_H
#define WA_COMMON_CONSENT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "datatype/timestamp.h"

/*
 * Whether an opt-out of marketing concerns a template of this category.  NULL is a
 * template that is not known.  Of that, and of one whose category Meta does not tell,
 * the worst is assumed: an opt-out must hold.
 */
static inline bool
wa_template_category_is_marketing(const char *category)
{
	return category == NULL || strcasecmp(category, "MARKETING") == 0 ||
		   strcasecmp(category, "UNKNOWN") == 0;
}

/* What somebody has opted out of. */
typedef struct WaOptOuts
{
	bool all;
	bool marketing;
} WaOptOuts;

/* A row of whatsapp_opt_outs says so. */
static inline void
wa_opt_outs_add(WaOptOuts *opt_outs, const char *category)
{
	if (strcmp(category, "all") == 0)
		opt_outs->all = true;
	else
		opt_outs->marketing = true;
}

static inline bool
wa_opt_outs_concern(WaOptOuts opt_outs, bool is_marketing)
{
	return opt_outs.all || (is_marketing && opt_outs.marketing);
}

/*
 * Whether the service window is open then, for one who has last written at that time:
 * for 24 hours one may write freely to him, and only templates else.
 */
static inline bool
wa_service_window_is_open(TimestampTz last_inbound_at, TimestampTz then)
{
	return then < last_inbound_at + 24 * USECS_PER_HOUR;
}

/*
 * Whether another application has the conversation: the last that is known of it is that
 * it was taken, or that the customer wrote to another one.  0: that is not known to have
 * happened ever.  Meta's times are whole seconds; which of two counts that are of the same
 * one is in the microseconds (wa_internal_note_handovers).
 */
static inline bool
wa_thread_is_taken(TimestampTz last_inbound_at, TimestampTz taken_at, TimestampTz passed_at)
{
	return taken_at != 0 && taken_at > last_inbound_at && (passed_at == 0 || taken_at > passed_at);
}

#endif
