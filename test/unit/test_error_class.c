/*
 * The table of error codes: its order, what Meta documents, and the defaults.
 */
#include "wa_c.h"

#include <limits.h>

#include "graph/error_class.h"
#include "tap.h"

/* One line for each rule that a wrong class would make expensive. */
static const struct
{
	int code;
	WaErrorClass error_class;
} expected[] = {
	{0, WA_CLASS_PAUSE_ACCOUNT},
	{1, WA_CLASS_RETRY},
	{2, WA_CLASS_RETRY},
	{3, WA_CLASS_PAUSE_ACCOUNT},
	{4, WA_CLASS_PAUSE_ACCOUNT_SHORT},
	{10, WA_CLASS_PAUSE_ACCOUNT},
	{17, WA_CLASS_PAUSE_ACCOUNT_SHORT},
	{32, WA_CLASS_PAUSE_ACCOUNT_SHORT},
	{33, WA_CLASS_PAUSE_NUMBER},
	{100, WA_CLASS_PERMANENT},
	{102, WA_CLASS_PAUSE_ACCOUNT},
	{104, WA_CLASS_PAUSE_ACCOUNT},
	{190, WA_CLASS_PAUSE_ACCOUNT},
	{200, WA_CLASS_PAUSE_ACCOUNT},
	{250, WA_CLASS_PAUSE_ACCOUNT},
	{299, WA_CLASS_PAUSE_ACCOUNT},
	{341, WA_CLASS_PAUSE_ACCOUNT_SHORT},
	{368, WA_CLASS_PAUSE_ACCOUNT},
	{613, WA_CLASS_PAUSE_ACCOUNT_SHORT},
	{803, WA_CLASS_PAUSE_NUMBER},
	{80007, WA_CLASS_PAUSE_ACCOUNT_SHORT},
	{80008, WA_CLASS_PAUSE_ACCOUNT_SHORT},
	{130403, WA_CLASS_PERMANENT},
	{130429, WA_CLASS_THROTTLE_NUMBER},
	{130472, WA_CLASS_PERMANENT},
	{130497, WA_CLASS_PERMANENT},
	{131000, WA_CLASS_RETRY},
	{131005, WA_CLASS_PAUSE_ACCOUNT},
	{131008, WA_CLASS_PERMANENT},
	{131009, WA_CLASS_PERMANENT},
	{131016, WA_CLASS_RETRY},
	{131021, WA_CLASS_PERMANENT},
	{131026, WA_CLASS_PERMANENT},
	{131030, WA_CLASS_PERMANENT},
	{131031, WA_CLASS_PAUSE_ACCOUNT},
	{131037, WA_CLASS_PAUSE_NUMBER},
	{131042, WA_CLASS_PAUSE_ACCOUNT},
	{131045, WA_CLASS_PAUSE_NUMBER},
	{131047, WA_CLASS_PERMANENT},
	{131048, WA_CLASS_THROTTLE_NUMBER},
	{131049, WA_CLASS_RETRY},
	{131050, WA_CLASS_PERMANENT},
	{131051, WA_CLASS_PERMANENT},
	{131052, WA_CLASS_NOT_APPLICABLE},
	{131053, WA_CLASS_RETRY},
	{131056, WA_CLASS_THROTTLE_PAIR},
	{131057, WA_CLASS_THROTTLE_NUMBER},
	{131062, WA_CLASS_PERMANENT},
	{131063, WA_CLASS_PAUSE_TEMPLATE},
	{131064, WA_CLASS_PAUSE_ACCOUNT_SHORT},
	{131208, WA_CLASS_NOT_APPLICABLE},
	{132000, WA_CLASS_PERMANENT},
	{132001, WA_CLASS_PAUSE_TEMPLATE},
	{132005, WA_CLASS_PERMANENT},
	{132007, WA_CLASS_PAUSE_TEMPLATE},
	{132008, WA_CLASS_PERMANENT},
	{132012, WA_CLASS_PERMANENT},
	{132015, WA_CLASS_PAUSE_TEMPLATE},
	{132016, WA_CLASS_PAUSE_TEMPLATE},
	{132018, WA_CLASS_PERMANENT},
	{132068, WA_CLASS_PAUSE_TEMPLATE},
	{132069, WA_CLASS_PAUSE_TEMPLATE},
	{133000, WA_CLASS_NOT_APPLICABLE},
	{133004, WA_CLASS_RETRY},
	{133005, WA_CLASS_PAUSE_NUMBER},
	{133006, WA_CLASS_PAUSE_NUMBER},
	{133008, WA_CLASS_PAUSE_NUMBER},
	{133009, WA_CLASS_PAUSE_NUMBER},
	{133010, WA_CLASS_PAUSE_NUMBER},
	{133015, WA_CLASS_PAUSE_NUMBER},
	{133016, WA_CLASS_PAUSE_NUMBER},
	{134011, WA_CLASS_PERMANENT},
	{134101, WA_CLASS_RETRY},
	{135000, WA_CLASS_RETRY},
	{137000, WA_CLASS_PERMANENT},
	{138025, WA_CLASS_NOT_APPLICABLE},
	{139000, WA_CLASS_PAUSE_TEMPLATE},
	{139200, WA_CLASS_PERMANENT},
	{141002, WA_CLASS_PAUSE_TEMPLATE},
	{200006, WA_CLASS_NOT_APPLICABLE},
	{2388103, WA_CLASS_PAUSE_NUMBER},
	{2388330, WA_CLASS_PERMANENT},
	{2494100, WA_CLASS_THROTTLE_NUMBER},
	{2593108, WA_CLASS_NOT_APPLICABLE},
};

/* Codes that Meta does not have, next to ones that it has. */
static const int unknown[] = {-1, 5, 199, 300, 130428, 130430, 131216, 138026, 2593109, INT_MAX};

static void
test_table(void)
{
	bool sorted = true;
	bool complete = true;

	for (int i = 0; i < wa_error_codes_count; i++)
	{
		const WaErrorCode *row = &wa_error_codes[i];

		sorted &= row->first <= row->last && (i == 0 || row[-1].last < row->first);
		complete &= row->title[0] != '\0' && row->remedy[0] != '\0' && row->pause_seconds >= 0 &&
					strcmp(wa_error_class_name(row->error_class), "unknown") != 0;
		for (const char *p = row->remedy; *p != '\0'; p++)
			complete &= *p > 0; /* ASCII: it is shown in any encoding */
		complete &= strchr(".", row->remedy[strlen(row->remedy) - 1]) != NULL;
	}
	ok(sorted, "the table is sorted and nothing in it overlaps");
	ok(complete, "every row has a title, a class and a remedy that is a sentence");
	is_str(wa_error_class_name((WaErrorClass) 99), "unknown", "a class beyond the last");
}

static void
test_known(void)
{
	for (int i = 0; i < lengthof(expected); i++)
	{
		int code = expected[i].code;
		const WaErrorCode *row = wa_error_lookup(code, 400, false);

		ok(code >= row->first && code <= row->last, "%d is in the table", code);
		is_str(wa_error_class_name(row->error_class), wa_error_class_name(expected[i].error_class),
			   "%d", code);
		ok(row == wa_error_lookup(code, 0, true), "%d: whatever the status", code);
	}
	ok(wa_error_lookup(131050, 0, false)->opts_out, "131050 records an opt-out");
	ok(!wa_error_lookup(131049, 0, false)->opts_out, "131049 does not");
	ok(wa_error_lookup(131049, 0, false)->pause_seconds >= 86400, "131049 waits a day");
	ok(wa_error_lookup(131049, 0, false)->max_retries > 0, "and is not tried for ever");
	is_int(wa_error_lookup(1, 400, false)->max_retries, 3, "1 is tried three times");
	is_int(wa_error_lookup(190, 401, false)->pause_seconds, 0, "190 waits for a person");
}

static void
test_unknown(void)
{
	for (int i = 0; i < lengthof(unknown); i++)
	{
		int code = unknown[i];

		is_int(wa_error_lookup(code, 400, false)->error_class, WA_CLASS_PERMANENT, "%d: 400", code);
		is_int(wa_error_lookup(code, 404, false)->error_class, WA_CLASS_PERMANENT, "%d: 404", code);
		is_int(wa_error_lookup(code, 0, false)->error_class, WA_CLASS_PERMANENT,
			   "%d: from a webhook", code);
		is_int(wa_error_lookup(code, 400, true)->error_class, WA_CLASS_RETRY,
			   "%d: called temporary", code);
		is_int(wa_error_lookup(code, 500, false)->error_class, WA_CLASS_RETRY, "%d: 500", code);
		is_int(wa_error_lookup(code, 503, false)->error_class, WA_CLASS_RETRY, "%d: 503", code);
		is_int(wa_error_lookup(code, 429, false)->error_class, WA_CLASS_THROTTLE_NUMBER, "%d: 429",
			   code);
		is_int(wa_error_lookup(code, 401, false)->error_class, WA_CLASS_PAUSE_ACCOUNT, "%d: 401",
			   code);
		is_int(wa_error_lookup(code, 403, false)->error_class, WA_CLASS_PAUSE_NUMBER, "%d: 403",
			   code);
		ok(wa_error_lookup(code, 400, false)->first < 0, "%d: can be told from a known one", code);
	}
}

int
main(void)
{
	test_table();
	test_known();
	test_unknown();
	return done_testing();
}
