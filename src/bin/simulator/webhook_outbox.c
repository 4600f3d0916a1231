/*
 * webhook_outbox.c
 *	  From items to signed bodies, and where those go.
 *
 * Items wait until a body is full or the first of them has waited long enough.
 * In a body, adjacent items of one number and field share a change, as with Meta.
 */
#include <errno.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/buf.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"
#include "bin/simulator/random.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/text.h"
#include "bin/simulator/webhook.h"

SimWebhookCounters sim_webhook_counters;

typedef struct Entry
{
	SimItem item; /* for a value of its own: list NULL, the value in item.item */
	bool with_time;
	char *field; /* owned, if it is not constant */
} Entry;

static Entry *waiting;
static int nwaiting;
static int waiting_size;
static HttpdTimer flush_timer;

/* Pull mode: bodies to be fetched. */
static SimPostQueue to_fetch;
static void (*notify)(void *arg);
static void *notify_arg;

static uint64_t spool_number;
static uint64_t random_state;

bool
sim_webhook_enabled(void)
{
	return !sim_settings.unsubscribed &&
		   (sim_settings.webhook_url[0] != '\0' || sim_settings.webhook_spool[0] != '\0' ||
			sim_settings.webhook_pull);
}

void
sim_post_free(SimPost *post)
{
	free(post->body);
	free(post);
}

void
sim_post_queue_add(SimPostQueue *queue, SimPost *post)
{
	post->next = NULL;
	if (queue->first == NULL)
		queue->first = post;
	else
		queue->last->next = post;
	queue->last = post;
	queue->count++;
}

SimPost *
sim_post_queue_take(SimPostQueue *queue)
{
	SimPost *post = queue->first;

	if (post == NULL)
		return NULL;
	queue->first = post->next;
	queue->count--;
	return post;
}

/*
 * "sha256=" and the HMAC of the body with the app secret, as Meta signs.  The
 * extension's common/signature.c only checks one, and would make the headers
 * of a PostgreSQL server necessary to build a program that needs none.
 */
static void
sign(SimPost *post)
{
	unsigned char mac[32];
	size_t n;

	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, sim_settings.app_secret,
						 strlen(sim_settings.app_secret), post->body, post->len, mac) != 0)
		httpd_die("could not sign a webhook");
	n = (size_t) snprintf(post->signature, sizeof(post->signature), "sha256=");
	sim_hex(post->signature + n, mac, sizeof(mac));
}

/*
 * Where bodies go
 */

static void
write_file(const char *path, const char *data, size_t len)
{
	char temporary[4200];
	FILE *f;

	snprintf(temporary, sizeof(temporary), "%s.part", path);
	f = fopen(temporary, "we");
	if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0 ||
		rename(temporary, path) != 0)
		httpd_die("could not write \"%s\": %s", path, strerror(errno));
}

/* The signature comes last: once it is there, the body is complete. */
static void
spool(SimPost *post)
{
	char path[4096];

	spool_number++;
	snprintf(path, sizeof(path), "%s/%09llu.body", sim_settings.webhook_spool,
			 (unsigned long long) spool_number);
	write_file(path, post->body, post->len);
	snprintf(path, sizeof(path), "%s/%09llu.signature", sim_settings.webhook_spool,
			 (unsigned long long) spool_number);
	write_file(path, post->signature, strlen(post->signature));
	sim_webhook_counters.delivered++;
	sim_post_free(post);
}

static void
keep_for_pull(SimPost *post)
{
	void (*there)(void *arg) = notify;

	sim_post_queue_add(&to_fetch, post);
	notify = NULL;
	if (there != NULL)
		there(notify_arg);
}

SimPost *
sim_outbox_pull(void)
{
	SimPost *post = sim_post_queue_take(&to_fetch);

	if (post != NULL)
		sim_webhook_counters.delivered++;
	return post;
}

void
sim_outbox_notify(void (*there)(void *arg), void *arg)
{
	notify = there;
	notify_arg = arg;
}

static SimPost *
copy_post(const SimPost *post)
{
	SimPost *copy = httpd_alloc(sizeof(SimPost));

	*copy = *post;
	copy->body = httpd_alloc(post->len);
	memcpy(copy->body, post->body, post->len);
	return copy;
}

static void
dispatch(SimPost *post)
{
	sim_webhook_counters.posts++;
	if (sim_settings.webhook_url[0] != '\0')
		sim_push_post(post);
	else if (sim_settings.webhook_spool[0] != '\0')
		spool(post);
	else
		keep_for_pull(post);
}

/*
 * Making a body
 */

static bool
same_change(const Entry *a, const Entry *b)
{
	return a->item.list != NULL && b->item.list != NULL && a->item.number == b->item.number &&
		   strcmp(a->item.field, b->item.field) == 0 && strcmp(a->item.list, b->item.list) == 0;
}

/* contacts[] of the group, each once. */
static void
add_contacts(HttpdBuf *out, const Entry *entries, int count)
{
	bool any = false;

	for (int i = 0; i < count; i++)
	{
		bool known = entries[i].item.contact.len == 0;

		for (int j = 0; j < i && !known; j++)
			known = entries[j].item.contact.len > 0 &&
					strcmp(entries[j].item.contact.data, entries[i].item.contact.data) == 0;
		if (known)
			continue;
		httpd_buf_puts(out, any ? "," : ",\"contacts\":[");
		httpd_buf_add(out, entries[i].item.contact.data, entries[i].item.contact.len);
		any = true;
	}
	if (any)
		httpd_buf_puts(out, "]");
}

static void
add_group(HttpdBuf *out, const Entry *entries, int count)
{
	const SimItem *item = &entries[0].item;

	httpd_buf_puts(out, "{\"field\":");
	httpd_buf_json(out, item->field);
	httpd_buf_puts(out, ",\"value\":");
	if (item->list == NULL)
		httpd_buf_add(out, item->item.data, item->item.len);
	else
	{
		httpd_buf_printf(out,
						 "{\"messaging_product\":\"whatsapp\",\"metadata\":{"
						 "\"display_phone_number\":\"%s\",\"phone_number_id\":\"%s\"}",
						 item->number->digits, item->number->id);
		add_contacts(out, entries, count);
		httpd_buf_printf(out, ",\"%s\":[", item->list);
		for (int i = 0; i < count; i++)
		{
			if (i > 0)
				httpd_buf_puts(out, ",");
			httpd_buf_add(out, entries[i].item.item.data, entries[i].item.item.len);
		}
		httpd_buf_puts(out, "]}");
	}
	httpd_buf_puts(out, "}");
}

/* entry[]: management fields carry a time, messages do not. */
static void
add_entry(HttpdBuf *out, const Entry *entries, int count)
{
	httpd_buf_puts(out, "{\"id\":");
	httpd_buf_json(out, sim_settings.waba_id);
	if (entries[0].with_time)
		httpd_buf_printf(out, ",\"time\":%lld", (long long) (httpd_wall_us() / 1000000));
	httpd_buf_puts(out, ",\"changes\":[");
	for (int i = 0; i < count;)
	{
		int n = 1;

		while (i + n < count && same_change(&entries[i], &entries[i + n]))
			n++;
		if (i > 0)
			httpd_buf_puts(out, ",");
		add_group(out, entries + i, n);
		i += n;
	}
	httpd_buf_puts(out, "]}");
}

static void
free_entry(Entry *entry)
{
	httpd_buf_free(&entry->item.contact);
	httpd_buf_free(&entry->item.item);
	free(entry->field);
}

/* The first count items become a body. */
static void
make_post(int count)
{
	SimPost *post = httpd_alloc0(sizeof(SimPost));
	HttpdBuf out = {0};

	httpd_buf_puts(&out, "{\"object\":\"whatsapp_business_account\",\"entry\":[");
	for (int i = 0; i < count;)
	{
		int n = 1;

		while (i + n < count && waiting[i + n].with_time == waiting[i].with_time)
			n++;
		if (i > 0)
			httpd_buf_puts(&out, ",");
		add_entry(&out, waiting + i, n);
		i += n;
	}
	httpd_buf_puts(&out, "]}");
	for (int i = 0; i < count; i++)
		free_entry(&waiting[i]);
	nwaiting -= count;
	memmove(waiting, waiting + count, (size_t) nwaiting * sizeof(Entry));

	post->body = out.data;
	post->len = out.len;
	post->items = count;
	sign(post);
	if (random_state == 0)
		random_state = (uint64_t) sim_settings.seed;
	if (sim_settings.webhook_repeat_post_percent > 0 &&
		sim_random_unit(&random_state) * 100 < (double) sim_settings.webhook_repeat_post_percent)
		dispatch(copy_post(post));
	dispatch(post);
}

static void
flush(void *arg)
{
	while (nwaiting > 0)
	{
		int batch = (int) sim_settings.webhook_batch;

		make_post(nwaiting < batch ? nwaiting : batch);
	}
}

static void
add(Entry *entry)
{
	sim_webhook_counters.items++;
	if (nwaiting == waiting_size)
	{
		waiting_size = waiting_size == 0 ? 64 : waiting_size * 2;
		waiting = httpd_realloc(waiting, (size_t) waiting_size * sizeof(Entry));
	}
	waiting[nwaiting++] = *entry;
	if (nwaiting >= sim_settings.webhook_batch)
	{
		httpd_timer_cancel(&flush_timer);
		flush(NULL);
	}
	else if (flush_timer.slot == 0)
		httpd_timer_set(&flush_timer, httpd_now_us() + sim_settings.webhook_batch_ms * 1000, flush,
						NULL);
}

void
sim_outbox_add(SimItem *item)
{
	Entry entry = {.item = *item};

	add(&entry);
}

void
sim_outbox_add_value(const char *field, bool with_time, HttpdBuf *value)
{
	Entry entry = {.with_time = with_time, .field = httpd_strdup(field)};

	entry.item.field = entry.field;
	entry.item.item = *value;
	add(&entry);
}

bool
sim_outbox_has_post(void)
{
	return to_fetch.first != NULL;
}

int64_t
sim_outbox_waiting(void)
{
	return nwaiting + to_fetch.count;
}

void
sim_webhook_reset(void)
{
	SimPost *post;

	sim_webhook_forget_planned();
	httpd_timer_cancel(&flush_timer);
	for (int i = 0; i < nwaiting; i++)
		free_entry(&waiting[i]);
	nwaiting = 0;
	while ((post = sim_outbox_pull()) != NULL)
		sim_post_free(post);
	sim_push_reset();
	memset(&sim_webhook_counters, 0, sizeof(sim_webhook_counters));
}

void
sim_webhook_stop(void)
{
	notify = NULL;
	sim_webhook_reset();
	sim_push_stop();
	free(waiting);
	waiting = NULL;
	waiting_size = 0;
}

json_t *
sim_webhook_stats(void)
{
	const SimWebhookCounters *c = &sim_webhook_counters;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "items", (json_int_t) c->items,
					 "posts", (json_int_t) c->posts, "delivered", (json_int_t) c->delivered,
					 "attempts", (json_int_t) c->attempts, "failed_attempts",
					 (json_int_t) c->failed_attempts, "given_up", (json_int_t) c->given_up,
					 "pending_messages", (json_int_t) sim_webhook_planned(), "pending_posts",
					 (json_int_t) (sim_outbox_waiting() + sim_push_pending()));
}
