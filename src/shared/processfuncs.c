/*
 * processfuncs.c
 *	  SQL functions through which scripts and operators reach the senders and the
 *	  launcher: wake-ups, wa_worker_restart(), wa_stats(), what wa_health() asks.
 *
 * The senders count with atomics and never wait for a reader, so the columns of
 * a row of wa_stats() may be a moment apart.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/caller.h"
#include "base/owner.h"
#include "base/secret.h"
#include "shared/first_xid.h"
#include "shared/shmem.h"
#include "shared/wake.h"

PG_FUNCTION_INFO_V1(wa_internal_wake);
PG_FUNCTION_INFO_V1(wa_internal_wake_due);
PG_FUNCTION_INFO_V1(wa_internal_wake_launcher);
PG_FUNCTION_INFO_V1(wa_internal_config_changed);
PG_FUNCTION_INFO_V1(wa_internal_consent_changed);
PG_FUNCTION_INFO_V1(wa_internal_credential_problem);
PG_FUNCTION_INFO_V1(wa_internal_credentials_present);
PG_FUNCTION_INFO_V1(wa_internal_preloaded);
PG_FUNCTION_INFO_V1(wa_internal_connections);
PG_FUNCTION_INFO_V1(wa_stats);
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

/* What a change of this table is for senders; of rows that are gone they find no trace. */
static uint32
config_kind(TriggerData *trigger)
{
	const char *table = RelationGetRelationName(trigger->tg_relation);

	if (strcmp(table, "whatsapp_pauses") == 0)
		return WA_CONFIG_PAUSES; /* few, and read as a whole */
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		return WA_CONFIG_ALL;
	if (strcmp(table, "whatsapp_tenants") == 0)
		return WA_CONFIG_TENANTS;
	if (strcmp(table, "whatsapp_phone_assignments") == 0)
		return WA_CONFIG_ASSIGNMENTS;
	if (strcmp(table, "whatsapp_phone_numbers") == 0)
		return WA_CONFIG_NUMBERS;
	return WA_CONFIG_REST;
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
	wa_first_xid_note();
	wa_wake_config(config_kind((TriggerData *) fcinfo->context));
	return PointerGetDatum(NULL);
}

/*
 * Trigger on what says who wants which messages: opt-outs and templates' categories.
 */
Datum
wa_internal_consent_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger",
							   "wa_internal_consent_changed")));
	wa_wake_consent();
	return PointerGetDatum(NULL);
}

/*
 * Is this credential set?  Its value is nowhere to be had in SQL.
 */
Datum
wa_internal_credentials_present(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wa_secret_present(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/*
 * Why the file of a credential cannot be used; NULL: nothing is wrong with it.
 */
Datum
wa_internal_credential_problem(PG_FUNCTION_ARGS)
{
	char *problem = wa_secret_problem(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
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
	WaOwner owner;

	if (wa_shared == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("whatsapp_shared must be loaded when the server starts"),
						errhint("Add it to shared_preload_libraries and restart the server.")));

	wa_owner_begin_restricted(&owner, fcinfo);
	wa_caller_note(owner.schema, "restart", "Restarted the senders");
	wa_owner_end(&owner);
	PG_RETURN_INT32(wa_shmem_ask_to_leave(MyDatabaseId, NULL));
}

/* ---- statistics ------------------------------------------------------------ */

#define STATS_COLUMNS 16

/* What is guarded by the lock, copied while it is held. */
typedef struct SenderView
{
	int slotno;
	int index;
	int nsenders;
	pid_t pid;
	TimestampTz attached_at;
	NameData dbname;
} SenderView;

/* None if the library is not preloaded. */
static int
copy_views(SenderView *views)
{
	int count = 0;

	if (wa_shared == NULL)
		return 0;
	LWLockAcquire(wa_shared->lock, LW_SHARED);
	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		WaSenderSlot *slot = &wa_shared->slots[i];

		if (!slot->in_use || slot->dboid != MyDatabaseId)
			continue;
		views[count].slotno = i;
		views[count].index = slot->index;
		views[count].nsenders = slot->nsenders;
		views[count].pid = slot->pid;
		views[count].attached_at = slot->attached_at;
		namestrcpy(&views[count].dbname, slot->dbname);
		count++;
	}
	LWLockRelease(wa_shared->lock);
	return count;
}

static Datum
counter(pg_atomic_uint64 *value)
{
	return Int64GetDatum((int64) pg_atomic_read_u64(value));
}

static Datum
throttled(WaSenderCounters *c)
{
	int64 sum = 0;

	for (int i = 0; i < WA_THROTTLES; i++)
		sum += (int64) pg_atomic_read_u64(&c->throttled[i]);
	return Int64GetDatum(sum);
}

/*
 * One row for each sender of the current database, also for one that is not
 * running just now.  No row if the library is not preloaded.
 */
Datum
wa_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SenderView views[WA_MAX_SENDERS];
	int count = copy_views(views);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
	{
		WaSenderCounters *c = &wa_shared->slots[views[i].slotno].counters;
		TimestampTz last_cycle_at = (TimestampTz) pg_atomic_read_u64(&c->last_cycle_at);
		Datum values[STATS_COLUMNS];
		bool nulls[STATS_COLUMNS] = {false};
		int n = 0;

		values[n++] = NameGetDatum(&views[i].dbname);
		values[n++] = Int32GetDatum(views[i].index);
		values[n++] = Int32GetDatum(views[i].nsenders);
		nulls[n] = views[i].pid == 0;
		values[n++] = Int32GetDatum(views[i].pid);
		nulls[n] = views[i].pid == 0;
		values[n++] = TimestampTzGetDatum(views[i].attached_at);
		values[n++] = counter(&c->requests);
		values[n++] = counter(&c->accepted);
		values[n++] = counter(&c->failed);
		values[n++] = counter(&c->retried);
		values[n++] = throttled(c);
		values[n++] = counter(&c->uncertain);
		values[n++] = counter(&c->cycles);
		values[n++] = counter(&c->errors);
		values[n++] = Int32GetDatum((int32) pg_atomic_read_u32(&c->in_flight));
		values[n++] = Int32GetDatum((int32) pg_atomic_read_u32(&c->connections));
		nulls[n] = last_cycle_at == 0;
		values[n++] = TimestampTzGetDatum(last_cycle_at);
		Assert(n == STATS_COLUMNS);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * How many connections each running sender of the current database would have to
 * open to have as many requests on the wire as the settings allow, and how many
 * it can.
 */
Datum
wa_internal_connections(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SenderView views[WA_MAX_SENDERS];
	int count = copy_views(views);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
	{
		WaSenderCounters *c = &wa_shared->slots[views[i].slotno].counters;
		int wanted = (int) pg_atomic_read_u32(&c->connections_wanted);
		int possible = (int) pg_atomic_read_u32(&c->connections_possible);
		Datum values[] = {Int32GetDatum(views[i].index), Int32GetDatum(wanted),
						  Int32GetDatum(possible)};
		bool nulls[] = {false, false, false};

		if (views[i].pid != 0)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
