/*
 * transaction.h
 *	  Running a sender's SQL: short transactions and kept statements.
 *	  Knows nothing of HTTP.
 *
 * wa_store_run needs a transaction begun with wa_store_begin; all of them raise
 * on failure.
 */
#ifndef WA_SENDER_STORE_TRANSACTION_H
#define WA_SENDER_STORE_TRANSACTION_H

#include <signal.h>

#include "postgres_ext.h"

#include "base/rows.h"
#include "base/statement.h"

/* The extension's schema, and the role that owns its tables: it runs as that. */
extern void wa_store_init(Oid schema, Oid owner);
extern Oid wa_store_schema(void);

/* For the handler of SIGTERM: whether to set ProcDiePending. */
extern volatile sig_atomic_t wa_store_committing;

/*
 * How long a statement waits for somebody's lock before it fails: lock_timeout.  Long
 * enough for locks that last no longer than a page is read or a COMMIT is written;
 * as long as everybody else's messages may wait for it.
 */
#define WA_STORE_LEAST_PATIENCE_MS 10
#define WA_STORE_MOST_PATIENCE_MS 200

extern void wa_store_set_patience(int ms);

extern void wa_store_begin(const char *activity);
extern void wa_store_commit(void);

extern WaRows wa_store_run(WaStatement *statement, Datum *values, const char *nulls);

#endif
