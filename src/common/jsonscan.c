/*
 * jsonscan.c
 *	  A JSON text as an index of its values.
 *
 * For webhooks: up to three megabytes with hundreds of items, of which we want
 * a few fields each, as fast as can be, and the rest as it stands.  One pass
 * notes where each value begins and ends; nothing is copied or decoded before
 * somebody asks for it, and any value can be cut out of the text as it came.
 *
 * The reason for not using the server's own parser is what it does with a
 * text that it dislikes: it raises an error, and deep nesting or half a
 * surrogate pair would take all other items of the webhook with it.  This one
 * returns false, has a fixed stack, and runs under a fuzzer without a server.
 *
 * It accepts what RFC 8259 calls a JSON text, with two limits, depth and the
 * size of numbers, so that whatever it accepts can be cast to jsonb.  For the
 * same reason \u0000 and unpaired surrogates, which JSON allows and PostgreSQL
 * cannot store, are overwritten with \ufffd, the replacement character.
 */
#include "wa_c.h"

#include "common/jsonchar.h"
#include "common/jsonscan.h"

/* A number longer than this, or with a larger exponent, is no number of Meta's. */
#define MAX_NUMBER_LENGTH 64
#define MAX_EXPONENT_DIGITS 3

typedef struct Scanner
{
	WaJson *json;
	size_t at;
	size_t max_nodes;
} Scanner;

static bool
refuse(Scanner *s, const char *problem)
{
	s->json->problem = problem;
	s->json->problem_at = s->at;
	return false;
}

/*
 * A value takes at least one byte, and another separates it from the next.
 */
size_t
wa_json_max_nodes(size_t len)
{
	return len / 2 + 1;
}

static inline bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void
skip_space(Scanner *s)
{
	while (s->at < s->json->len && is_space(s->json->text[s->at]))
		s->at++;
}

/* The next byte, or NUL at the end, which is no JSON either. */
static inline char
peek(const Scanner *s)
{
	return s->at < s->json->len ? s->json->text[s->at] : '\0';
}

static WaJsonNode *
add_node(Scanner *s, WaJsonType type)
{
	WaJsonNode *node;

	if (s->json->count >= s->max_nodes)
	{
		refuse(s, "too many values");
		return NULL;
	}
	node = &s->json->nodes[s->json->count++];
	node->type = (uint8_t) type;
	node->escaped = false;
	node->start = (uint32_t) s->at;
	node->end = (uint32_t) s->at;
	node->next = s->json->count;
	return node;
}

/*
 * At the backslash of a \u escape: checks it, and steps over it, or over both
 * halves of a pair.
 */
static bool
scan_unicode_escape(Scanner *s)
{
	char *text = s->json->text;
	size_t left = s->json->len - s->at;
	int code;

	code = left >= WA_JSON_ESCAPE_LENGTH ? wa_json_hex4(text + s->at + 2) : -1;
	if (code < 0)
		return refuse(s, "invalid \\u escape");
	if (wa_json_is_high_surrogate(code) && left >= 2 * WA_JSON_ESCAPE_LENGTH &&
		text[s->at + 6] == '\\' && text[s->at + 7] == 'u' &&
		wa_json_is_low_surrogate(wa_json_hex4(text + s->at + 8)))
	{
		s->at += 2 * WA_JSON_ESCAPE_LENGTH;
		return true;
	}
	if (code == 0 || wa_json_is_high_surrogate(code) || wa_json_is_low_surrogate(code))
		memcpy(text + s->at, "\\ufffd", WA_JSON_ESCAPE_LENGTH);
	s->at += WA_JSON_ESCAPE_LENGTH;
	return true;
}

static bool
scan_string(Scanner *s)
{
	const char *text = s->json->text;
	size_t len = s->json->len;
	WaJsonNode *node;

	s->at++;
	node = add_node(s, WA_JSON_STRING);
	if (node == NULL)
		return false;
	for (;;)
	{
		while (s->at < len && text[s->at] != '"' && text[s->at] != '\\' &&
			   (unsigned char) text[s->at] >= 0x20)
			s->at++;
		if (s->at == len)
			return refuse(s, "unterminated string");
		if (text[s->at] == '"')
			break;
		if (text[s->at] != '\\')
			return refuse(s, "control character in a string");

		node->escaped = true;
		if (len - s->at < 2)
			return refuse(s, "unterminated string");
		if (text[s->at + 1] == 'u')
		{
			if (!scan_unicode_escape(s))
				return false;
		}
		else if (text[s->at + 1] == '\0' || strchr("\"\\/bfnrt", text[s->at + 1]) == NULL)
			return refuse(s, "invalid escape");
		else
			s->at += 2;
	}
	node->end = (uint32_t) s->at;
	s->at++;
	return true;
}

/* Steps over digits and returns how many there were. */
static size_t
scan_digits(Scanner *s)
{
	size_t start = s->at;

	while (wa_json_is_digit(peek(s)))
		s->at++;
	return s->at - start;
}

static bool
scan_number(Scanner *s)
{
	WaJsonNode *node = add_node(s, WA_JSON_NUMBER);

	if (node == NULL)
		return false;
	if (peek(s) == '-')
		s->at++;
	if (peek(s) == '0')
		s->at++;
	else if (scan_digits(s) == 0)
		return refuse(s, "invalid value");
	if (peek(s) == '.')
	{
		s->at++;
		if (scan_digits(s) == 0)
			return refuse(s, "invalid number");
	}
	if (peek(s) == 'e' || peek(s) == 'E')
	{
		size_t digits;

		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		digits = scan_digits(s);
		if (digits == 0)
			return refuse(s, "invalid number");
		if (digits > MAX_EXPONENT_DIGITS)
			return refuse(s, "number out of range");
	}
	node->end = (uint32_t) s->at;
	if (node->end - node->start > MAX_NUMBER_LENGTH)
		return refuse(s, "number out of range");
	return true;
}

static bool
scan_word(Scanner *s, WaJsonType type, const char *word)
{
	size_t len = strlen(word);
	WaJsonNode *node;

	if (s->json->len - s->at < len || memcmp(s->json->text + s->at, word, len) != 0)
		return refuse(s, "invalid value");
	node = add_node(s, type);
	if (node == NULL)
		return false;
	s->at += len;
	node->end = (uint32_t) s->at;
	return true;
}

static bool
scan_scalar(Scanner *s)
{
	switch (peek(s))
	{
		case '"':
			return scan_string(s);
		case 't':
			return scan_word(s, WA_JSON_TRUE, "true");
		case 'f':
			return scan_word(s, WA_JSON_FALSE, "false");
		case 'n':
			return scan_word(s, WA_JSON_NULL, "null");
		default:
			return scan_number(s);
	}
}

/* The name of an object's member and the colon after it. */
static bool
scan_name(Scanner *s)
{
	if (peek(s) != '"')
		return refuse(s, "member name expected");
	if (!scan_string(s))
		return false;
	skip_space(s);
	if (peek(s) != ':')
		return refuse(s, "colon expected");
	s->at++;
	skip_space(s);
	return true;
}

/*
 * The one loop: each turn begins where a value must stand.  The stack holds
 * the arrays and objects that are open.
 */
static bool
scan_document(Scanner *s)
{
	WaJson *json = s->json;
	uint32_t open[WA_JSON_MAX_DEPTH];
	int depth = 0;

	skip_space(s);
	for (;;)
	{
		char c = peek(s);

		if (c == '{' || c == '[')
		{
			if (depth == WA_JSON_MAX_DEPTH)
				return refuse(s, "nested too deeply");
			open[depth] = json->count;
			if (add_node(s, c == '{' ? WA_JSON_OBJECT : WA_JSON_ARRAY) == NULL)
				return false;
			depth++;
			s->at++;
			skip_space(s);
			if (peek(s) != (c == '{' ? '}' : ']'))
			{
				if (c == '{' && !scan_name(s))
					return false;
				continue;
			}
		}
		else if (!scan_scalar(s))
			return false;

		/* A value has ended, or an empty array or object is about to. */
		for (;;)
		{
			WaJsonNode *parent;

			skip_space(s);
			if (depth == 0)
				return s->at == json->len || refuse(s, "text after the end");
			parent = &json->nodes[open[depth - 1]];
			c = peek(s);
			if (c == ',')
				break;
			if (c != (parent->type == WA_JSON_OBJECT ? '}' : ']'))
				return refuse(s, "comma or end expected");
			s->at++;
			parent->end = (uint32_t) s->at;
			parent->next = json->count;
			depth--;
		}
		s->at++;
		skip_space(s);
		if (json->nodes[open[depth - 1]].type == WA_JSON_OBJECT && !scan_name(s))
			return false;
	}
}

bool
wa_json_scan(WaJson *json, char *text, size_t len, WaJsonNode *nodes, size_t max_nodes)
{
	Scanner scanner = {.json = json, .at = 0, .max_nodes = max_nodes};

	json->text = text;
	json->len = len;
	json->nodes = nodes;
	json->count = 0;
	json->problem = NULL;
	json->problem_at = 0;
	return scan_document(&scanner);
}
