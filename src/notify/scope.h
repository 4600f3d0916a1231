/*
 * scope.h
 *	  Expressions over NEW and OLD.
 */
#ifndef WA_NOTIFY_SCOPE_H
#define WA_NOTIFY_SCOPE_H

#include "access/htup.h"
#include "executor/spi.h"
#include "utils/rel.h"

#include "base/rows.h"
#include "notify/format.h"

/* What expressions can refer to; must live as long as plans made with it. */
typedef struct WaNotifyScope
{
	const char *relation_name;
	TupleDesc desc;
	Oid rowtype;
	bool has_old;
} WaNotifyScope;

/* The rows themselves; NULL if there is none.  Both are of the type "desc". */
typedef struct WaNotifyRows
{
	TupleDesc desc;
	HeapTuple new_row;
	HeapTuple old_row;
} WaNotifyRows;

extern void wa_notify_scope_init(WaNotifyScope *scope, Relation rel, bool has_old);

/*
 * The SQL of something given as the name of a column or as an expression,
 * which is one expression and nothing else, or an error that names the place.
 */
extern char *wa_notify_expression(const WaNotifyScope *scope, const char *place, const char *given,
								  bool must_be_column);

/* What type an expression must have; "what" is for messages, such as "a date". */
typedef struct WaNotifyExpected
{
	const char *what;
	bool (*takes)(const struct WaNotifyExpected *expected, Oid type);
	WaFormat format;
} WaNotifyExpected;

/*
 * Raises an error that names the place unless it can be computed by the role
 * in force.  Needs SPI.
 */
extern void wa_notify_check_expression(WaNotifyScope *scope, const char *place, const char *sql,
									   const WaNotifyExpected *expected);

/* Needs SPI; the plan is the caller's to keep. */
extern SPIPlanPtr wa_notify_prepare(WaNotifyScope *scope, const char *sql);
extern WaRows wa_notify_execute(const WaNotifyScope *scope, SPIPlanPtr plan,
								const WaNotifyRows *rows);

#endif
