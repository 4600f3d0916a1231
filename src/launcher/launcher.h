/*
 * launcher.h
 *	  The process that keeps the senders running.
 */
#ifndef WA_LAUNCHER_LAUNCHER_H
#define WA_LAUNCHER_LAUNCHER_H

/* What it is called in pg_stat_activity.backend_type. */
#define WA_LAUNCHER_TYPE "whatsapp_shared launcher"

extern void wa_launcher_register(void);
extern PGDLLEXPORT void wa_launcher_main(Datum main_arg);

#endif
