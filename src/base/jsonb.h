/*
 * jsonb.h
 *	  Reading and writing jsonb values in C.
 */
#ifndef WA_BASE_JSONB_H
#define WA_BASE_JSONB_H

#include "utils/jsonb.h"

/* ---- reading ---- */

/*
 * Values are JsonbValue as the iterator returns them: scalars, or jbvBinary
 * for arrays and objects.  NULL stands for "not there".
 */
extern bool wa_jsonb_is_object(const JsonbValue *value);
extern bool wa_jsonb_is_array(const JsonbValue *value);
extern bool wa_jsonb_is_null(const JsonbValue *value); /* not there, or null */

/* A member of an object, or NULL; also if "object" is no object. */
extern JsonbValue *wa_jsonb_get(const JsonbValue *object, const char *key);
extern int wa_jsonb_count(const JsonbValue *container);
extern JsonbValue *wa_jsonb_element(const JsonbValue *array, int i);

/* The whole of a document. */
extern JsonbValue *wa_jsonb_root(Jsonb *document);

/* The text of a string, number or boolean, palloc'd; NULL for anything else. */
extern char *wa_jsonb_scalar(const JsonbValue *value);

/* The text of a string, palloc'd; NULL for anything else. */
extern char *wa_jsonb_string(const JsonbValue *value);
extern char *wa_jsonb_get_string(const JsonbValue *object, const char *key);

/*
 * Calls back for every member of an object, in the order of jsonb (shorter
 * names first).
 */
typedef void (*WaJsonbMember)(void *arg, char *name, JsonbValue *value);
extern void wa_jsonb_each(const JsonbValue *object, WaJsonbMember member, void *arg);

/* What it is, for messages: "a string", "an object" … */
extern const char *wa_jsonb_kind(const JsonbValue *value);

/* ---- writing ---- */

typedef struct WaJsonbWriter
{
	JsonbParseState *state;
	JsonbValue *result;
} WaJsonbWriter;

/*
 * "key" is NULL in an array and at the top.  Strings are not copied: they must
 * live until wa_jsonb_finish().
 */
extern void wa_jsonb_begin_object(WaJsonbWriter *w, const char *key);
extern void wa_jsonb_end_object(WaJsonbWriter *w);
extern void wa_jsonb_begin_array(WaJsonbWriter *w, const char *key);
extern void wa_jsonb_end_array(WaJsonbWriter *w);
extern void wa_jsonb_put_string(WaJsonbWriter *w, const char *key, const char *value);
extern void wa_jsonb_put_bool(WaJsonbWriter *w, const char *key, bool value);
extern void wa_jsonb_put_value(WaJsonbWriter *w, const char *key, JsonbValue *value);

/* After the outermost end. */
extern Jsonb *wa_jsonb_finish(WaJsonbWriter *w);

#endif
