/*
 * workerfuncs.c
 *	  SQL functions through which the scripts and operators reach the senders,
 *	  the launcher and the settings.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/secret.h"
#include "shared/shmem.h"
#include "shared/wake.h"

PG_FUNCTION_INFO_V1(wa_internal_wake);
PG_FUNCTION_INFO_V1(wa_internal_wake_due);
PG_FUNCTION_INFO_V1(wa_internal_wake_launcher);
PG_FUNCTION_INFO_V1(wa_internal_config_changed);
PG_FUNCTION_INFO_V1(wa_internal_credentials_present);
PG_FUNCTION_INFO_V1(wa_internal_preloaded);
PG_FUNCTION_INFO_V1(wa_worker_restart);

Datum
wa_internal_wake(PG_FUNCTION_ARGS)
{
	char *number = text_to_cstring(PG_GETARG_TEXT_PP(0));

	wa_wake_ready(number, PG_GETARG_INT64(1));
	pfree(number);
	PG_RETURN_VOID();
}

Datum
wa_internal_wake_due(PG_FUNCTION_ARGS)
{
	wa_wake_due(PG_GETARG_TIMESTAMPTZ(0));
	PG_RETURN_VOID();
}

Datum
wa_internal_wake_launcher(PG_FUNCTION_ARGS)
{
	wa_wake_launcher();
	PG_RETURN_VOID();
}

/*
 * Statement-level trigger on the tables that senders keep in memory.
 */
Datum
wa_internal_config_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger",
							   "wa_internal_config_changed")));
	wa_wake_config();
	return PointerGetDatum(NULL);
}

/*
 * Is this credential set?  Its value is nowhere to be had in SQL.
 */
Datum
wa_internal_credentials_present(PG_FUNCTION_ARGS)
{
	char *which = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strcmp(which, "access_token") == 0)
		PG_RETURN_BOOL(wa_secret_access_token() != NULL);
	if (strcmp(which, "app_secret") == 0)
		PG_RETURN_BOOL(wa_secret_app_secret(0) != NULL);
	if (strcmp(which, "webhook_verify_token") == 0)
		PG_RETURN_BOOL(wa_secret_verify_token() != NULL);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown credential \"%s\"", which)));
}

Datum
wa_internal_preloaded(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wa_shared != NULL);
}

/*
 * Asks the senders of the current database to end; the launcher starts them
 * again.  Does not wait.  Returns how many there are.
 */
Datum
wa_worker_restart(PG_FUNCTION_ARGS)
{
	if (wa_shared == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("whatsapp_shared must be loaded when the server starts"),
						errhint("Add it to shared_preload_libraries and restart the server.")));

	PG_RETURN_INT32(wa_shmem_ask_to_leave(MyDatabaseId, NULL));
}
