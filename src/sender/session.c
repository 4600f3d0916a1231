/*
 * session.c
 *	  The database session of a sender: its connection and the settings it runs
 *	  under, its lock, its extension.
 *
 * A connection takes over what ALTER DATABASE ... SET and ALTER ROLE ALL ...
 * SET have stored.  The owner of a database may store a great deal there: a
 * role to run as, a search_path, a session_replication_role, a statement_timeout
 * that ends every statement.  A sender spends everybody's credentials, so none
 * of that counts for it: after the connection every setting that came from there
 * is put back to what the server's configuration says.  The values stored are
 * read by a connection only, so no reload brings them back.
 *
 * Two cannot be put back by their value.  "role" is fixed before the connection,
 * with a source that goes before those.  The session's user is set again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/owner.h"
#include "base/ownership.h"
#include "base/role_section.h"
#include "base/schema.h"
#include "compat.h"
#include "sender/session.h"
#include "shared/shmem.h"

/*
 * What distinguishes our locks: one for each sender of a database.  The method is
 * that of advisory locks, which are kept until the process ends; but those that
 * SQL can take have 1 or 2 as their kind, so nobody can take one of ours.
 */
#define LOCK_CLASS 0x57415348 /* "WASH" */
#define LOCK_KIND 0x5741

/* What a setting was before the connection. */
typedef struct Setting
{
	struct config_generic *record;
	char *value; /* NULL: it has none */
	GucSource source;
} Setting;

/* Could ALTER DATABASE store it? */
static bool
may_be_stored(const struct config_generic *record)
{
	return record->context == PGC_USERSET || record->context == PGC_SUSET;
}

static bool
comes_from_catalog(GucSource source)
{
	return source >= PGC_S_GLOBAL && source <= PGC_S_DATABASE_USER;
}

/* All settings that could be stored, as they are; in the current memory context. */
static Setting *
remember_settings(int *count)
{
	int n;
	struct config_generic **records = wa_guc_records(&n);
	Setting *settings = palloc(n * sizeof(Setting));

	*count = 0;
	for (int i = 0; i < n; i++)
	{
		const char *value;

		if (!may_be_stored(records[i]))
			continue;
		value = GetConfigOption(records[i]->name, true, false);
		settings[*count].record = records[i];
		settings[*count].value = value == NULL ? NULL : pstrdup(value);
		settings[*count].source = records[i]->source;
		(*count)++;
	}
	return settings;
}

/*
 * Undoes what the connection has taken over.  Its source would keep the old value
 * out; the lowest of those that are not the built-in default lets it in (a record
 * whose source is the default is in no list of the server's, so it must not get
 * that one by assignment).
 */
static void
put_back(const Setting *setting)
{
	struct config_generic *record = setting->record;

	if (setting->value == NULL ||
		(!comes_from_catalog(record->source) && !comes_from_catalog(record->reset_source)))
		return;
	record->source = PGC_S_DYNAMIC_DEFAULT;
	record->reset_source = PGC_S_DYNAMIC_DEFAULT;
	(void) set_config_option(record->name, setting->value, PGC_SUSET,
							 Max(setting->source, PGC_S_DYNAMIC_DEFAULT), GUC_ACTION_SET, true,
							 ERROR, false);
}

/*
 * The session's own settings: names resolve to nothing of a user's, waiting for a
 * lock ends, and a short statement takes no other process and is not compiled.
 */
static void
set_own(void)
{
	static const char *const settings[][2] = {
		{"search_path", WA_PINNED_PATH},
		{"lock_timeout", "200ms"},
		{"statement_timeout", "0"},
		{"synchronous_commit", "on"},
		{"idle_in_transaction_session_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
		{"row_security", "off"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_OVERRIDE);
}

void
wa_session_connect(Oid dboid)
{
	MemoryContext context = AllocSetContextCreate(
		TopMemoryContext, "whatsapp_shared settings before the connection", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Setting *settings;
	int count;

	/* Its settings exist from now on; our functions would load it later. */
	load_file("$libdir/plpgsql", false);
	SetConfigOption("role", "none", PGC_USERSET, PGC_S_OVERRIDE);
	settings = remember_settings(&count);
	MemoryContextSwitchTo(old);

	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);

	for (int i = 0; i < count; i++)
		put_back(&settings[i]);
	MemoryContextDelete(context);
	if (GetSessionUserId() != BOOTSTRAP_SUPERUSERID)
		SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true);
	ProcessConfigFile(PGC_SIGHUP);
	set_own();
	pgstat_report_appname(WA_SENDER_TYPE);
}

bool
wa_session_lock_index(int index)
{
	LOCKTAG tag;
	bool locked;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, LOCK_CLASS, (uint32) index, LOCK_KIND);
	StartTransactionCommand();
	locked = LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
	CommitTransactionCommand();
	return locked;
}

Oid
wa_session_find_extension(char *version, size_t size)
{
	Oid schema;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	schema = wa_schema_and_version(version, size);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return schema;
}

char *
wa_session_find_flaw(Oid schema, Oid *owner)
{
	MemoryContext context = CurrentMemoryContext;
	WaOwnershipFlaw *flaw;
	char *problem;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	flaw = wa_ownership_flaw(schema);
	problem = flaw == NULL ? NULL : MemoryContextStrdup(context, flaw->problem);
	*owner = wa_owner_of_tables(schema);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return problem;
}
