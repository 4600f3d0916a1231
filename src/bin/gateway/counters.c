/*
 * counters.c
 *	  What this process has counted and measured since it started.
 *
 * Requests are counted by route and status.  A stranger may ask for any address, but
 * what has no route is one: so there are no more counters than the table of routes
 * has rows, times the statuses that each can have.
 */
#include "bin/gateway/counters.h"

#include <stdio.h>

#include "bin/httpd/clock.h"

/* Durations by size: upper bounds, in microseconds, inclusive; the last bucket has none. */
#define BUCKETS 12
static const int64_t bounds_us[BUCKETS - 1] = {1000,   2500,   5000,	10000,	 25000,	  50000,
											   100000, 250000, 1000000, 2500000, 10000000};

typedef struct Durations
{
	uint64_t counts[BUCKETS];
	uint64_t sum_us;
} Durations;

/* A place of a table with open addressing; n = 0: it is free. */
typedef struct Counter
{
	const GwRoute *route; /* NULL: of all addresses that nobody has */
	int code;
	uint64_t n;
} Counter;

#define PLACES 1024 /* a power of two, several times what there can be */
static Counter requests[PLACES];
static int n_requests;

static uint64_t webhooks[GW_WEBHOOK_RESULTS];
static Durations request_duration;
static Durations webhook_duration;

static void
observe(Durations *durations, int64_t us)
{
	int i = 0;

	while (i < BUCKETS - 1 && us > bounds_us[i])
		i++;
	durations->counts[i]++;
	durations->sum_us += us > 0 ? (uint64_t) us : 0;
}

void
gw_count_exchange(const GwExchange *exchange)
{
	int code = exchange->http.reply.status;
	size_t place = ((uintptr_t) exchange->route / sizeof(GwRoute) * 31 + (size_t) code) % PLACES;

	while (requests[place].n > 0 &&
		   (requests[place].route != exchange->route || requests[place].code != code))
		place = (place + 1) % PLACES;
	if (requests[place].n == 0)
	{
		if (n_requests == PLACES / 2)
			return; /* the statuses of a program that has gone mad */
		n_requests++;
	}
	requests[place].route = exchange->route;
	requests[place].code = code;
	requests[place].n++;
	observe(&request_duration, httpd_now_us() - exchange->began_us);
}

void
gw_count_webhook(GwWebhookResult result, int64_t duration_us)
{
	webhooks[result]++;
	observe(&webhook_duration, duration_us);
}

/*
 * Writing
 */

static void
write_requests(GwExposition *exposition)
{
	for (int i = 0; i < PLACES; i++)
	{
		const Counter *counter = &requests[i];
		HttpdBuf labels = {0};
		char code[16];

		if (counter->n == 0)
			continue;
		snprintf(code, sizeof(code), "%d", counter->code);
		gw_exposition_label(&labels, "method",
							counter->route != NULL ? counter->route->method : "");
		gw_exposition_label(&labels, "route", counter->route != NULL ? counter->route->path : "");
		gw_exposition_label(&labels, "code", code);
		gw_exposition_add(exposition, "whatsapp_gateway_http_requests_total", GW_COUNTER,
						  "Requests by route and status; code 0: the client left before the "
						  "response.",
						  labels.data, (double) counter->n);
		httpd_buf_free(&labels);
	}
}

static void
write_webhooks(GwExposition *exposition)
{
	static const char *const names[GW_WEBHOOK_RESULTS] = {[GW_WEBHOOK_OK] = "ok",
														  [GW_WEBHOOK_INVALID_SIGNATURE] =
															  "invalid_signature",
														  [GW_WEBHOOK_TOO_LARGE] = "too_large",
														  [GW_WEBHOOK_UNAVAILABLE] = "unavailable",
														  [GW_WEBHOOK_FAILED] = "failed"};

	for (int i = 0; i < GW_WEBHOOK_RESULTS; i++)
	{
		HttpdBuf labels = {0};

		gw_exposition_label(&labels, "result", names[i]);
		gw_exposition_add(exposition, "whatsapp_gateway_webhooks_total", GW_COUNTER,
						  "Webhooks by what became of them.", labels.data, (double) webhooks[i]);
		httpd_buf_free(&labels);
	}
}

static void
write_durations(GwExposition *exposition, const char *name, const char *help,
				const Durations *durations)
{
	uint64_t so_far = 0;
	char sample[96];

	snprintf(sample, sizeof(sample), "%s_bucket", name);
	for (int i = 0; i < BUCKETS; i++)
	{
		char label[40] = "le=\"+Inf\"";

		if (i < BUCKETS - 1)
			snprintf(label, sizeof(label), "le=\"%g\"", (double) bounds_us[i] / 1e6);
		so_far += durations->counts[i];
		gw_exposition_add(exposition, sample, GW_HISTOGRAM, help, label, (double) so_far);
	}
	snprintf(sample, sizeof(sample), "%s_sum", name);
	gw_exposition_add(exposition, sample, GW_HISTOGRAM, help, "", (double) durations->sum_us / 1e6);
	snprintf(sample, sizeof(sample), "%s_count", name);
	gw_exposition_add(exposition, sample, GW_HISTOGRAM, help, "", (double) so_far);
}

void
gw_counters_write(GwExposition *exposition)
{
	write_requests(exposition);
	write_durations(exposition, "whatsapp_gateway_http_request_duration_seconds",
					"From the head of a request to the end of its response.", &request_duration);
	write_webhooks(exposition);
	write_durations(exposition, "whatsapp_gateway_webhook_duration_seconds",
					"From the whole body of a webhook to its answer, COMMIT included.",
					&webhook_duration);
}
