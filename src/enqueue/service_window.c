/*
 * service_window.c
 *	  The 24 hours after a customer's message, in which one may write freely.
 *
 * Outside of them Meta refuses everything but templates (131047), and does so
 * after the message has been accepted.  The times come from webhooks.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/lookup.h"
#include "base/statement.h"
#include "common/consent.h"
#include "enqueue/service_window.h"
#include "enqueue/template_message.h"

static WaLookup window_lookup = {.table = "whatsapp_windows",
								 .index = "whatsapp_windows_pkey",
								 .nkeys = 2,
								 .ncolumns = 1,
								 .columns = {"last_inbound_at"}};

/* Whether any customer's message has ever arrived. */
static WaStatement known_statement = {
	.sql = "SELECT EXISTS (SELECT FROM @extschema@.whatsapp_windows)", .expected = SPI_OK_SELECT};

/*
 * Whether it will be open when the message is due.
 */
static bool
is_open(const WaEnqueue *e)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum keys[2];
	WaLookupRow *row;

	keys[0] = PointerGetDatum(e->phone_number_id);
	keys[1] = CStringGetTextDatum(e->recipient);
	row = wa_lookup_one(&window_lookup, e->schema, keys, snapshot);
	UnregisterSnapshot(snapshot);
	return row != NULL && wa_service_window_is_open(DatumGetTimestampTz(row->values[0]), e->due_at);
}

PG_FUNCTION_INFO_V1(wa_internal_thread_is_taken);

/*
 * wa_internal_thread_is_taken(last_inbound_at, taken_at, passed_at)
 */
Datum
wa_internal_thread_is_taken(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(wa_thread_is_taken(PG_GETARG_TIMESTAMPTZ(0),
									  PG_ARGISNULL(1) ? 0 : PG_GETARG_TIMESTAMPTZ(1),
									  PG_ARGISNULL(2) ? 0 : PG_GETARG_TIMESTAMPTZ(2)));
}

/*
 * It may close before the message's turn comes.  The template is made now, so that
 * the caller hears what is wrong with it.  Not kept is one with a file that Meta does
 * not have yet: only the message's own is waited for.
 */
static void
keep_fallback(WaEnqueue *e)
{
	WaEnqueue template = *e;

	template.template_name = e->options.fallback_template;
	wa_template_message_fill(&template, e->options.fallback_parameters);
	if (template.awaits_media)
		return;
	e->fallback.template_name = template.template_name;
	e->fallback.template_language = template.template_language;
	e->fallback.payload = template.payload;
}

/*
 * Outside the window only templates may be sent.  A tenant without a number has
 * no window yet; its message waits for the number like any other, unless there
 * is a template that is sure to be possible then.
 */
void
wa_service_window_check(WaEnqueue *e, bool lenient)
{
	if (e->phone_number_id != NULL && is_open(e))
	{
		if (e->options.fallback_template != NULL)
			keep_fallback(e);
		return;
	}
	if (e->options.fallback_template != NULL)
	{
		e->template_name = e->options.fallback_template;
		wa_template_message_fill(e, e->options.fallback_parameters);
		return;
	}
	if (e->phone_number_id == NULL)
		return;
	if (lenient && !wa_statement_select_bool(&known_statement, e->schema, NULL))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the 24-hour window of this recipient is closed"),
			 errdetail("The recipient has not written to this number in the 24 hours before the "
					   "message is due; Meta would refuse it (error 131047)."),
			 errhint("Send a template with wa_enqueue_message(), or name one in "
					 "fallback_template.")));
}
