/*
 * checks.c
 *	  Rules that SQL and C share: of the hot tables' columns, as functions for
 *	  CHECK constraints, and of priorities.
 *
 * PostgreSQL reads the text of a table's constraints anew for every statement
 * that writes to it.  A list of eleven words costs as much there as the whole
 * insert of the row; a call of a function costs next to nothing.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "common/message_state.h"
#include "common/queue_state.h"
#include "common/consent.h"
#include "enqueue/options.h"

PG_FUNCTION_INFO_V1(wa_internal_is_status);
PG_FUNCTION_INFO_V1(wa_internal_may_be_retried);
PG_FUNCTION_INFO_V1(wa_internal_is_uncertain_policy);
PG_FUNCTION_INFO_V1(wa_internal_is_queue_state);
PG_FUNCTION_INFO_V1(wa_internal_is_marketing);
PG_FUNCTION_INFO_V1(wa_internal_is_urgent);

/*
 * wa_internal_is_status(word)
 */
Datum
wa_internal_is_status(PG_FUNCTION_ARGS)
{
	char word[NAMEDATALEN];
	WaMessageState state;

	text_to_cstring_buffer(PG_GETARG_TEXT_PP(0), word, sizeof(word));
	PG_RETURN_BOOL(wa_message_state_parse(word, &state));
}

/*
 * wa_internal_may_be_retried(status)
 */
Datum
wa_internal_may_be_retried(PG_FUNCTION_ARGS)
{
	char word[NAMEDATALEN];
	WaMessageState state;

	text_to_cstring_buffer(PG_GETARG_TEXT_PP(0), word, sizeof(word));
	PG_RETURN_BOOL(wa_message_state_parse(word, &state) && wa_message_state_may_be_retried(state));
}

/*
 * wa_internal_is_uncertain_policy(word)
 */
Datum
wa_internal_is_uncertain_policy(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wa_options_is_uncertain_policy(PG_GETARG_TEXT_PP(0)));
}

/*
 * wa_internal_is_queue_state(state, has_number): what is ready has a number.
 */
Datum
wa_internal_is_queue_state(PG_FUNCTION_ARGS)
{
	switch (PG_GETARG_CHAR(0))
	{
		case WA_QUEUE_READY:
			PG_RETURN_BOOL(PG_GETARG_BOOL(1));
		case WA_QUEUE_DEFERRED:
		case WA_QUEUE_HELD:
		case WA_QUEUE_UNCERTAIN:
			PG_RETURN_BOOL(true);
		default:
			PG_RETURN_BOOL(false);
	}
}

/*
 * wa_internal_is_marketing(category): whether an opt-out of marketing concerns a
 * template of this category; NULL: an unknown template.
 */
Datum
wa_internal_is_marketing(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wa_template_category_is_marketing(
		PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/*
 * wa_internal_is_urgent(priority): whether a message passes quiet hours.
 */
Datum
wa_internal_is_urgent(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_INT16(0) >= WA_PRIORITY_URGENT);
}
