/*
 * dbguard.c
 *	  Makes senders leave a database that somebody drops, renames, moves or
 *	  copies, and tells launcher and senders about other statements that
 *	  concern them.
 *
 * A sender is connected to its database, and the server refuses DROP DATABASE,
 * ALTER DATABASE ... RENAME or SET TABLESPACE, and CREATE DATABASE with it as
 * the template, while anybody is.  Nobody should have to know about our
 * processes to drop a database, so a utility hook asks them to leave before
 * such a statement and waits a few seconds for it.
 *
 * The launcher would start them again at once.  So the database is guarded
 * from before the request until the transaction has ended one way or the
 * other; the launcher then looks again, and starts what should run.
 *
 * The hook runs before the statement's own permission check.  It therefore
 * does nothing for somebody who may not run the statement: otherwise any user
 * could make senders stop.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/condition_variable.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "launcher/dbguard.h"
#include "shared/shmem.h"
#include "shared/wake.h"

/* The server itself waits as long for other sessions to leave. */
#define MAX_WAIT_MS 5000

/* Senders tell us when they detach; this is for the last moments of the process. */
#define LOOK_AGAIN_MS 10

static ProcessUtility_hook_type prev_process_utility = NULL;
static object_access_hook_type prev_object_access = NULL;

static bool guarding = false;

/* have_createdb_privilege(), which the first minor releases of 15 do not export. */
static bool
may_create_databases(void)
{
	HeapTuple tuple;
	bool result = false;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return result;
}

/*
 * May the current user drop or rename this database or, if copying, use it as a
 * template?  The same rules as in dbcommands.c.
 */
static bool
may_disturb(Oid dboid, bool copying)
{
	HeapTuple tuple;
	bool is_template = false;

	if (wa_is_database_owner(dboid, GetUserId()))
		return true;
	if (!copying || !may_create_databases())
		return false;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	if (HeapTupleIsValid(tuple))
	{
		is_template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return is_template;
}

static const char *
option_value(List *options, const char *name)
{
	ListCell *lc;

	foreach (lc, options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/*
 * The name of the database in which the statement tolerates no other session,
 * or NULL.
 */
static const char *
database_at_stake(Node *statement, bool *copying)
{
	*copying = false;
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) statement)->subname;
			return NULL;
		case T_AlterDatabaseStmt:
			if (option_value(((AlterDatabaseStmt *) statement)->options, "tablespace") != NULL)
				return ((AlterDatabaseStmt *) statement)->dbname;
			return NULL;
		case T_CreatedbStmt:
		{
			const char *template = option_value(((CreatedbStmt *) statement)->options, "template");

			*copying = true;
			return template ? template : "template1";
		}
		default:
			return NULL;
	}
}

static void
end_guard(XactEvent event, void *arg)
{
	if (!guarding || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	guarding = false;
	wa_shmem_release_guards();
	wa_shmem_wake_launcher();
}

/*
 * Is any of these senders still attached, or any of these processes alive?
 */
static bool
still_there(Oid dboid, const pid_t *pids, int count)
{
	bool attached = false;

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		WaSenderSlot *slot = &wa_shared->slots[i];

		attached |= slot->in_use && slot->dboid == dboid && slot->pid != 0;
	}
	LWLockRelease(wa_shared->lock);

	for (int i = 0; i < count && !attached; i++)
		attached = pids[i] != 0 && BackendPidGetProc(pids[i]) != NULL;
	return attached;
}

/*
 * Guards the database until the end of the transaction, and waits until its
 * senders have left.  If they do not in time, the statement will say so.
 */
static void
make_senders_leave(Oid dboid)
{
	static bool registered = false;
	static uint32 wait_event = 0;
	pid_t pids[WA_MAX_SENDERS];
	TimestampTz deadline;
	int count;

	if (!registered)
	{
		RegisterXactCallback(end_guard, NULL);
		registered = true;
	}
	guarding = true;
	wa_shmem_guard(dboid);
	count = wa_shmem_ask_to_leave(dboid, pids);

	deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MAX_WAIT_MS);
	ConditionVariablePrepareToSleep(&wa_shared->left);
	while (still_there(dboid, pids, count) && GetCurrentTimestamp() < deadline)
		(void) ConditionVariableTimedSleep(&wa_shared->left, LOOK_AGAIN_MS,
										   wa_wait_event(wait_event, "WhatsappSendersLeave"));
	ConditionVariableCancelSleep();
}

static void
guard_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			  ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
			  DestReceiver *dest, QueryCompletion *completion)
{
	NodeTag tag = nodeTag(pstmt->utilityStmt);
	bool copying;
	const char *dbname = database_at_stake(pstmt->utilityStmt, &copying);

	if (dbname != NULL)
	{
		Oid dboid = get_database_oid(dbname, true);

		if (OidIsValid(dboid) && may_disturb(dboid, copying))
			make_senders_leave(dboid);
	}

	if (prev_process_utility)
		prev_process_utility(pstmt, query, read_only_tree, context, params, env, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest,
								completion);

	/* The new database, or one that now allows connections, may be in our list. */
	if (tag == T_CreatedbStmt || tag == T_AlterDatabaseStmt)
		wa_wake_launcher();

	/* The scripts may have come to a version that the library serves, or from it. */
	if (tag == T_AlterExtensionStmt)
	{
		wa_wake_launcher();
		wa_wake_config(WA_CONFIG_ALL);
	}
}

/*
 * Notices that our extension is dropped, be it by DROP EXTENSION, DROP SCHEMA,
 * DROP OWNED or otherwise: the senders look again, find nothing and leave.
 */
static void
watch_drops(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class_id, object_id, sub_id, arg);

	if (access == OAT_DROP && class_id == ExtensionRelationId)
	{
		char *name = get_extension_name(object_id);

		if (name != NULL && strcmp(name, "whatsapp_shared") == 0)
			wa_wake_config(WA_CONFIG_ALL);
	}
}

void
wa_dbguard_install_hooks(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = guard_utility;
	prev_object_access = object_access_hook;
	object_access_hook = watch_drops;
}
