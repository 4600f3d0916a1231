/*
 * The words for states, back-off, ranks, and the callback data.
 */
#include "wa_c.h"

#include "common/message_state.h"
#include "tap.h"

static const struct
{
	const char *name;
	bool may_be_retried;
} states[] = {
	{"queued", false},	  {"sending", false}, {"accepted", false}, {"sent", false},
	{"delivered", false}, {"read", false},	  {"failed", true},	   {"uncertain", false},
	{"cancelled", true},  {"expired", true},  {"skipped", true},
};

static void
test_states(void)
{
	is_int(lengthof(states), WA_MESSAGE_STATES, "every state is listed");
	for (int i = 0; i < lengthof(states); i++)
	{
		WaMessageState state;

		if (!ok(wa_message_state_parse(states[i].name, &state), "\"%s\" is a state",
				states[i].name))
			continue;
		is_int(state, i, "and the one of that name");
		is_int(wa_message_state_may_be_retried(state), states[i].may_be_retried, "%s: retried",
			   states[i].name);
	}
	ok(!wa_message_state_parse("Queued", &(WaMessageState){0}), "names are exact");
	ok(!wa_message_state_parse("", &(WaMessageState){0}), "the empty word is no state");
	ok(!wa_message_state_may_be_retried((WaMessageState) 99), "a state above the table");
}

static void
test_backoff(void)
{
	static const int64_t longest[] = {2000, 4000, 8000, 16000, 32000, 60000, 60000};

	for (int attempt = 1; attempt <= lengthof(longest); attempt++)
	{
		int64_t high = wa_message_backoff_ms(attempt, 2000, 60000, UINT32_MAX);
		int64_t low = wa_message_backoff_ms(attempt, 2000, 60000, 0);
		int64_t middle = wa_message_backoff_ms(attempt, 2000, 60000, UINT32_MAX / 2);

		is_int(high, longest[attempt - 1], "attempt %d: at most", attempt);
		is_int(low, longest[attempt - 1] / 2, "attempt %d: at least", attempt);
		ok(middle > low && middle < high, "attempt %d: spread between", attempt);
	}
	is_int(wa_message_backoff_ms(1000000, 1, INT64_MAX, UINT32_MAX), INT64_C(31536000000),
		   "never more than a year");
	is_int(wa_message_backoff_ms(1, INT64_MAX, INT64_MAX, 0), INT64_C(15768000000), "nor then");
	is_int(wa_message_backoff_ms(0, 100, 1000, UINT32_MAX), 100, "attempt 0 is like 1");
	is_int(wa_message_backoff_ms(3, 100, 50, UINT32_MAX), 100,
		   "a maximum below the base is the base");
	ok(wa_message_backoff_ms(1, 0, 0, 0) >= 1, "never zero");

	is_int(wa_message_pair_backoff_ms(0), 1000, "pair: 1 s");
	is_int(wa_message_pair_backoff_ms(1), 4000, "pair: 4 s");
	is_int(wa_message_pair_backoff_ms(3), 64000, "pair: 64 s");
	is_int(wa_message_pair_backoff_ms(50), 4096000, "pair: not more than 4096 s");
	is_int(wa_message_pair_backoff_ms(-1), 1000, "pair: not less than 1 s");
}

static void
test_rank(void)
{
	is_int(wa_message_rank(5000, 0), 5000, "no priority: the time itself");
	ok(wa_message_rank(1000000, 1) < wa_message_rank(0, 0), "a point of priority beats a second");
	ok(wa_message_rank(WA_PRIORITY_BOOST_US + 1, 1) > wa_message_rank(0, 0), "but not ten minutes");
	ok(wa_message_rank(0, -1) > wa_message_rank(WA_PRIORITY_BOOST_US - 1, 0), "negative ones wait");
	is_int(wa_message_rank(0, 5000), wa_message_rank(0, WA_PRIORITY_MAX), "cut to the highest");
	is_int(wa_message_rank(0, -5000), wa_message_rank(0, WA_PRIORITY_MIN), "cut to the lowest");
	is_int(wa_message_rank(INT64_MIN, WA_PRIORITY_MAX), INT64_MIN, "no overflow downwards");
	is_int(wa_message_rank(INT64_MAX, WA_PRIORITY_MIN), INT64_MAX, "no overflow upwards");
}

static bool
reads(const char *text, char *installation, int64_t *id, int *attempt)
{
	return wa_message_opaque_read(text, strlen(text), installation, 9, id, attempt);
}

static void
test_opaque(void)
{
	static const char *const foreign[] = {
		"",
		"wa1",
		"wa1:",
		"wa1:0a1b2c3d",
		"wa1:0a1b2c3d:",
		"wa1:0a1b2c3d:5",
		"wa1:0a1b2c3d:5:",
		"wa1::5:1",
		"wa1:0a1b2c3d4:5:1", /* longer than an installation's name */
		"wa1:0a1b-c3d:5:1",
		"wa2:0a1b2c3d:5:1",
		"WA1:0a1b2c3d:5:1",
		"wa1:0a1b2c3d:0:1",
		"wa1:0a1b2c3d:5:0",
		"wa1:0a1b2c3d:05:1",
		"wa1:0a1b2c3d:+5:1",
		"wa1:0a1b2c3d:-5:1",
		"wa1:0a1b2c3d: 5:1",
		"wa1:0a1b2c3d:5:1 ",
		"wa1:0a1b2c3d:5:1:2",
		"wa1:0a1b2c3d:5:32768",
		"wa1:0a1b2c3d:9223372036854775808:1",
		"wa1:0a1b2c3d:99999999999999999999999:1",
	};
	char text[WA_OPAQUE_SIZE];
	char installation[9];
	int64_t id;
	int attempt;

	wa_message_opaque_write(text, sizeof(text), "0a1b2c3d", INT64_MAX, INT16_MAX);
	is_str(text, "wa1:0a1b2c3d:9223372036854775807:32767", "written");
	ok(reads(text, installation, &id, &attempt), "and read");
	is_str(installation, "0a1b2c3d", "installation");
	is_int(id, INT64_MAX, "message");
	is_int(attempt, INT16_MAX, "attempt");

	/* from the middle of a larger text: nothing behind the end is looked at */
	ok(wa_message_opaque_read("wa1:ab:7:12", 10, installation, 9, &id, &attempt) && attempt == 1,
	   "the length counts, not a terminator");

	for (int i = 0; i < lengthof(foreign); i++)
		ok(!reads(foreign[i], installation, &id, &attempt), "not ours: \"%s\"", foreign[i]);
}

int
main(void)
{
	test_states();
	test_backoff();
	test_rank();
	test_opaque();
	return done_testing();
}
