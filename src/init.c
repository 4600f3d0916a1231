/*
 * init.c
 *	  What happens when the library is loaded.
 *
 * In the postmaster (shared_preload_libraries) everything is set up.  In a
 * session of a server that does not preload it only the settings are defined:
 * messages can then be enqueued, and wait until the server preloads it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/guc.h"
#include "launcher/dbguard.h"
#include "launcher/launcher.h"
#include "shared/shmem.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	wa_guc_define();

	if (!process_shared_preload_libraries_in_progress)
		return;

	wa_shmem_install_hooks();

	/* pg_upgrade's servers must send nothing and start nothing. */
	if (IsBinaryUpgrade)
		return;

	wa_dbguard_install_hooks();
	wa_launcher_register();
}
