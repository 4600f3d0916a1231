/*
 * notice.c
 *	  Tells people when a number, or all of them, are not answered, and when they are again.
 *
 * These alerts are also what wa_explain() and wa_number_status know of it: two
 * rows for each time of trouble, and none for a message.
 *
 * While the host is in trouble, one alert speaks for all numbers.
 */
#include "postgres.h"

#include "sender/notice.h"
#include "sender/state/wire.h"
#include "sender/store/alert.h"

#define KIND "network"

/* Of one transaction. */
#define MAX_NOTICES 64

static bool host_to_alert;
static bool more; /* numbers that did not fit */

/* It has lasted long enough for people to hear of it. */
static bool
is_old(const WaTrouble *trouble, int64 now)
{
	return now - trouble->since_us >= WA_NOTICE_US;
}

static int
seconds_of(const WaTrouble *trouble, int64 now)
{
	return (int) ((now - trouble->since_us) / 1000000);
}

void
wa_notice_read(WaSender *sender)
{
	WaNumbers *numbers = &sender->numbers;
	const char **keys;
	int n = wa_store_open_alerts(KIND, &keys);

	for (int i = 0; i < n; i++)
	{
		WaNumber *number;

		if (keys[i][0] == '\0')
		{
			numbers->host_alerted = true;
			continue;
		}
		number = wa_number_find(numbers, keys[i]);
		if (number == NULL || !number->mine || number->noticed)
			continue;
		number->alerted = number->noticed = true;
		dlist_push_tail(&numbers->noticed, &number->noticed_node);
	}
}

bool
wa_notice_due(WaSender *sender)
{
	return wa_now_us() >= sender->numbers.notice_us;
}

static bool
write_about_host(WaNumbers *numbers, int64 now)
{
	const WaTrouble *trouble = &numbers->wire.host;
	WaAlert alert = {.severity = "error", .kind = KIND, .scope = "account", .key = ""};

	if (numbers->host_alerted && numbers->host_over && !wa_wire_host_fails(numbers))
	{
		wa_store_resolve_alert(KIND, "account", "");
		return false;
	}
	if (numbers->host_alerted || !wa_wire_host_fails(numbers) || !is_old(trouble, now))
		return numbers->host_alerted;
	alert.message = psprintf("Meta has not answered for %d seconds%s%s", seconds_of(trouble, now),
							 numbers->wire.problem[0] != '\0' ? ": " : "", numbers->wire.problem);
	wa_store_alert(&alert);
	return true;
}

static bool
write_about(const WaNumber *number, int64 now)
{
	const WaTrouble *trouble = &number->trouble;
	WaAlert alert = {.severity = "error", .kind = KIND, .scope = "number", .key = number->id};

	if (number->alerted && number->over)
	{
		wa_store_resolve_alert(KIND, "number", number->id);
		return false;
	}
	if (number->alerted || !wa_wire_number_fails(number) || !is_old(trouble, now))
		return number->alerted;
	alert.message =
		psprintf("Requests for phone number %s have not been answered for %d seconds, those of "
				 "others are%s%s",
				 number->id, seconds_of(trouble, now), number->problem != NULL ? ": " : "",
				 number->problem != NULL ? number->problem : "");
	wa_store_alert(&alert);
	return true;
}

void
wa_notice_write(WaSender *sender)
{
	WaNumbers *numbers = &sender->numbers;
	int64 now = wa_now_us();
	dlist_iter iter;
	int n = 0;

	host_to_alert = write_about_host(numbers, now);
	more = false;
	dlist_foreach (iter, &numbers->noticed)
	{
		WaNumber *number = dlist_container(WaNumber, noticed_node, iter.cur);

		number->to_alert = number->alerted;
		if (n < MAX_NOTICES)
			number->to_alert = write_about(number, now);
		else
			more = true;
		n += number->to_alert != number->alerted ? 1 : 0;
	}
}

/* When the youngest trouble will be old enough. */
void
wa_notice_committed(WaSender *sender)
{
	WaNumbers *numbers = &sender->numbers;
	int64 now = wa_now_us();
	dlist_mutable_iter iter;

	if (host_to_alert != numbers->host_alerted)
		numbers->host_over = false;
	numbers->host_alerted = host_to_alert;
	numbers->notice_us = more ? now : PG_INT64_MAX;
	dlist_foreach_modify (iter, &numbers->noticed)
	{
		WaNumber *number = dlist_container(WaNumber, noticed_node, iter.cur);

		number->alerted = number->to_alert;
		if (number->alerted)
			continue;
		if (wa_trouble_is(&number->trouble))
			numbers->notice_us =
				Min(numbers->notice_us, Max(number->trouble.since_us, now) + WA_NOTICE_US);
		else
		{
			dlist_delete(&number->noticed_node);
			number->noticed = false;
		}
	}
}

long
wa_notice_wait_ms(WaSender *sender)
{
	int64 at = sender->numbers.notice_us;

	return at == PG_INT64_MAX ? -1 : (long) Max(0, (at - wa_now_us() + 999) / 1000);
}
