/*
 * fuzz_json.c
 *	  Our JSON scanner against PostgreSQL's parser.
 *
 * What the scanner accepts is cast to jsonb without a second look, so the
 * server must accept it, too, and must see the same names and values in the
 * same order.  What the server accepts the scanner must accept, but for its
 * stated limits.
 */
#include "wa_c.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "common/jsonscan.h"

/* The parser's callbacks return a result since 16, and its context is freed by a function since 17.
 */
#if PG_VERSION_NUM >= 160000
#define CALLBACK JsonParseErrorType
#define CALLBACK_DONE return JSON_SUCCESS
#else
#define CALLBACK void
#define CALLBACK_DONE return
#endif

/* PostgreSQL's parser recurses, here without a limit of depth. */
#define MAX_SIZE 4096

typedef struct Walk
{
	const WaJson *json;
	uint32_t next; /* the node that must come now */
} Walk;

static void
expect(bool truth)
{
	if (!truth)
		__builtin_trap();
}

/* Steps over arrays and objects, which the callbacks below are not told of. */
static uint32_t
next_leaf(Walk *walk)
{
	while (walk->next < walk->json->count && walk->json->nodes[walk->next].type >= WA_JSON_ARRAY)
		walk->next++;
	expect(walk->next < walk->json->count);
	return walk->next++;
}

static void
expect_string(Walk *walk, const char *content)
{
	uint32_t node = next_leaf(walk);
	char out[MAX_SIZE + 1];
	long len = wa_json_string(walk->json, node, out, sizeof(out));

	expect(len >= 0 && (size_t) len == strlen(content) && memcmp(out, content, len) == 0);
	expect(wa_json_equals(walk->json, node, content) == (len < 128));
}

static CALLBACK
see_name(void *state, char *name, bool isnull)
{
	expect_string(state, name);
	pfree(name);
	CALLBACK_DONE;
}

static CALLBACK
see_scalar(void *state, char *token, JsonTokenType type)
{
	Walk *walk = state;
	const WaJsonNode *node;

	if (type == JSON_TOKEN_STRING)
	{
		expect_string(walk, token);
		pfree(token);
		CALLBACK_DONE;
	}
	node = &walk->json->nodes[next_leaf(walk)];
	expect(node->end - node->start == strlen(token) &&
		   memcmp(walk->json->text + node->start, token, node->end - node->start) == 0);
	expect(node->type == (type == JSON_TOKEN_NUMBER	 ? WA_JSON_NUMBER
						  : type == JSON_TOKEN_TRUE	 ? WA_JSON_TRUE
						  : type == JSON_TOKEN_FALSE ? WA_JSON_FALSE
													 : WA_JSON_NULL));
	pfree(token);
	CALLBACK_DONE;
}

static JsonParseErrorType
parse(char *text, size_t len, bool need_escapes, const JsonSemAction *actions)
{
#if PG_VERSION_NUM >= 170000
	JsonLexContext *lex = makeJsonLexContextCstringLen(NULL, text, len, PG_UTF8, need_escapes);
	JsonParseErrorType result = pg_parse_json(lex, (JsonSemAction *) actions);

	freeJsonLexContext(lex);
#else
	JsonLexContext *lex = makeJsonLexContextCstringLen(text, (int) len, PG_UTF8, need_escapes);
	JsonParseErrorType result = pg_parse_json(lex, (JsonSemAction *) actions);

	if (lex->strval != NULL)
	{
		pfree(lex->strval->data);
		pfree(lex->strval);
	}
	pfree(lex);
#endif
	return result;
}

static bool
is_limit(const char *problem)
{
	return strcmp(problem, "nested too deeply") == 0 || strcmp(problem, "number out of range") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static WaJsonNode nodes[MAX_SIZE / 2 + 1];
	static char text[MAX_SIZE + 1];
	static char original[MAX_SIZE + 1];
	WaJson json;
	Walk walk = {.json = &json};
	JsonSemAction actions = {
		.semstate = &walk, .object_field_start = see_name, .scalar = see_scalar};

	if (size > MAX_SIZE || memchr(data, '\0', size) != NULL ||
		pg_encoding_verifymbstr(PG_UTF8, (const char *) data, (int) size) != (int) size)
		return 0;
	memcpy(original, data, size);
	memcpy(text, data, size);
	original[size] = text[size] = '\0';

	expect(wa_json_max_nodes(size) <= lengthof(nodes));
	if (wa_json_scan(&json, text, size, nodes, wa_json_max_nodes(size)))
	{
		expect(json.count > 0 && json.nodes[0].next == json.count);
		expect(parse(text, size, true, &actions) == JSON_SUCCESS);
		while (walk.next < json.count)
			expect(json.nodes[walk.next++].type >= WA_JSON_ARRAY);
	}
	else
	{
		expect(json.problem_at <= size);
		if (!is_limit(json.problem))
			expect(parse(original, size, false, &nullSemAction) != JSON_SUCCESS);
	}
	return 0;
}
