/*
 * options.c
 *	  The arguments that all functions which write messages share.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/quote.h"
#include "common/message_state.h"
#include "common/uncertain_policy.h"
#include "compat.h"
#include "enqueue/options.h"

/*
 * In bytes.  A key must fit into an index entry beside the tenant; the others
 * are only kept, and limited so that a mistake does not fill the table.
 */
#define MAX_IDEMPOTENCY_KEY 512
#define MAX_REFERENCE 4096
#define MAX_CONTEXT_MESSAGE_ID 512

/*
 * No message is due in a year of five digits.  Quiet hours are added to the time, and near
 * the end of what a timestamp can hold that fails: also for whoever takes the tenant's number
 * away, which places what waits anew.
 */
#define END_OF_TIME_YEAR 10000

/* The order in which all functions take them. */
enum
{
	OPT_SCHEDULED_AT,
	OPT_EXPIRES_AT,
	OPT_PRIORITY,
	OPT_IDEMPOTENCY_KEY,
	OPT_REFERENCE,
	OPT_ON_UNCERTAIN,
	OPT_COUNT,

	/* of the free-form types only */
	OPT_CONTEXT_MESSAGE_ID = OPT_COUNT,
	OPT_FALLBACK_TEMPLATE,
	OPT_FALLBACK_PARAMETERS,
	OPT_FREE_FORM_COUNT
};

static void
check_length(const text *value, size_t limit, const char *name)
{
	if (VARSIZE_ANY_EXHDR(value) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must not be empty", name),
						errhint("Leave it out, or give NULL.")));
	if (VARSIZE_ANY_EXHDR(value) > limit)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" is longer than %zu bytes", name, limit)));
}

static text *
read_limited(FunctionCallInfo fcinfo, int argno, size_t limit, const char *name)
{
	text *value = wa_arg_text_or_null(fcinfo, argno);

	if (value != NULL)
		check_length(value, limit, name);
	return value;
}

void
wa_options_check_wamid(const char *what, const char *id)
{
	if (strncmp(id, "wamid.", 6) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a message id of Meta's, which begins with \"wamid.\"", what),
				 errhint("It is whatsapp_message_id in whatsapp_messages and "
						 "whatsapp_inbound_messages.")));
}

bool
wa_options_is_uncertain_policy(const text *word)
{
	WaUncertainPolicy policy;

	return wa_uncertain_policy_parse(VARDATA_ANY(word), VARSIZE_ANY_EXHDR(word), &policy);
}

void
wa_options_check_on_uncertain(const text *policy)
{
	if (!wa_options_is_uncertain_policy(policy))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid value for argument \"on_uncertain\": \"%s\"",
							   wa_quote_text(policy)),
						errhint("Use \"auto\", \"resend\", \"park\" or \"fail\".")));
}

void
wa_options_check_priority(int priority)
{
	if (priority < WA_PRIORITY_MIN || priority > WA_PRIORITY_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("priority %d is outside the range %d to %d", priority,
							   WA_PRIORITY_MIN, WA_PRIORITY_MAX)));
}

static void
check_times(TimestampTz scheduled_at, TimestampTz expires_at)
{
	if (TIMESTAMP_NOT_FINITE(scheduled_at))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"scheduled_at\" must be finite")));
	if (scheduled_at >=
		(date2j(END_OF_TIME_YEAR, 1, 1) - POSTGRES_EPOCH_JDATE) * (TimestampTz) USECS_PER_DAY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"scheduled_at\" lies after the year 9999")));
	if (expires_at <= scheduled_at)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("message would expire before it is due"),
						errdetail("expires_at must be later than scheduled_at.")));
}

/*
 * The defaults of the SQL functions stand there for people to read; a NULL
 * given in their place means the same.
 */
void
wa_options_read(WaMessageOptions *options, FunctionCallInfo fcinfo, int first)
{
	int n = PG_NARGS() - first;

	Assert(n == OPT_COUNT || n == OPT_FREE_FORM_COUNT);
	memset(options, 0, sizeof(*options));

	options->scheduled_at = PG_ARGISNULL(first + OPT_SCHEDULED_AT)
								? GetCurrentTransactionStartTimestamp()
								: PG_GETARG_TIMESTAMPTZ(first + OPT_SCHEDULED_AT);
	options->expires_at = PG_ARGISNULL(first + OPT_EXPIRES_AT)
							  ? DT_NOEND
							  : PG_GETARG_TIMESTAMPTZ(first + OPT_EXPIRES_AT);
	check_times(options->scheduled_at, options->expires_at);

	options->priority =
		PG_ARGISNULL(first + OPT_PRIORITY) ? 0 : PG_GETARG_INT32(first + OPT_PRIORITY);
	wa_options_check_priority(options->priority);

	options->idempotency_key =
		read_limited(fcinfo, first + OPT_IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY, "idempotency_key");
	options->reference = read_limited(fcinfo, first + OPT_REFERENCE, MAX_REFERENCE, "reference");
	options->on_uncertain = wa_arg_text_or_null(fcinfo, first + OPT_ON_UNCERTAIN);
	if (options->on_uncertain != NULL)
		wa_options_check_on_uncertain(options->on_uncertain);

	if (n < OPT_FREE_FORM_COUNT)
		return;
	options->context_message_id = read_limited(fcinfo, first + OPT_CONTEXT_MESSAGE_ID,
											   MAX_CONTEXT_MESSAGE_ID, "context_message_id");
	if (options->context_message_id != NULL)
		wa_options_check_wamid("argument \"context_message_id\"",
							   text_to_cstring(options->context_message_id));
	options->fallback_template = wa_arg_text_or_null(fcinfo, first + OPT_FALLBACK_TEMPLATE);
	options->fallback_parameters = wa_arg_jsonb_or_null(fcinfo, first + OPT_FALLBACK_PARAMETERS);
	if (options->fallback_template == NULL && options->fallback_parameters != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("fallback_parameters is given without fallback_template")));
}

void
wa_options_check_key(const text *idempotency_key)
{
	check_length(idempotency_key, MAX_IDEMPOTENCY_KEY, "idempotency_key");
}

void
wa_options_check_reference(const text *reference)
{
	check_length(reference, MAX_REFERENCE, "reference");
}
