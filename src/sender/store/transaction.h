/*
 * transaction.h
 *	  Running a sender's SQL: transactions, kept statements, columns and arrays.
 *	  Knows nothing of HTTP.
 *
 * Everything returned lives in the current memory context.  All functions but
 * wa_store_begin and wa_store_commit need a transaction begun with the former,
 * and raise on failure.  Columns and arrays also serve functions that a session
 * calls.
 */
#ifndef WA_SENDER_STORE_TRANSACTION_H
#define WA_SENDER_STORE_TRANSACTION_H

#include <signal.h>

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

#include "base/statement.h"

extern void wa_store_init(Oid schema);
extern Oid wa_store_schema(void);

/* For the handler of SIGTERM: whether to set ProcDiePending. */
extern volatile sig_atomic_t wa_store_committing;

extern void wa_store_begin(const char *activity);
extern void wa_store_commit(void);

/* A kept plan with the result it must have (SPI_OK_...). */
typedef struct WaStatement
{
	WaPlan plan;
	int expected;
} WaStatement;

extern void wa_store_run(WaStatement *statement, Datum *values, const char *nulls);

/* Columns of the last result, from 1; texts are NULL for SQL NULL. */
extern char *wa_store_text(int row, int column);
extern char *wa_store_plain_text(int row, int column); /* of type text: cheaper */
extern int64 wa_store_int(int row, int column, int64 if_null);
extern TimestampTz wa_store_time(int row, int column, TimestampTz if_null);

extern Datum wa_store_int8_array(const int64 *values, int n);
extern Datum wa_store_int2_array(const int16 *values, int n);
extern Datum wa_store_int4_array(const int32 *values, int n);
extern Datum wa_store_bool_array(const bool *values, int n);
extern Datum wa_store_text_array(const char *const *values, int n); /* NULL elements allowed */
extern Datum wa_store_tid_array(const ItemPointerData *values, int n);
extern Datum wa_store_time_array(const TimestampTz *values, int n); /* 0 elements become NULL */

/* Message ids that a statement has returned, to be searched. */
extern void wa_store_sort_ids(int64 *ids, int n);
extern bool wa_store_is_among(int64 id, const int64 *sorted, int n);

#endif
