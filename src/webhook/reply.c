/*
 * reply.c
 *	  Functions of the application that are called when a customer presses a
 *	  button or chooses from a list.
 *
 * The code is somebody else's, and runs inside the transaction that takes in
 * the webhook, with the least rights of those who could have written it
 * (base/registration.c): as a security-restricted operation, so that nothing of
 * it is left to run later under another role.  Deferred constraints are checked at once for the
 * same reason.  It runs in a subtransaction and for a limited time; what goes
 * wrong is recorded with the reply and does not touch the webhook.
 *
 * A handler may catch the cancellation, to tidy up.  So it is cancelled again and
 * again, until it ends; only one that catches that, too, for ever, would not.
 *
 * Two kinds of error are passed on all the same, because they end if Meta
 * sends the webhook again, and only then: a cancellation that is not our own,
 * and a deadlock or its like, which must let go of every lock of the
 * transaction.  A handler that raises the code of one is not believed.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/arrays.h"
#include "base/owner.h"
#include "base/registration.h"
#include "base/role_section.h"
#include "base/rows.h"
#include "base/statement.h"
#include "base/subtransaction.h"
#include "compat.h"
#include "webhook/reply.h"

/*
 * Meta waits some seconds for a response (it does not say how many), and one
 * webhook may bring many replies.
 */
#define HANDLER_TIMEOUT_MS 5000
#define ALL_HANDLERS_TIMEOUT_MS 15000

/* What a handler that has caught its cancellation gets each time. */
#define CANCEL_AGAIN_MS 100

#define MAX_ERROR 1000

typedef struct Call
{
	int64 inbound_id;
	char *prefix;
	char *handler;
	WaRegistration registration;
	char *search_path;
	Datum argument; /* jsonb */
	int allowed_ms;
	const char *problem; /* NULL: none */
} Call;

static WaStatement calls_statement = {
	.sql = "SELECT inbound_id, prefix, handler, registered_by::pg_catalog.text,"
		   " registered_by_oid, owner::pg_catalog.text, owner_oid, search_path, argument"
		   " FROM @extschema@.wa_internal_reply_calls($1)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_SELECT};

static WaStatement record_statement = {
	.sql = "SELECT @extschema@.wa_internal_record_replies($1, $2, $3, $4)",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
	.expected = SPI_OK_SELECT};

static TimeoutId handler_timeout = MAX_TIMEOUTS;
static volatile sig_atomic_t timed_out;

PG_FUNCTION_INFO_V1(wa_retry_reply);

/* Runs in a signal handler. */
static void
handler_timed_out(void)
{
	timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
start_clock(int ms)
{
	if (handler_timeout == MAX_TIMEOUTS)
		handler_timeout = RegisterTimeout(USER_TIMEOUT, handler_timed_out);
	timed_out = false;
	enable_timeout_every(handler_timeout, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms),
						 CANCEL_AGAIN_MS);
}

/* It may have struck just now, with nobody left to be cancelled. */
static void
stop_clock(void)
{
	disable_timeout(handler_timeout, false);
	if (timed_out)
		QueryCancelPending = false;
}

/* ---- as whom ---- */

pg_noreturn static void refuse(const Call *call, WaRegistrationState state, Oid owner);

static void
refuse(const Call *call, WaRegistrationState state, Oid owner)
{
	const WaRegistration *r = &call->registration;
	const char *call_again =
		psprintf("SELECT wa_on_reply(%s, %s);", quote_literal_cstr(call->prefix),
				 quote_literal_cstr(call->handler));

	if (state == WA_REGISTRATION_ROLE_GONE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\", which registered the handler, does not exist", r->registrant),
				 errhint("Register it as another role: %s", call_again)));
	if (state == WA_REGISTRATION_ROLE_REPLACED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" is not the one that registered the handler", r->registrant),
				 errhint("If it is meant to run as this role, register it again: %s", call_again)));
	if (state == WA_REGISTRATION_OWNER_CHANGED)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("the handler is not owned by the role \"%s\" that owned it when "
							   "it was registered",
							   r->owner),
						errhint("If its new owner may decide what it does, register it again: %s",
								call_again)));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("neither of the roles \"%s\" and \"%s\" has the rights of the other",
					r->registrant, GetUserNameFromId(owner, true)),
			 errhint("Register the handler as a member of the role that owns it: %s", call_again)));
}

static WaRegisteredCode
kind_of_function(Oid function, Oid *owner)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool definer;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	*owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	definer = ((Form_pg_proc) GETSTRUCT(tuple))->prosecdef;
	ReleaseSysCache(tuple);
	return definer ? WA_CODE_OF_DEFINER : WA_CODE_OF_FUNCTION;
}

/*
 * The registrant must still be allowed to call it, whoever it runs as.
 */
static Oid
choose_role(const Call *call, Oid function)
{
	Oid owner;
	Oid role;
	WaRegisteredCode code = kind_of_function(function, &owner);
	WaRegistrationState state = wa_registration_check(&call->registration, code, owner, &role);

	if (state != WA_REGISTRATION_VALID)
		refuse(call, state, owner);
	if (!DatumGetBool(DirectFunctionCall3(
			has_function_privilege_id_id, ObjectIdGetDatum(call->registration.registrant_oid),
			ObjectIdGetDatum(function), CStringGetTextDatum("EXECUTE"))))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", get_func_name(function)),
				 errdetail("Role \"%s\", which registered the handler, may not call it any more.",
						   call->registration.registrant)));
	return role;
}

/* ---- one handler ---- */

/*
 * Calls the function, as the role that is in force now.  By OID: a statement would
 * look its name up again, and could find another one than has been checked.
 *
 * Nothing is deferred any more (base/role_section.h), but what the handler itself
 * would defer must be checked while it runs, also if the one before it has set
 * constraints otherwise.
 */
static void
execute_handler(const Call *call, Oid function)
{
	const char *set = "SET CONSTRAINTS ALL IMMEDIATE";
	FmgrInfo flinfo;
	LOCAL_FCINFO(fcinfo, 1);

	(void) wa_rows_taken(SPI_execute(set, false, 0), SPI_OK_UTILITY, set);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = call->argument;
	fcinfo->args[0].isnull = false;
	(void) FunctionCallInvoke(fcinfo);
	PopActiveSnapshot();
}

/*
 * Procedural languages have message domains of their own: what they RAISE does
 * not come from the server.
 */
static bool
must_pass_on(const ErrorData *error)
{
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK)
		return error->domain != NULL && strcmp(error->domain, PG_TEXTDOMAIN("postgres")) == 0;
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && !timed_out;
}

/* For the row: what an operator needs to find the mistake. */
static char *
describe_error(const ErrorData *error)
{
	char *text;

	if (timed_out && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		return pstrdup("57014: the handler took too long and was cancelled");
	text = psprintf("%s: %s%s%s%s%s", unpack_sql_state(error->sqlerrcode),
					error->message ? error->message : "unknown error", error->hint ? "\n" : "",
					error->hint ? error->hint : "", error->context ? "\n" : "",
					error->context ? error->context : "");
	if (strlen(text) > MAX_ERROR)
		text[pg_mbcliplen(text, (int) strlen(text), MAX_ERROR)] = '\0';
	return text;
}

/*
 * Found as a superuser, since the owner of our tables need not have the right to use
 * the application's schema.  Names are looked up, and nothing is run.
 */
static Oid
find_handler(const Call *call)
{
	WaRoleSection section;
	Oid function;

	wa_role_section_begin(&section, BOOTSTRAP_SUPERUSERID, WA_ROLE_RESTRICTED, WA_PINNED_PATH);
	function =
		DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(call->handler)));
	wa_role_section_end(&section);
	return function;
}

/*
 * As the role that it may run as, for as long as it may take.
 */
static void
run_as_registered(void *argument)
{
	const Call *call = argument;
	Oid function = find_handler(call);
	WaRoleSection section;

	wa_role_section_begin(&section, choose_role(call, function), WA_ROLE_RESTRICTED,
						  call->search_path);
	PG_TRY();
	{
		start_clock(call->allowed_ms);
		execute_handler(call, function);
	}
	PG_FINALLY();
	{
		stop_clock();
	}
	PG_END_TRY();
	wa_role_section_end(&section);
}

/*
 * Returns NULL, or what went wrong.
 */
static char *
run_handler(Call *call)
{
	ErrorData *error = wa_subtransaction_run(run_as_registered, call);
	char *problem;

	if (error == NULL)
		return NULL;
	if (must_pass_on(error))
		ReThrowError(error);
	problem = describe_error(error);
	FreeErrorData(error);
	return problem;
}

static void
run_all(Call *calls, int n)
{
	TimestampTz start = GetCurrentTimestamp();

	for (int i = 0; i < n; i++)
	{
		long left =
			ALL_HANDLERS_TIMEOUT_MS - TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());

		calls[i].allowed_ms = (int) Min(left, HANDLER_TIMEOUT_MS);
		if (left > 0)
			calls[i].problem = run_handler(&calls[i]);
		else
			calls[i].problem = "57014: not called, because those before it took too long";
	}
}

/* Returns how many went wrong. */
static int
record_outcomes(Oid schema, const Call *calls, int n)
{
	static const WaColumn columns[] = {
		WA_COLUMN(Call, inbound_id),
		WA_COLUMN(Call, prefix),
		WA_COLUMN(Call, handler),
		WA_COLUMN(Call, problem),
	};
	Datum values[lengthof(columns)];
	int failed = 0;

	for (int i = 0; i < n; i++)
		failed += calls[i].problem != NULL;
	WA_ARRAYS_OF(values, columns, calls, n);
	wa_statement_run(&record_statement, schema, values, NULL);
	return failed;
}

int
wa_webhook_run_handlers(Oid schema, const int64 *inbound_ids, int n, int *failed)
{
	WaRows rows;
	Datum values[1];
	Call *calls;
	int ncalls;

	*failed = 0;
	if (n == 0)
		return 0;
	values[0] = wa_array_of_int8(inbound_ids, n);
	rows = wa_statement_run(&calls_statement, schema, values, NULL);
	ncalls = (int) rows.count;
	if (ncalls == 0)
		return 0;
	calls = palloc0(sizeof(Call) * ncalls);
	for (int i = 0; i < ncalls; i++)
	{
		bool isnull;

		calls[i].inbound_id = wa_rows_int(&rows, i, 1, 0);
		calls[i].prefix = wa_rows_text(&rows, i, 2);
		calls[i].handler = wa_rows_text(&rows, i, 3);
		calls[i].registration.registrant = wa_rows_text(&rows, i, 4);
		calls[i].registration.registrant_oid = (Oid) wa_rows_int(&rows, i, 5, InvalidOid);
		calls[i].registration.owner = wa_rows_text(&rows, i, 6);
		calls[i].registration.owner_oid = (Oid) wa_rows_int(&rows, i, 7, InvalidOid);
		calls[i].search_path = wa_rows_text(&rows, i, 8);
		calls[i].argument = wa_rows_datum(&rows, i, 9, &isnull);
	}
	run_all(calls, ncalls);
	*failed = record_outcomes(schema, calls, ncalls);
	return ncalls;
}

/*
 * Calls the handler of one reply again.
 */
Datum
wa_retry_reply(PG_FUNCTION_ARGS)
{
	int64 inbound_id;
	WaOwner owner;
	int called;
	int failed;

	if (PG_ARGISNULL(0))
		wa_raise_null_argument("inbound_id");
	inbound_id = PG_GETARG_INT64(0);
	wa_role_settle_deferred();
	wa_owner_begin(&owner, fcinfo);
	called = wa_webhook_run_handlers(owner.schema, &inbound_id, 1, &failed);
	wa_owner_end(&owner);
	if (called == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("there is no reply " INT64_FORMAT " with a handler", inbound_id)));
	PG_RETURN_BOOL(failed == 0);
}
