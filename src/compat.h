/*
 * compat.h
 *	  Differences between the versions of PostgreSQL and of libcurl that we
 *	  build with.  Every test of PG_VERSION_NUM or LIBCURL_VERSION_NUM is here.
 *
 * Include it after postgres.h (and after curl/curl.h where that is used).
 */
#ifndef WA_COMPAT_H
#define WA_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "whatsapp_shared needs PostgreSQL 15 or later"
#endif

/*
 * The value and the "extra" of a setting belong to the settings machinery,
 * which frees them: with free() before 16, with guc_free() since.
 */
#if PG_VERSION_NUM >= 160000
#define wa_guc_alloc(size) guc_malloc(LOG, (size))
#define wa_guc_release(ptr) guc_free(ptr)
#else
#define wa_guc_alloc(size) malloc(size)
#define wa_guc_release(ptr) free(ptr)
#endif

/* Ownership of a database has one function for all classes of objects since 16. */
#if PG_VERSION_NUM >= 160000
#define wa_is_database_owner(dboid, role) object_ownercheck(DatabaseRelationId, (dboid), (role))
#else
#define wa_is_database_owner(dboid, role) pg_database_ownercheck((dboid), (role))
#endif

#endif
