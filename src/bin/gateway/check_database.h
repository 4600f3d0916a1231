/*
 * check_database.h
 *	  The part of --check that asks PostgreSQL.
 */
#ifndef GW_CHECK_DATABASE_H
#define GW_CHECK_DATABASE_H

/*
 * Does the connection work, is the extension there and of this version, and may the
 * role do what it has to, and not much more?
 */
extern void gw_check_admin_database(void);
extern void gw_check_webhook_database(void);

#endif
