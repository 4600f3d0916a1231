/*
 * notify.h
 *	  Notifications: messages that a trigger on an application's table sends.
 *
 * notify/create.c makes them, notify/trigger.c is the trigger, notify/plan.c keeps what
 * a session knows of them, notify/scope.c gives expressions their NEW and OLD,
 * notify/parameters.c handles the template's parameters, notify/key.c makes
 * idempotency keys, notify/role.c decides as whom expressions run,
 * notify/format.c writes values in the tenant's language, notify/failure.c
 * records what goes wrong, and notify/retry.c tries that again.
 */
#ifndef WA_NOTIFY_NOTIFY_H
#define WA_NOTIFY_NOTIFY_H

#include "access/htup.h"
#include "access/tupconvert.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "base/rows.h"
#include "notify/format.h"

/* The arguments of our triggers. */
#define WA_NOTIFY_ARG_NAME 0
#define WA_NOTIFY_ARG_ID 1
#define WA_NOTIFY_ARGS 2

/*
 * The values of a notification that are no parameters of its template, in the
 * order in which the plan computes them; the parameters' follow.
 */
typedef enum WaNotifyPart
{
	WA_NOTIFY_TENANT,
	WA_NOTIFY_RECIPIENT,
	WA_NOTIFY_REFERENCE,
	WA_NOTIFY_KEY,
	WA_NOTIFY_SCHEDULED_AT,
	WA_NOTIFY_EXPIRES_AT,
	WA_NOTIFY_PARTS
} WaNotifyPart;

extern const char *const wa_notify_part_names[WA_NOTIFY_PARTS];

/* A row of whatsapp_notifications.  What may be absent is NULL. */
typedef struct WaNotification
{
	const char *id;
	const char *name;
	const char *relation; /* as it was called then */
	const char *events;
	const char *template_name;
	const char *parts[WA_NOTIFY_PARTS]; /* columns or expressions */
	Jsonb *parameters;
	const char *condition;
	const char *language;
	int priority;
	const char *on_uncertain;
	bool strict;
	const char *role; /* that made it */
	const char *search_path;
} WaNotification;

/* ---- expressions over NEW and OLD (notify/scope.c) ---- */

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
extern WaRows wa_notify_execute(const WaNotifyScope *scope, SPIPlanPtr plan, WaNotifyRows *rows);

/* ---- parameters of the template (notify/parameters.c) ---- */

typedef struct WaNotifyValue
{
	const char *place; /* for messages, such as parameters[0] */
	const char *sql;
	WaFormat format;
	const char *currency; /* of WA_FORMAT_MONEY */
	int digits;			  /* behind the decimal point; -1: as they come */
	const char *fallback; /* instead of NULL; or NULL */
} WaNotifyValue;

/* The values that must be computed, as a list of WaNotifyValue. */
extern List *wa_notify_parameters_read(Jsonb *parameters, const WaNotifyScope *scope);

/* The document with their texts, in that order, in their places. */
extern Jsonb *wa_notify_parameters_fill(Jsonb *parameters, char **texts);

/* ---- what a session knows of a notification (notify/plan.c) ---- */

typedef struct WaNotifyPlan
{
	const WaNotification *registered; /* NULL: there is no such row */

	/* the table */
	Oid relid;
	Oid owner;
	WaNotifyScope scope;
	Bitmapset *key_columns; /* of the primary key; NULL if there is none */

	/* what is computed */
	List *values; /* of WaNotifyValue */
	SPIPlanPtr plan;
	Oid enqueue_function;

	/* private to notify/plan.c */
	MemoryContext context;
	bool valid;
	bool abandoned; /* another one has taken its place */
	int users;
	Oid partition;
	TupleConversionMap *from_partition;
} WaNotifyPlan;

/*
 * The notification of the trigger that fires; valid until wa_notify_release().
 */
extern WaNotifyPlan *wa_notify_find(FunctionCallInfo fcinfo, TriggerData *trigger);
extern void wa_notify_release(WaNotifyPlan *plan);

/* Makes its expressions ready to be computed, as the role in force. */
extern void wa_notify_compile(WaNotifyPlan *plan);

/* A row of the table or a partition, in the shape of the table's rows. */
extern HeapTuple wa_notify_convert_row(WaNotifyPlan *plan, Relation rel, HeapTuple row);

/* ---- one call of the trigger (notify/key.c) ---- */

typedef struct WaNotifyFiring
{
	FunctionCallInfo fcinfo;
	TriggerData *trigger;
	WaNotifyPlan *plan;
	bool is_update;
	WaNotifyRows rows; /* in the shape of the table, also if it is a partition's */
	int64 message_id;  /* what was sent; 0 if nothing was to be sent */
} WaNotifyFiring;

/* Sends the message, if one is to be sent (notify/trigger.c); takes a WaNotifyFiring. */
extern void wa_notify_send(void *firing);

/* Whether this update has changed any of the columns that it is about. */
extern bool wa_notify_has_changed(const TriggerData *trigger);

/* The primary key as text, or NULL if there is none. */
extern char *wa_notify_row_key(const WaNotifyFiring *f);

/* The idempotency key if none is given; NULL without a primary key. */
extern text *wa_notify_key(const WaNotifyFiring *f);

/* ---- what goes wrong (notify/failure.c) ---- */

/* As wa_attempt(), but what concerns the whole transaction is thrown. */
extern ErrorData *wa_notify_attempt(void (*step)(void *argument), void *argument);

/* Tells of it, and keeps it as a row. */
extern void wa_notify_failed(WaNotifyFiring *f, const ErrorData *error);
extern void wa_notify_warn(const WaNotifyFiring *f, const ErrorData *error);

/* ---- roles (notify/role.c) ---- */

/*
 * Raises an error unless the role may send, and may do so for rows of a table
 * of this owner.  Returns the role that the expressions run as.
 */
extern Oid wa_notify_check_role(const char *role, Oid owner, const char *relation_name,
								Oid enqueue_function);

/* wa_enqueue_message(text, …) in this schema. */
extern Oid wa_notify_enqueue_function(Oid schema);

#endif
