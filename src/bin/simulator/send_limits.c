/*
 * send_limits.c
 *	  Meta's limits on sending.
 *
 * Per number: so many messages in any second, inbound ones included.  No
 * allowance for bursts is documented, so the window slides and is strict: a
 * ring of the last sends tells whether the one before them is a second old.
 * What counts is when a message arrived, not when a busy simulator came to it.
 * Per pair: a bucket that holds the burst and refills one message an interval.
 * Per portfolio: recipients written to outside their service window in the
 * last 24 hours.
 */
#include "bin/simulator/send_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"
#include "bin/simulator/map.h"
#include "bin/simulator/settings.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US (24 * 3600 * SECOND_US)

/* The state of one pair of sender and recipient. */
typedef struct Pair
{
	double tokens;
	int64_t updated_us;
	int64_t inbound_us;		/* last message from the user; 0: never */
	int64_t referral_us;	/* last one that an advertisement led to; 0: never */
	int64_t entry_until_us; /* free of charge until then */
} Pair;

static SimMap pairs;	  /* "number\nuser" */
static SimMap recipients; /* whole portfolio: last business-initiated message */
static int64_t recent_recipients;
static int64_t recipients_counted_us;

static void
pair_key(char *out, size_t size, const SimNumber *number, const char *who)
{
	snprintf(out, size, "%s\n%s", number->id, who);
}

static Pair *
pair_of(const SimNumber *number, const char *who)
{
	char key[256];
	void **place;

	pair_key(key, sizeof(key), number, who);
	place = sim_map_put(&pairs, key);
	if (*place == NULL)
	{
		Pair *pair = httpd_alloc0(sizeof(Pair));

		pair->tokens = (double) sim_settings.pair_burst;
		pair->updated_us = httpd_now_us();
		*place = pair;
	}
	return *place;
}

static int64_t
rate_of(const SimNumber *number)
{
	const char *level =
		json_string_value(json_object_get(json_object_get(number->node, "throughput"), "level"));

	if (sim_settings.number_rate > 0)
		return sim_settings.number_rate;
	return level != NULL && strcmp(level, "HIGH") == 0 ? 1000 : 80;
}

/* The ring is as long as the rate; another rate starts a new ring. */
static void
fit_ring(SimNumber *number)
{
	int64_t rate = rate_of(number);

	if (number->ring_size == rate)
		return;
	free(number->sends);
	number->sends = httpd_alloc0((size_t) rate * sizeof(int64_t));
	for (int64_t i = 0; i < rate; i++)
		number->sends[i] = INT64_MIN;
	number->ring_size = rate;
	number->ring_next = 0;
}

/* With this one there are as many as the rate, and one: they must not be within a second. */
static bool
number_has_room(const SimNumber *number, int64_t at_us)
{
	int64_t oldest = number->sends[number->ring_next];
	int64_t newest = number->sends[(number->ring_next + number->ring_size - 1) % number->ring_size];

	if (oldest == INT64_MIN)
		return true;
	return (at_us > newest ? at_us : newest) - (at_us < oldest ? at_us : oldest) >= SECOND_US;
}

/* In the order of arrival, which is not quite that of their turns here. */
static void
number_count(SimNumber *number, int64_t at_us)
{
	int64_t size = number->ring_size;
	int64_t place = number->ring_next;

	if (at_us < number->sends[place])
		return; /* older than all that are remembered */
	for (int64_t i = 1; i < size; i++)
	{
		int64_t before = (place + size - 1) % size;

		if (number->sends[before] <= at_us)
			break;
		number->sends[place] = number->sends[before];
		place = before;
	}
	number->sends[place] = at_us;
	number->ring_next = (number->ring_next + 1) % size;
}

static void
pair_refill(Pair *pair, int64_t now_us)
{
	double burst = (double) sim_settings.pair_burst;

	if (sim_settings.pair_interval_ms == 0)
		pair->tokens = burst;
	else
		pair->tokens +=
			(double) (now_us - pair->updated_us) / ((double) sim_settings.pair_interval_ms * 1000);
	if (pair->tokens > burst)
		pair->tokens = burst;
	pair->updated_us = now_us;
}

static bool
window_open(const Pair *pair, int64_t now_us)
{
	return pair->inbound_us != 0 && now_us - pair->inbound_us < DAY_US;
}

/* Recipients of the last 24 hours; older ones are removed now and then. */
static bool
recipient_has_room(const char *to, int64_t now_us)
{
	int64_t *last = sim_map_get(&recipients, to);

	if (last != NULL && now_us - *last < DAY_US)
		return true;
	if (recent_recipients >= sim_settings.recipient_limit ||
		now_us - recipients_counted_us > 60 * SECOND_US)
	{
		size_t pos = 0;
		SimMapEntry *entry;

		recent_recipients = 0;
		while ((entry = sim_map_next(&recipients, &pos)) != NULL)
			recent_recipients += now_us - *(int64_t *) entry->value < DAY_US;
		recipients_counted_us = now_us;
	}
	return recent_recipients < sim_settings.recipient_limit;
}

static void
recipient_count(const char *to, int64_t now_us)
{
	void **place = sim_map_put(&recipients, to);

	if (*place == NULL)
		*place = httpd_alloc0(sizeof(int64_t));
	if (*(int64_t *) *place == 0 || now_us - *(int64_t *) *place >= DAY_US)
		recent_recipients++;
	*(int64_t *) *place = now_us;
}

bool
sim_limits_allow(SimNumber *number, const SimMessage *message, const char *who, int64_t waited_us,
				 SimProblem *problem)
{
	int64_t now_us = httpd_now_us() - waited_us;
	bool limit_recipients = sim_settings.enforce_limits && sim_settings.recipient_limit > 0;
	Pair *pair;
	bool open;

	if (!sim_settings.enforce_limits && !sim_settings.enforce_window)
		return true;
	pair = pair_of(number, who);
	open = window_open(pair, now_us);
	if (sim_settings.enforce_window && !open && message->template_name == NULL)
		return sim_problem(problem, 131047,
						   "Message failed to send because more than 24 hours "
						   "have passed since the customer last replied to this "
						   "number.");
	if (!sim_settings.enforce_limits)
		return true;

	fit_ring(number);
	if (!number_has_room(number, now_us))
		return sim_problem(problem, 130429, "Cloud API message throughput has been reached.");
	pair_refill(pair, now_us);
	if (pair->tokens < 1)
		return sim_problem(problem, 131056,
						   "Message failed to send because there were too many "
						   "messages sent from this phone number to the same "
						   "phone number in a short period of time.");
	if (limit_recipients && !open && !recipient_has_room(who, now_us))
		return sim_problem(problem, (int) sim_settings.recipient_limit_code,
						   "The messaging limit of the business portfolio has been reached.");

	number_count(number, now_us);
	pair->tokens -= 1;
	if (limit_recipients && !open)
		recipient_count(who, now_us);
	return true;
}

void
sim_limits_inbound(SimNumber *number, const char *who, bool referral)
{
	int64_t now_us = httpd_now_us();
	Pair *pair = pair_of(number, who);

	pair->inbound_us = now_us;
	if (referral)
		pair->referral_us = now_us;
	sim_limits_traffic(number);
}

void
sim_limits_traffic(SimNumber *number)
{
	fit_ring(number);
	number_count(number, httpd_now_us());
}

/* Without making one for everybody who is asked about. */
static Pair *
known_pair(const SimNumber *number, const char *who)
{
	char key[256];

	pair_key(key, sizeof(key), number, who);
	return sim_map_get(&pairs, key);
}

bool
sim_limits_window(const SimNumber *number, const char *who)
{
	const Pair *pair = known_pair(number, who);

	return pair != NULL && window_open(pair, httpd_now_us());
}

int64_t
sim_limits_free_entry(SimNumber *number, const char *who)
{
	int64_t now_us = httpd_now_us();
	Pair *pair = known_pair(number, who);

	if (pair == NULL || pair->referral_us == 0)
		return 0;
	if (pair->entry_until_us < pair->referral_us && now_us - pair->referral_us < DAY_US)
		pair->entry_until_us = now_us + 3 * DAY_US;
	if (pair->entry_until_us <= now_us)
		return 0;
	return (httpd_wall_us() + pair->entry_until_us - now_us) / SECOND_US;
}

/* The ring from its oldest send; unused entries come first. */
static int64_t
send_at(const SimNumber *number, int64_t i)
{
	return number->sends[(number->ring_next + i) % number->ring_size];
}

/* The sends of the last second, by binary search. */
static int
used_percent(const SimNumber *number)
{
	int64_t since_us = httpd_now_us() - SECOND_US;
	int64_t low = 0;
	int64_t high = number->ring_size;

	if (number->ring_size == 0)
		return 0;
	while (low < high)
	{
		int64_t middle = (low + high) / 2;

		if (send_at(number, middle) > since_us)
			high = middle;
		else
			low = middle + 1;
	}
	return (int) ((number->ring_size - low) * 100 / number->ring_size);
}

bool
sim_limits_usage(const SimNumber *number, char *out, size_t size)
{
	int percent = (int) sim_settings.usage_percent;

	if (percent < 0)
	{
		if (!sim_settings.enforce_limits)
			return false;
		percent = used_percent(number);
		if (percent < 75)
			return false;
	}
	snprintf(out, size,
			 "{\"%s\":[{\"type\":\"whatsapp\",\"call_count\":%d,\"total_cputime\":1,"
			 "\"total_time\":1,\"estimated_time_to_regain_access\":%d}]}",
			 sim_settings.business_id, percent, percent >= 100 ? 1 : 0);
	return true;
}

void
sim_limits_reset(void)
{
	sim_map_clear(&pairs, free);
	sim_map_clear(&recipients, free);
	recent_recipients = 0;
	for (int i = 0; i < sim_registry_number_count(); i++)
		sim_registry_number_at(i)->ring_size = 0; /* the next send starts a new ring */
}
