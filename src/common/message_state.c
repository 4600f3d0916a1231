/*
 * message_state.c
 *	  The rules of a message's life that need neither SQL nor a network.
 *
 * Two paths change a message at the same time: the sender, which knows what it
 * did, and the webhook, which knows what Meta did.  Neither waits for the
 * other, so the legal steps are one table that both ask, and a status that
 * arrives late, twice or out of order finds no edge instead of a special case.
 */
#include "wa_c.h"

#include "common/message_state.h"

/* Back-off of one pair never exceeds 4^6 s, about 68 minutes. */
#define MAX_PAIR_EXPONENT 6

/* A year: longer ones are nobody's wish, and this much is exact in a double. */
#define LONGEST_BACKOFF_MS (INT64_C(365) * 86400 * 1000)

#define OPAQUE_PREFIX "wa1:"

static const char *const state_names[WA_JOB_STATES] = {
	[WA_JOB_QUEUED] = "queued",		  [WA_JOB_SENDING] = "sending",
	[WA_JOB_ACCEPTED] = "accepted",	  [WA_JOB_SENT] = "sent",
	[WA_JOB_DELIVERED] = "delivered", [WA_JOB_READ] = "read",
	[WA_JOB_FAILED] = "failed",		  [WA_JOB_UNCERTAIN] = "uncertain",
	[WA_JOB_CANCELLED] = "cancelled", [WA_JOB_EXPIRED] = "expired",
	[WA_JOB_SKIPPED] = "skipped"};

#define BIT(state) (1U << (state))

/* What Meta may report for a message that reached it. */
#define AFTER_ACCEPTANCE (BIT(WA_JOB_SENT) | BIT(WA_JOB_DELIVERED) | BIT(WA_JOB_READ))
#define REACHED_META (BIT(WA_JOB_ACCEPTED) | AFTER_ACCEPTANCE | BIT(WA_JOB_FAILED))

/* For each state, the set of states that may follow it. */
static const unsigned int successors[WA_JOB_STATES] = {
	/* a webhook may know more of a queued message than we do */
	[WA_JOB_QUEUED] = BIT(WA_JOB_SENDING) | BIT(WA_JOB_UNCERTAIN) | BIT(WA_JOB_CANCELLED) |
					  BIT(WA_JOB_EXPIRED) | REACHED_META,
	[WA_JOB_SENDING] = BIT(WA_JOB_QUEUED) | BIT(WA_JOB_UNCERTAIN) | REACHED_META,
	[WA_JOB_ACCEPTED] = AFTER_ACCEPTANCE | BIT(WA_JOB_FAILED),
	[WA_JOB_SENT] = BIT(WA_JOB_DELIVERED) | BIT(WA_JOB_READ) | BIT(WA_JOB_FAILED),
	[WA_JOB_DELIVERED] = BIT(WA_JOB_READ) | BIT(WA_JOB_FAILED),
	[WA_JOB_READ] = 0,
	/* given up as uncertain, and then Meta proves that it was sent */
	[WA_JOB_FAILED] = BIT(WA_JOB_QUEUED) | AFTER_ACCEPTANCE,
	[WA_JOB_UNCERTAIN] = BIT(WA_JOB_QUEUED) | REACHED_META,
	[WA_JOB_CANCELLED] = BIT(WA_JOB_QUEUED),
	[WA_JOB_EXPIRED] = BIT(WA_JOB_QUEUED),
	[WA_JOB_SKIPPED] = BIT(WA_JOB_QUEUED)};

/*
 * From the word that whatsapp_messages.status holds; false if it is none of them.
 */
bool
wa_job_state_parse(const char *name, WaJobState *state)
{
	for (int i = 0; i < WA_JOB_STATES; i++)
	{
		if (strcmp(name, state_names[i]) == 0)
		{
			*state = (WaJobState) i;
			return true;
		}
	}
	return false;
}

/*
 * False also for staying: a repeated status changes nothing.
 */
bool
wa_job_may_become(WaJobState from, WaJobState to)
{
	if ((int) from < 0 || (int) from >= WA_JOB_STATES || (int) to < 0 || (int) to >= WA_JOB_STATES)
		return false;
	return (successors[from] & BIT(to)) != 0;
}

/*
 * The delay after attempt number "attempt" (from 1) has failed.
 *
 * Doubling spreads the load of a long outage; the jitter, half of the delay,
 * keeps messages that failed together from coming back together.  random is
 * any 32 random bits.
 */
int64_t
wa_job_backoff_ms(int attempt, int64_t base_ms, int64_t max_ms, uint32_t random)
{
	int64_t delay = base_ms > 0 ? base_ms : 1;
	int64_t half;

	if (delay > LONGEST_BACKOFF_MS)
		delay = LONGEST_BACKOFF_MS;
	if (max_ms > LONGEST_BACKOFF_MS)
		max_ms = LONGEST_BACKOFF_MS;
	if (max_ms < delay)
		max_ms = delay;
	for (int i = 1; i < attempt && delay < max_ms; i++)
		delay = delay > max_ms / 2 ? max_ms : delay * 2;

	half = delay / 2;
	return delay - half + (int64_t) ((double) half * ((double) random / (double) UINT32_MAX));
}

/*
 * consecutive counts the refusals of this pair since its last acceptance,
 * before the present one: 0 waits one second.
 */
int64_t
wa_job_pair_backoff_ms(int consecutive)
{
	int exponent = consecutive < 0 ? 0 : consecutive;

	if (exponent > MAX_PAIR_EXPONENT)
		exponent = MAX_PAIR_EXPONENT;
	return INT64_C(1000) << (2 * exponent);
}

/*
 * Smaller ranks are sent first.  due_us is any microsecond clock that all
 * ranks share; "infinite" times keep their place at the end.
 */
int64_t
wa_job_rank(int64_t due_us, int priority)
{
	int64_t boost;

	if (priority < WA_PRIORITY_MIN)
		priority = WA_PRIORITY_MIN;
	if (priority > WA_PRIORITY_MAX)
		priority = WA_PRIORITY_MAX;
	boost = priority * WA_PRIORITY_BOOST_US;

	if (boost > 0 && due_us < INT64_MIN + boost)
		return INT64_MIN;
	if (boost < 0 && due_us > INT64_MAX + boost)
		return INT64_MAX;
	return due_us - boost;
}

void
wa_job_opaque_write(char *out, size_t size, const char *installation, int64_t message_id,
					int attempt)
{
	snprintf(out, size, OPAQUE_PREFIX "%s:%lld:%d", installation, (long long) message_id, attempt);
}

/*
 * Reads digits up to "end" or the first other byte, as wa_job_opaque_write
 * writes them: no sign, no leading zero, from 1 to max.
 */
static bool
read_positive(const char **cursor, const char *end, int64_t max, int64_t *value)
{
	const char *p = *cursor;
	int64_t sum = 0;

	if (p == end || *p < '1' || *p > '9')
		return false;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
	{
		int digit = *p - '0';

		if (sum > (max - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*cursor = p;
	*value = sum;
	return true;
}

/*
 * Takes apart what wa_job_opaque_write made.  False for anything else: the
 * data of other programs on the same account comes back to us, too.  text
 * need not be terminated.
 */
bool
wa_job_opaque_read(const char *text, size_t len, char *installation, size_t installation_size,
				   int64_t *message_id, int *attempt)
{
	const char *p = text;
	const char *end = text + len;
	const char *start;
	int64_t id;
	int64_t number;
	size_t name_len;

	if (len < strlen(OPAQUE_PREFIX) || memcmp(p, OPAQUE_PREFIX, strlen(OPAQUE_PREFIX)) != 0)
		return false;
	p += strlen(OPAQUE_PREFIX);

	for (start = p; p < end && *p != ':'; p++)
	{
		if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')))
			return false;
	}
	name_len = p - start;
	if (name_len == 0 || name_len >= installation_size || p == end)
		return false;

	p++;
	if (!read_positive(&p, end, INT64_MAX, &id) || p == end || *p != ':')
		return false;
	p++;
	if (!read_positive(&p, end, INT16_MAX, &number) || p != end)
		return false;

	memcpy(installation, start, name_len);
	installation[name_len] = '\0';
	*message_id = id;
	*attempt = (int) number;
	return true;
}
