/*
 * The scanner of JSON texts: what it finds, what it refuses, what it mends.
 */
#include "wa_c.h"

#include "common/jsonscan.h"
#include "tap.h"

#define MAX_NODES 256

static WaJsonNode nodes[MAX_NODES];
static char buffer[1024];
static WaJson json;

static bool
scan(const char *input)
{
	strlcpy(buffer, input, sizeof(buffer));
	return wa_json_scan(&json, buffer, strlen(buffer), nodes, MAX_NODES);
}

static void
refuses(const char *input, const char *problem, size_t at)
{
	bool accepted = scan(input);

	ok(!accepted && strcmp(json.problem, problem) == 0 && json.problem_at == at,
	   "refuses %s: %s at %zu (%s at %zu)", input, problem, at,
	   accepted ? "accepted" : json.problem, json.problem_at);
}

/* The decoded content of a text that is one string. */
static const char *
decode(const char *input)
{
	static char out[256];

	if (!scan(input) || wa_json_string(&json, 0, out, sizeof(out)) < 0)
		return NULL;
	return out;
}

static void
test_structure(void)
{
	uint32_t list;
	uint32_t item;
	int count = 0;

	ok(scan(" {\"a\": [1, {\"b\": []}, \"x\"], \"c\": null} "), "an object with an array");
	is_int(json.count, 10, "has ten values, names among them");
	list = wa_json_member(&json, 0, "a");
	ok(wa_json_is(&json, list, WA_JSON_ARRAY), "the member a is the array");
	for (item = wa_json_first(&json, list); item != WA_JSON_NONE;
		 item = wa_json_after(&json, list, item))
		count++;
	is_int(count, 3, "of three elements");
	item = wa_json_after(&json, list, wa_json_first(&json, list));
	is_int(wa_json_first(&json, wa_json_member(&json, item, "b")), WA_JSON_NONE,
		   "in which there is an empty array");
	is_int(json.nodes[list].end - json.nodes[list].start, (int) strlen("[1, {\"b\": []}, \"x\"]"),
		   "a value is cut out as it stands");
	ok(wa_json_is(&json, wa_json_member(&json, 0, "c"), WA_JSON_NULL), "the member c is null");
	is_int(wa_json_member(&json, 0, "b"), WA_JSON_NONE, "members of members are not members");
	is_int(wa_json_member(&json, list, "a"), WA_JSON_NONE, "nor has an array any");
	is_int(wa_json_member(&json, WA_JSON_NONE, "a"), WA_JSON_NONE, "nor has nothing");
	ok(scan("{\"a\": 1, \"a\": 2, \"\\u0061\": 3}"), "the same name three times");
	is_int(wa_json_member(&json, 0, "a"), 6, "the last one counts, as in jsonb");
}

static void
test_strings(void)
{
	char small[4];

	is_str(decode("\"plain\""), "plain", "a plain string");
	is_str(decode("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\/\b\f\n\r\t", "every short escape");
	is_str(decode("\"\\u00e1\\u20AC\""), "\xC3\xA1\xE2\x82\xAC", "escapes of two and three bytes");
	is_str(decode("\"\\ud83c\\udf5e\""), "\xF0\x9F\x8D\x9E", "a surrogate pair");
	is_str(decode("\"a\\u0000b\""),
		   "a\xEF\xBF\xBD"
		   "b",
		   "NUL is replaced");
	is_str(decode("\"\\ud83c\""), "\xEF\xBF\xBD", "half a pair is replaced");
	is_str(decode("\"\\ud83cx\""), "\xEF\xBF\xBDx", "with what follows");
	is_str(decode("\"\\udf5e\\ud83c\""), "\xEF\xBF\xBD\xEF\xBF\xBD", "so are swapped halves");
	ok(scan("\"abcd\"") && wa_json_string(&json, 0, small, sizeof(small)) == -1,
	   "a string that does not fit");
	ok(scan("\"abc\"") && wa_json_string(&json, 0, small, sizeof(small)) == 3,
	   "one that just fits");
	ok(scan("\"ab\\u00e1\"") && wa_json_string(&json, 0, small, sizeof(small)) == -1,
	   "decoded, it must fit, too");
	ok(scan("5") && wa_json_string(&json, 0, small, sizeof(small)) == -1, "a number is no string");
	ok(scan("\"read\"") && wa_json_equals(&json, 0, "read") && !wa_json_equals(&json, 0, "rea") &&
		   !wa_json_equals(&json, 0, "reads"),
	   "equality is of the whole");
}

static void
test_integers(void)
{
	static const struct
	{
		const char *input;
		bool good;
		int64_t value;
	} cases[] = {{"0", true, 0},
				 {"1764000000", true, 1764000000},
				 {"\"1764000000\"", true, 1764000000},
				 {"-5", true, -5},
				 {"999999999999999999", true, INT64_C(999999999999999999)},
				 {"1000000000000000000", false, 0},
				 {"1.5", false, 0},
				 {"1e3", false, 0},
				 {"\"\"", false, 0},
				 {"\"-\"", false, 0},
				 {"\"12a\"", false, 0},
				 {"true", false, 0}};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		int64_t value = 0;
		bool good = scan(cases[i].input) && wa_json_integer(&json, 0, &value);

		ok(good == cases[i].good && value == cases[i].value, "integer %s", cases[i].input);
	}
}

static void
test_refusals(void)
{
	char deep[2 * (WA_JSON_MAX_DEPTH + 1) + 1];

	refuses("", "invalid value", 0);
	refuses("{", "member name expected", 1);
	refuses("[1,]", "invalid value", 3);
	refuses("[1 2]", "comma or end expected", 3);
	refuses("{\"a\" 1}", "colon expected", 5);
	refuses("{\"a\":1,}", "member name expected", 7);
	refuses("[1}", "comma or end expected", 2);
	refuses("1 2", "text after the end", 2);
	refuses("01", "text after the end", 1);
	refuses("-", "invalid value", 1);
	refuses("1.", "invalid number", 2);
	refuses("1e+", "invalid number", 3);
	refuses("1e1000", "number out of range", 6);
	refuses("tru", "invalid value", 0);
	refuses("nul", "invalid value", 0);
	refuses("\"a", "unterminated string", 2);
	refuses("\"a\\", "unterminated string", 2);
	refuses("\"\\x\"", "invalid escape", 1);
	refuses("\"\\u12\"", "invalid \\u escape", 1);
	refuses("\"\\u12g4\"", "invalid \\u escape", 1);
	refuses("\"\t\"", "control character in a string", 1);

	memset(deep, '[', WA_JSON_MAX_DEPTH);
	memset(deep + WA_JSON_MAX_DEPTH, ']', WA_JSON_MAX_DEPTH);
	deep[2 * WA_JSON_MAX_DEPTH] = '\0';
	ok(scan(deep), "as deep as can be");
	memset(deep, '[', WA_JSON_MAX_DEPTH + 1);
	deep[WA_JSON_MAX_DEPTH + 1] = '\0';
	refuses(deep, "nested too deeply", WA_JSON_MAX_DEPTH);
}

static void
test_room(void)
{
	char input[] = "[1,2,3]";

	is_int(wa_json_max_nodes(strlen(input)), 4, "seven bytes have four values at most");
	ok(wa_json_scan(&json, input, strlen(input), nodes, 4), "for which there is room");
	ok(!wa_json_scan(&json, input, strlen(input), nodes, 3) &&
		   strcmp(json.problem, "too many values") == 0,
	   "or not");
}

int
main(void)
{
	test_structure();
	test_strings();
	test_integers();
	test_refusals();
	test_room();
	return done_testing();
}
