/*
 * compat.h
 *	  Every difference between the versions of PostgreSQL and of libcurl that
 *	  we support.  No other file tests a version.
 *
 * A file that includes curl/curl.h before this one gets libcurl's part; one
 * that includes postgres.h (or wa_c.h) gets PostgreSQL's.
 */
#ifndef WA_COMPAT_H
#define WA_COMPAT_H

#ifdef LIBCURL_VERSION_NUM

#if LIBCURL_VERSION_NUM < 0x074300
#error "libcurl 7.67 or later is required"
#endif

/* 7.80: a callback between the connection's readiness and the request. */
#if LIBCURL_VERSION_NUM >= 0x075000
#define WA_CURL_HAS_PREREQ 1
#endif

/* 7.87: whether a request can be given up without waiting for its name. */
#if LIBCURL_VERSION_NUM >= 0x075700
#define WA_CURL_HAS_QUICK_EXIT 1
#endif

/* 8.20: the threads that look up names belong to the multi handle. */
#if LIBCURL_VERSION_NUM >= 0x081400
#define WA_CURL_SET_MULTI_QUICK_EXIT(multi) curl_multi_setopt(multi, CURLMOPT_QUICK_EXIT, 1L)
#else
#define WA_CURL_SET_MULTI_QUICK_EXIT(multi) CURLM_OK
#endif

/* 7.85: names instead of bits. */
#if LIBCURL_VERSION_NUM >= 0x075500
#define WA_CURL_SET_PROTOCOLS(easy) curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https")
#else
#define WA_CURL_SET_PROTOCOLS(easy)                                                                \
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS))
#endif

/* 7.70: the compiled-in CA bundle can be asked for. */
#if LIBCURL_VERSION_NUM >= 0x074600
#define WA_CURL_DEFAULT_CA_FILE(info) ((info)->age >= CURLVERSION_SEVENTH ? (info)->cainfo : NULL)
#else
#define WA_CURL_DEFAULT_CA_FILE(info) NULL
#endif

#endif /* LIBCURL_VERSION_NUM */

#ifdef PG_VERSION_NUM

#if PG_VERSION_NUM < 150000
#error "PostgreSQL 15 or later is required"
#endif

/* What is in a value of variable length: in a header of its own since 16. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
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

/* The records of all settings; since 16 their count comes along. */
#if PG_VERSION_NUM >= 160000
#define wa_guc_records(n) get_guc_variables(n)
#else
#define wa_guc_records(n) (*(n) = GetNumConfigOptions(), get_guc_variables())
#endif

/* Ownership of a database has one function for all classes of objects since 16. */
#if PG_VERSION_NUM >= 160000
#define wa_is_database_owner(dboid, role) object_ownercheck(DatabaseRelationId, (dboid), (role))
#else
#define wa_is_database_owner(dboid, role) pg_database_ownercheck((dboid), (role))
#endif

/* Since 18 the mark of a function that does not return stands before it. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* What the server shows of its processes, by number from 1; since 16 by another name. */
#if PG_VERSION_NUM >= 160000
#define wa_local_backend_status(n) pgstat_get_local_beentry_by_index(n)
#else
#define wa_local_backend_status(n) pgstat_fetch_stat_local_beentry(n)
#endif

/* A set that lives as long as the process: its owner is an argument since 17. */
#if PG_VERSION_NUM >= 170000
#define wa_create_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define wa_create_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, (n))
#endif

/* Since 18 an index scan can be told where to count its work. */
#if PG_VERSION_NUM >= 180000
#define wa_index_beginscan(table, index, snapshot, nkeys)                                          \
	index_beginscan((table), (index), (snapshot), NULL, (nkeys), 0)
#else
#define wa_index_beginscan(table, index, snapshot, nkeys)                                          \
	index_beginscan((table), (index), (snapshot), (nkeys), 0)
#endif

/* Index entries of a row just inserted: since 16 there are ways to write only some. */
#if PG_VERSION_NUM >= 160000
#define wa_insert_index_tuples(target, slot, estate)                                               \
	ExecInsertIndexTuples((target), (slot), (estate), false, false, NULL, NIL, false)
#else
#define wa_insert_index_tuples(target, slot, estate)                                               \
	ExecInsertIndexTuples((target), (slot), (estate), false, false, NULL, NIL)
#endif

/*
 * What pg_stat_activity says a process of ours waits for.  Since 17 an extension
 * can name it; cached is a static uint32 of the caller.
 */
#if PG_VERSION_NUM >= 170000
#define wa_wait_event(cached, name) ((cached) ? (cached) : ((cached) = WaitEventExtensionNew(name)))
#else
#define wa_wait_event(cached, name) ((cached) = PG_WAIT_EXTENSION)
#endif

/* A connection for physical replication: the arguments that say so have grown in number. */
#if PG_VERSION_NUM >= 170000
#define wa_walrcv_connect(conninfo, name, err)                                                     \
	walrcv_connect((conninfo), true, false, false, (name), (err))
#elif PG_VERSION_NUM >= 160000
#define wa_walrcv_connect(conninfo, name, err)                                                     \
	walrcv_connect((conninfo), false, false, (name), (err))
#else
#define wa_walrcv_connect(conninfo, name, err) walrcv_connect((conninfo), false, (name), (err))
#endif

#endif /* PG_VERSION_NUM */

#endif
