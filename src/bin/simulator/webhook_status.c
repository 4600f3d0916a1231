/*
 * webhook_status.c
 *	  The statuses of an accepted message: sent, delivered, read, or failed.
 *
 * All of them are planned when the message is accepted, including what goes
 * wrong: late, lost, repeated or out of order.  Each status keeps the time at
 * which it happened, whenever it is reported.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/buf.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/list.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"
#include "bin/simulator/graph_error.h"
#include "bin/simulator/json.h"
#include "bin/simulator/random.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/webhook.h"

typedef enum Status
{
	STATUS_SENT,
	STATUS_DELIVERED,
	STATUS_READ,
	STATUS_PLAYED,
	STATUS_FAILED
} Status;

static const char *const status_names[] = {"sent", "delivered", "read", "played", "failed"};

/* Four statuses, each reported twice. */
#define MAX_STEPS 8

typedef struct Step
{
	Status status;
	int64_t happened_s; /* epoch */
	int64_t due_us;
} Step;

typedef struct Flight
{
	HttpdTimer timer;
	HttpdLink link;
	int nsteps;
	int at;
	int code; /* of STATUS_FAILED */
	bool to_group;
	SimPrice price;
	Step steps[MAX_STEPS];
	char *number; /* ID: the number itself may be removed meanwhile */
	char *to;
	char *wamid;
	char *opaque;
} Flight;

static HttpdLink flights = HTTPD_LIST_EMPTY(flights);
static int64_t nflights;
static uint64_t random_state;

/* True with this probability, in percent. */
static bool
percent(int64_t share)
{
	if (share <= 0)
		return false;
	if (random_state == 0)
		random_state = (uint64_t) sim_settings.seed;
	return sim_random_unit(&random_state) * 100 < (double) share;
}

static char *
copy_or_null(const char *text)
{
	return text != NULL ? httpd_strdup(text) : NULL;
}

static void
land(Flight *flight)
{
	httpd_timer_cancel(&flight->timer);
	httpd_list_remove(&flight->link);
	nflights--;
	free(flight->number);
	free(flight->to);
	free(flight->wamid);
	free(flight->opaque);
	free(flight);
}

/*
 * One status as JSON
 */

static void
add_error(HttpdBuf *out, int code)
{
	const char *title = sim_graph_error_find(code)->title;

	httpd_buf_printf(out, ",\"errors\":[{\"code\":%d,\"title\":", code);
	httpd_buf_json(out, title);
	httpd_buf_puts(out, ",\"message\":");
	httpd_buf_json(out, title);
	httpd_buf_puts(out, ",\"error_data\":{\"details\":");
	httpd_buf_json(out, title);
	httpd_buf_puts(out, "},\"href\":\"https://developers.facebook.com/docs/whatsapp/cloud-api/"
						"support/error-codes/\"}]");
}

static void
add_text(HttpdBuf *out, const char *member, const char *text)
{
	if (text == NULL)
		return;
	httpd_buf_printf(out, ",\"%s\":", member);
	httpd_buf_json(out, text);
}

/* Whom the status is about; a group is not a contact. */
static void
add_recipient(HttpdBuf *out, const Flight *flight, const SimFace *face, bool failed)
{
	if (flight->to_group)
	{
		add_text(out, "recipient_id", flight->to);
		add_text(out, "recipient_type", "group");
		return;
	}
	add_text(out, "recipient_id", face->wa_id);
	if (failed)
		return;
	add_text(out, "recipient_user_id", face->user_id);
	add_text(out, "recipient_parent_user_id", face->parent_user_id);
}

static void
add_price(HttpdBuf *out, const SimPrice *price)
{
	httpd_buf_printf(out,
					 ",\"pricing\":{\"billable\":%s,\"pricing_model\":\"PMP\","
					 "\"type\":\"%s\",\"category\":\"%s\"}",
					 strcmp(price->type, "regular") == 0 ? "true" : "false", price->type,
					 price->category);
}

/* One conversation per user and kind: its id is made from both. */
static void
add_conversation(HttpdBuf *out, const Flight *flight)
{
	uint64_t hash = sim_hash(flight->to, strlen(flight->to)) ^
					sim_hash(flight->price.origin, strlen(flight->price.origin));

	httpd_buf_printf(out,
					 ",\"conversation\":{\"id\":\"%016llx\",\"expiration_timestamp\":\"%lld\","
					 "\"origin\":{\"type\":\"%s\"}}",
					 (unsigned long long) hash, (long long) flight->price.expires_s,
					 flight->price.origin);
}

static void
tell(const Flight *flight, const Step *step)
{
	const SimNumber *number = sim_registry_number(flight->number);
	SimItem item = {.field = "messages", .number = number, .list = "statuses"};
	HttpdBuf *out = &item.item;
	bool failed = step->status == STATUS_FAILED;
	SimFace face;

	if (number == NULL)
		return;
	sim_user_face(flight->to, &face);
	httpd_buf_printf(out, "{\"id\":\"%s\",\"status\":\"%s\",\"timestamp\":\"%lld\"", flight->wamid,
					 status_names[step->status], (long long) step->happened_s);
	add_recipient(out, flight, &face, failed);
	if (!failed && !flight->to_group)
		sim_json_write(&item.contact, sim_webhook_contact(&face));
	add_text(out, "biz_opaque_callback_data", flight->opaque);
	if (!failed && flight->price.origin != NULL)
		add_conversation(out, flight);
	if (step->status == STATUS_SENT || step->status == STATUS_DELIVERED)
		add_price(out, &flight->price);
	if (failed)
		add_error(out, flight->code);
	httpd_buf_puts(out, "}");
	sim_outbox_add(&item);
}

/*
 * The way
 */

static void
step_due(void *arg)
{
	Flight *flight = arg;
	int64_t now_us = httpd_now_us();

	while (flight->at < flight->nsteps && flight->steps[flight->at].due_us <= now_us)
		tell(flight, &flight->steps[flight->at++]);
	if (flight->at == flight->nsteps)
		land(flight);
	else
		httpd_timer_set(&flight->timer, flight->steps[flight->at].due_us, step_due, flight);
}

static void
add_step(Flight *flight, Status status, int64_t *after_ms, int64_t more_ms)
{
	*after_ms += more_ms;
	flight->steps[flight->nsteps++] = (Step){status, httpd_wall_us() / 1000000 + *after_ms / 1000,
											 httpd_now_us() + *after_ms * 1000};
}

/* What happens, in order. */
static void
plan(Flight *flight, const SimAccepted *accepted)
{
	const SimSettings *s = &sim_settings;
	int64_t after_ms = 0;

	if (accepted->fault != NULL && accepted->fault->webhook_code != 0)
		flight->code = accepted->fault->webhook_code;
	else if (percent(s->webhook_fail_percent))
		flight->code = (int) s->webhook_fail_code;
	if (flight->code != 0)
	{
		if (s->webhook_fail_after_sent)
			add_step(flight, STATUS_SENT, &after_ms, s->webhook_sent_ms);
		add_step(flight, STATUS_FAILED, &after_ms, s->webhook_sent_ms);
		return;
	}
	add_step(flight, STATUS_SENT, &after_ms, s->webhook_sent_ms);
	if (accepted->reaction)
		return;
	after_ms += s->webhook_delivered_ms;
	if (!percent(s->webhook_skip_delivered_percent))
		add_step(flight, STATUS_DELIVERED, &after_ms, 0);
	if (percent(s->webhook_no_read_percent))
		return;
	add_step(flight, STATUS_READ, &after_ms, s->webhook_read_ms);
	if (accepted->voice)
		add_step(flight, STATUS_PLAYED, &after_ms, s->webhook_read_ms);
}

static int
compare_steps(const void *a, const void *b)
{
	int64_t left = ((const Step *) a)->due_us;
	int64_t right = ((const Step *) b)->due_us;

	return (left > right) - (left < right);
}

/* What goes wrong in reporting it. */
static void
disturb(Flight *flight)
{
	const SimSettings *s = &sim_settings;
	int kept = 0;
	int planned;

	for (int i = 0; i < flight->nsteps; i++)
	{
		if (!percent(s->webhook_lose_percent))
			flight->steps[kept++] = flight->steps[i];
	}
	flight->nsteps = planned = kept;

	/* Out of order: the same times, other statuses. */
	if (percent(s->webhook_reorder_percent))
	{
		for (int i = planned - 1; i > 0; i--)
		{
			int j = (int) (sim_random_next(&random_state) % (uint64_t) (i + 1));
			Step other = flight->steps[j];

			flight->steps[j].status = flight->steps[i].status;
			flight->steps[j].happened_s = flight->steps[i].happened_s;
			flight->steps[i].status = other.status;
			flight->steps[i].happened_s = other.happened_s;
		}
	}
	for (int i = 0; i < planned; i++)
	{
		if (percent(s->webhook_repeat_percent))
		{
			Step *again = &flight->steps[flight->nsteps++];

			*again = flight->steps[i];
			again->due_us += s->webhook_late_ms * 1000;
		}
		if (percent(s->webhook_late_percent))
			flight->steps[i].due_us += s->webhook_late_ms * 1000;
	}
	qsort(flight->steps, (size_t) flight->nsteps, sizeof(Step), compare_steps);
}

void
sim_webhook_accepted(const SimAccepted *accepted)
{
	Flight *flight;

	if (!sim_webhook_enabled() || (accepted->fault != NULL && accepted->fault->webhook_none))
		return;
	flight = httpd_alloc0(sizeof(Flight));
	httpd_list_push(&flights, &flight->link);
	nflights++;
	flight->to_group = accepted->to_group;
	flight->price = *accepted->price;
	flight->number = httpd_strdup(accepted->number->id);
	flight->to = httpd_strdup(accepted->to);
	flight->wamid = httpd_strdup(accepted->wamid);
	flight->opaque = copy_or_null(accepted->opaque);
	plan(flight, accepted);
	disturb(flight);
	if (flight->nsteps == 0)
		land(flight);
	else
		httpd_timer_set(&flight->timer, flight->steps[0].due_us, step_due, flight);
}

int64_t
sim_webhook_planned(void)
{
	return nflights;
}

void
sim_webhook_forget_planned(void)
{
	while (!httpd_list_is_empty(&flights))
		land(HTTPD_ELEMENT(Flight, link, flights.next));
}
