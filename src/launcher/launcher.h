/*
 * launcher.h
 *	  The process that keeps the senders running.
 */
#ifndef WA_LAUNCHER_LAUNCHER_H
#define WA_LAUNCHER_LAUNCHER_H

#include "shared/shmem.h"

/* What the launcher is called in pg_stat_activity.backend_type, and its senders. */
#define WA_LAUNCHER_TYPE "whatsapp_shared launcher"
#define WA_SENDER_TYPE "whatsapp_shared sender"

extern void wa_launcher_register(void);
extern PGDLLEXPORT void wa_launcher_main(Datum main_arg);

#endif
