/*
 * version.h
 *	  Which versions of the SQL scripts this library serves.
 *
 * After an upgrade of the package the library is new once the server has been
 * restarted, and the scripts once ALTER EXTENSION ... UPDATE was run in a database.
 */
#ifndef WA_BASE_VERSION_H
#define WA_BASE_VERSION_H

#define WA_MAX_VERSION 32 /* bytes with the terminator; longer ones are cut */

/* The library's own. */
extern const char *wa_version_of_library(void);

/* Can a sender of this library work with the tables and functions of that version? */
extern bool wa_version_is_served(const char *scripts);

#endif
