/*
 * dbguard.h
 *	  Makes senders leave a database that somebody drops, renames, moves or
 *	  copies.
 */
#ifndef WA_DBGUARD_H
#define WA_DBGUARD_H

extern void wa_dbguard_install_hooks(void);

#endif
