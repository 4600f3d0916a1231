/*
 * dbguard.h
 *	  Makes senders leave a database that somebody drops, renames, moves or
 *	  copies.
 */
#ifndef WA_LAUNCHER_DBGUARD_H
#define WA_LAUNCHER_DBGUARD_H

extern void wa_dbguard_install_hooks(void);

#endif
