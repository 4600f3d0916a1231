/*
 * jsonscan.h
 *	  A JSON text as an index of its values.  Pure: allocates nothing.
 */
#ifndef WA_COMMON_JSONSCAN_H
#define WA_COMMON_JSONSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum WaJsonType
{
	WA_JSON_NULL,
	WA_JSON_FALSE,
	WA_JSON_TRUE,
	WA_JSON_NUMBER,
	WA_JSON_STRING,
	WA_JSON_ARRAY,
	WA_JSON_OBJECT
} WaJsonType;

/*
 * A value: its bytes are text[start, end), for a string without the quotes.
 * Values stand in the order of the text, so the first member of an array or
 * object follows it, and "next" is where its last descendant has ended.  A
 * member of an object is two values: its name, a string, and what it names.
 */
typedef struct WaJsonNode
{
	uint8_t type; /* WaJsonType */
	bool escaped; /* a string that contains escapes */
	uint32_t start;
	uint32_t end;
	uint32_t next;
} WaJsonNode;

/* Deeper texts are refused; Meta's have about ten levels. */
#define WA_JSON_MAX_DEPTH 64

typedef struct WaJson
{
	char *text;
	size_t len;
	WaJsonNode *nodes;
	uint32_t count;
	const char *problem; /* why it was refused */
	size_t problem_at;	 /* and at which byte */
} WaJson;

/* No value: what the functions below return, and accept, for "not there". */
#define WA_JSON_NONE UINT32_MAX

/*
 * How many nodes a JSON text of this length can have.  What would need more is
 * none, and is refused.
 */
extern size_t wa_json_max_nodes(size_t len);

/*
 * Indexes text into nodes, of which there is room for max_nodes.  The text
 * must be valid UTF-8 and shorter than 1 GB, and stays the caller's; escapes
 * that PostgreSQL cannot store are replaced in it.  False, with json->problem
 * set, for anything but one JSON value.
 */
extern bool wa_json_scan(WaJson *json, char *text, size_t len, WaJsonNode *nodes, size_t max_nodes);

/* The rest is common/jsonread.c. */

/* The value of a member of this name, the last one if there are several. */
extern uint32_t wa_json_member(const WaJson *json, uint32_t object, const char *name);

/*
 * Walks an array: the first element, and the one after it.  The end is
 * WA_JSON_NONE, also for what is no array.
 */
extern uint32_t wa_json_first(const WaJson *json, uint32_t array);
extern uint32_t wa_json_after(const WaJson *json, uint32_t array, uint32_t element);

extern bool wa_json_is(const WaJson *json, uint32_t node, WaJsonType type);

/* True if it is a string with just this content. */
extern bool wa_json_equals(const WaJson *json, uint32_t node, const char *content);

/*
 * A string's content, decoded and terminated, into out.  Returns its length,
 * or -1 if it is no string or does not fit.  A buffer larger than the string's
 * bytes in the text always suffices.
 */
extern long wa_json_string(const WaJson *json, uint32_t node, char *out, size_t size);

/* An integer, also one written as a string, as Meta writes its timestamps. */
extern bool wa_json_integer(const WaJson *json, uint32_t node, int64_t *value);

#endif
