/*
 * message_state.c
 *	  The rules of a message's life that need neither SQL nor a network.
 *
 * The states themselves, delays between attempts, the rank in the queue, and the
 * data that Meta returns with each status.
 *
 * There is no table of legal transitions here.  Two paths change a message at the
 * same time, the sender and the webhook, and neither waits for the other: which
 * state follows is decided by the statement that writes it, under the row's lock.
 * src/README.md lists what may follow what, and a test holds the list against what
 * happens (test/t/045_message_states.pl).
 */
#include "wa_c.h"

#include "common/message_state.h"

/* Back-off of one pair never exceeds 4^6 s, about 68 minutes. */
#define MAX_PAIR_EXPONENT 6

/* A year: longer ones are nobody's wish, and this much is exact in a double. */
#define LONGEST_BACKOFF_MS (INT64_C(365) * 86400 * 1000)

#define OPAQUE_PREFIX "wa1:"

static const char *const state_names[WA_MESSAGE_STATES] = {
	[WA_MESSAGE_QUEUED] = "queued",		  [WA_MESSAGE_SENDING] = "sending",
	[WA_MESSAGE_ACCEPTED] = "accepted",	  [WA_MESSAGE_SENT] = "sent",
	[WA_MESSAGE_DELIVERED] = "delivered", [WA_MESSAGE_READ] = "read",
	[WA_MESSAGE_FAILED] = "failed",		  [WA_MESSAGE_UNCERTAIN] = "uncertain",
	[WA_MESSAGE_CANCELLED] = "cancelled", [WA_MESSAGE_EXPIRED] = "expired",
	[WA_MESSAGE_SKIPPED] = "skipped"};

bool
wa_message_state_parse(const char *name, WaMessageState *state)
{
	for (int i = 0; i < WA_MESSAGE_STATES; i++)
	{
		if (strcmp(name, state_names[i]) == 0)
		{
			*state = (WaMessageState) i;
			return true;
		}
	}
	return false;
}

bool
wa_message_state_may_be_retried(WaMessageState state)
{
	switch (state)
	{
		case WA_MESSAGE_FAILED:
		case WA_MESSAGE_CANCELLED:
		case WA_MESSAGE_EXPIRED:
		case WA_MESSAGE_SKIPPED:
			return true;
		default:
			return false;
	}
}

/*
 * The delay after attempt number "attempt" (from 1) has failed.
 *
 * Doubling spreads the load of a long outage; the jitter, half of the delay,
 * keeps messages that failed together from coming back together.  random is
 * any 32 random bits.
 */
int64_t
wa_message_backoff_ms(int attempt, int64_t base_ms, int64_t max_ms, uint32_t random)
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
 * consecutive counts the error responses of this pair since its last acceptance,
 * before the present one: 0 waits one second.
 */
int64_t
wa_message_pair_backoff_ms(int consecutive)
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
wa_message_rank(int64_t due_us, int priority)
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
wa_message_opaque_write(char *out, size_t size, const char *installation, int64_t message_id,
						int attempt)
{
	snprintf(out, size, OPAQUE_PREFIX "%s:%lld:%d", installation, (long long) message_id, attempt);
}

/*
 * Reads digits up to "end" or the first other byte, as wa_message_opaque_write
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
 * Takes apart what wa_message_opaque_write made.  False for anything else: the
 * data of other programs on the same account comes back to us, too.  text
 * need not be terminated.
 */
bool
wa_message_opaque_read(const char *text, size_t len, char *installation, size_t installation_size,
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
