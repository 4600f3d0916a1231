/*
 * options.h
 *	  The arguments that all functions which write messages share.
 */
#ifndef WA_ENQUEUE_OPTIONS_H
#define WA_ENQUEUE_OPTIONS_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/jsonb.h"

/* Pointers are NULL where nothing was given. */
typedef struct WaMessageOptions
{
	TimestampTz scheduled_at;
	TimestampTz expires_at; /* DT_NOEND: never */
	int priority;
	text *idempotency_key;
	text *reference;
	text *on_uncertain;
	text *context_message_id;
	text *fallback_template;
	Jsonb *fallback_parameters;
} WaMessageOptions;

/*
 * Reads and checks scheduled_at, expires_at, priority, idempotency_key,
 * reference and on_uncertain from the arguments "first" and following, and, if
 * the function has more, context_message_id, fallback_template and
 * fallback_parameters.
 */
extern void wa_options_read(WaMessageOptions *options, FunctionCallInfo fcinfo, int first);

/* Whether a message may have it as on_uncertain. */
extern bool wa_options_is_uncertain_policy(const text *word);

/* For wa_enqueue_bulk, where each recipient may have its own. */
extern void wa_options_check_key(const text *idempotency_key);
extern void wa_options_check_reference(const text *reference);

/* For notifications, which are checked when they are made. */
extern void wa_options_check_priority(int priority);

/* "what" names the argument or member in the message. */
extern void wa_options_check_wamid(const char *what, const char *id);
extern void wa_options_check_on_uncertain(const text *policy);

#endif
