/*
 * jsonread.c
 *	  Values of a JSON text that common/jsonscan.c has indexed.
 *
 * Nothing is decoded before somebody asks for it, and then into the caller's
 * memory.  What is not there, or of another type, is a result and not an error:
 * the text comes from outside, and its reader decides what is wrong.
 */
#include "wa_c.h"

#include "common/jsonchar.h"
#include "common/jsonscan.h"

bool
wa_json_is(const WaJson *json, uint32_t node, WaJsonType type)
{
	return node != WA_JSON_NONE && json->nodes[node].type == type;
}

uint32_t
wa_json_member(const WaJson *json, uint32_t object, const char *name)
{
	uint32_t found = WA_JSON_NONE;
	uint32_t node;
	size_t len = strlen(name);

	if (!wa_json_is(json, object, WA_JSON_OBJECT))
		return WA_JSON_NONE;
	for (node = object + 1; node < json->nodes[object].next; node = json->nodes[node + 1].next)
	{
		const WaJsonNode *key = &json->nodes[node];

		if (unlikely(key->escaped)
				? wa_json_equals(json, node, name)
				: key->end - key->start == len && memcmp(json->text + key->start, name, len) == 0)
			found = node + 1;
	}
	return found;
}

uint32_t
wa_json_first(const WaJson *json, uint32_t array)
{
	if (!wa_json_is(json, array, WA_JSON_ARRAY) || json->nodes[array].next == array + 1)
		return WA_JSON_NONE;
	return array + 1;
}

uint32_t
wa_json_after(const WaJson *json, uint32_t array, uint32_t element)
{
	uint32_t next = json->nodes[element].next;

	return next < json->nodes[array].next ? next : WA_JSON_NONE;
}

bool
wa_json_equals(const WaJson *json, uint32_t node, const char *content)
{
	char buffer[128];
	long len = wa_json_string(json, node, buffer, sizeof(buffer));

	return len >= 0 && (size_t) len == strlen(content) && memcmp(buffer, content, len) == 0;
}

/* Appends a code point as UTF-8; returns the number of bytes. */
static int
encode_utf8(unsigned int code, char *out)
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | code >> 12);
		out[1] = (char) (0x80 | (code >> 6 & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | code >> 18);
	out[1] = (char) (0x80 | (code >> 12 & 0x3F));
	out[2] = (char) (0x80 | (code >> 6 & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

/*
 * Decodes the escape at *p, which scanning found to be right, into at most
 * four bytes of out, and steps over it.
 */
static int
decode_escape(const char **p, char *out)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	char c = (*p)[1];
	int code;

	if (c != 'u')
	{
		out[0] = values[strchr(letters, c) - letters];
		*p += 2;
		return 1;
	}
	code = wa_json_hex4(*p + 2);
	*p += WA_JSON_ESCAPE_LENGTH;
	if (wa_json_is_high_surrogate(code))
	{
		code = 0x10000 + ((code - 0xD800) << 10) + (wa_json_hex4(*p + 2) - 0xDC00);
		*p += WA_JSON_ESCAPE_LENGTH;
	}
	return encode_utf8((unsigned int) code, out);
}

long
wa_json_string(const WaJson *json, uint32_t node, char *out, size_t size)
{
	const char *p;
	const char *end;
	size_t used = 0;

	if (!wa_json_is(json, node, WA_JSON_STRING))
		return -1;
	p = json->text + json->nodes[node].start;
	end = json->text + json->nodes[node].end;
	if (!json->nodes[node].escaped)
	{
		used = (size_t) (end - p);
		if (used >= size)
			return -1;
		memcpy(out, p, used);
	}
	else
	{
		while (p < end)
		{
			char bytes[4];
			int n = 1;

			if (*p == '\\')
				n = decode_escape(&p, bytes);
			else
				bytes[0] = *p++;
			if (used + n >= size)
				return -1;
			memcpy(out + used, bytes, n);
			used += n;
		}
	}
	out[used] = '\0';
	return (long) used;
}

bool
wa_json_integer(const WaJson *json, uint32_t node, int64_t *value)
{
	const WaJsonNode *n;
	const char *p;
	const char *end;
	bool negative;
	int64_t sum = 0;

	if (!wa_json_is(json, node, WA_JSON_NUMBER) && !wa_json_is(json, node, WA_JSON_STRING))
		return false;
	n = &json->nodes[node];
	p = json->text + n->start;
	end = json->text + n->end;
	negative = p < end && *p == '-';
	if (negative)
		p++;
	/* Eighteen digits fit; more are no id or time of Meta's. */
	if (p == end || end - p > 18)
		return false;
	for (; p < end; p++)
	{
		if (!wa_json_is_digit(*p))
			return false;
		sum = sum * 10 + (*p - '0');
	}
	*value = negative ? -sum : sum;
	return true;
}
