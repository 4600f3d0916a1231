/*
 * webhook_push.c
 *	  Delivery of webhooks by HTTP, as Meta does: several connections, retried
 *	  with growing gaps until the response is 200.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "bin/httpd/buf.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/list.h"
#include "bin/httpd/loop.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"
#include "bin/simulator/random.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/request.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/webhook.h"

/* A request in flight or waiting for its next attempt. */
typedef struct Delivery
{
	SimPost *post;		   /* NULL for the handshake */
	SimRequest *handshake; /* the request for it */
	char *challenge;
	CURL *easy; /* NULL while waiting */
	struct curl_slist *headers;
	HttpdTimer retry;
	int64_t first_us;
	HttpdBuf response;
	HttpdLink link;
} Delivery;

static CURLM *multi;
static HttpdTimer curl_timer;
static HttpdLink deliveries = HTTPD_LIST_EMPTY(deliveries);
static int64_t npending;
static int nactive;

/* Posts that wait for a free connection. */
static SimPostQueue queued;

/* A longer response is no acknowledgement. */
#define MAX_RESPONSE 65536

static void start_queued(void);

/*
 * libcurl and our loop
 */

static void collect(void);

static void
socket_ready(int fd, uint32_t events, void *arg)
{
	int action = ((events & EPOLLIN) ? CURL_CSELECT_IN : 0) |
				 ((events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
				 ((events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0);
	int running;

	curl_multi_socket_action(multi, fd, action, &running);
	collect();
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	if (what == CURL_POLL_REMOVE)
		httpd_loop_unwatch(fd);
	else
		httpd_loop_watch(
			fd, (what != CURL_POLL_OUT ? EPOLLIN : 0) | (what != CURL_POLL_IN ? EPOLLOUT : 0),
			socket_ready, NULL);
	return 0;
}

static void
curl_time_over(void *arg)
{
	int running;

	curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect();
}

static int
set_curl_timer(CURLM *handle, long timeout_ms, void *arg)
{
	if (timeout_ms < 0)
		httpd_timer_cancel(&curl_timer);
	else
		httpd_timer_set(&curl_timer, httpd_now_us() + (int64_t) timeout_ms * 1000, curl_time_over,
						NULL);
	return 0;
}

static void
start_curl(void)
{
	if (multi != NULL)
		return;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || (multi = curl_multi_init()) == NULL)
		httpd_die("could not start libcurl");
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_curl_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 64L);
}

/*
 * One delivery
 */

static void
end_transfer(Delivery *delivery)
{
	if (delivery->easy == NULL)
		return;
	curl_multi_remove_handle(multi, delivery->easy);
	curl_easy_cleanup(delivery->easy);
	curl_slist_free_all(delivery->headers);
	delivery->easy = NULL;
	delivery->headers = NULL;
	nactive--;
}

static void
finish(Delivery *delivery)
{
	end_transfer(delivery);
	httpd_timer_cancel(&delivery->retry);
	httpd_list_remove(&delivery->link);
	npending--;
	if (delivery->post != NULL)
		sim_post_free(delivery->post);
	free(delivery->challenge);
	httpd_buf_free(&delivery->response);
	free(delivery);
}

static size_t
keep_response(char *data, size_t size, size_t n, void *arg)
{
	Delivery *delivery = arg;

	if (delivery->response.len + n > MAX_RESPONSE)
		return 0;
	httpd_buf_add(&delivery->response, data, n);
	return n;
}

static Delivery *
new_delivery(void)
{
	Delivery *delivery = httpd_alloc0(sizeof(Delivery));

	delivery->first_us = httpd_now_us();
	httpd_list_push(&deliveries, &delivery->link);
	npending++;
	return delivery;
}

static void
start_transfer(Delivery *delivery, const char *url)
{
	CURL *easy = curl_easy_init();

	if (easy == NULL)
		httpd_die("could not start libcurl");
	delivery->easy = easy;
	delivery->response.len = 0;
	nactive++;
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, delivery);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) sim_settings.webhook_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep_response);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, delivery);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "facebookexternalua");
	if (delivery->post != NULL)
	{
		char header[128];

		snprintf(header, sizeof(header), "X-Hub-Signature-256: %s", delivery->post->signature);
		delivery->headers = curl_slist_append(NULL, "Content-Type: application/json");
		delivery->headers = curl_slist_append(delivery->headers, header);
		delivery->headers = curl_slist_append(delivery->headers, "Expect:");
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, delivery->headers);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, delivery->post->body);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) delivery->post->len);
		delivery->post->attempts++;
		sim_webhook_counters.attempts++;
	}
	curl_multi_add_handle(multi, easy);
}

static void
try_again(void *arg)
{
	Delivery *delivery = arg;

	start_transfer(delivery, sim_settings.webhook_url);
}

/* Not 200: retried later, with a gap that doubles. */
static void
postpone(Delivery *delivery)
{
	int64_t gap_ms = sim_settings.webhook_retry_ms;

	sim_webhook_counters.failed_attempts++;
	end_transfer(delivery);
	if (httpd_now_us() - delivery->first_us >= sim_settings.webhook_give_up_ms * 1000 ||
		sim_settings.webhook_url[0] == '\0')
	{
		sim_webhook_counters.given_up++;
		finish(delivery);
		return;
	}
	for (int i = 1; i < delivery->post->attempts && gap_ms < sim_settings.webhook_retry_max_ms; i++)
		gap_ms *= 2;
	if (gap_ms > sim_settings.webhook_retry_max_ms)
		gap_ms = sim_settings.webhook_retry_max_ms;
	httpd_timer_set(&delivery->retry, httpd_now_us() + gap_ms * 1000, try_again, delivery);
}

static void
handshake_done(Delivery *delivery, CURLcode result, long status)
{
	SimRequest *request = delivery->handshake;
	const char *response = delivery->response.len > 0 ? delivery->response.data : "";
	bool good = result == CURLE_OK && status == 200 && strcmp(response, delivery->challenge) == 0;

	sim_reply_json(request, 200,
				   json_pack("{s:b, s:i, s:s, s:s}", "ok", good, "status", (int) status, "error",
							 result == CURLE_OK ? "" : curl_easy_strerror(result), "challenge",
							 delivery->challenge));
	finish(delivery);
	httpd_request_finish(&request->http);
}

static void
collect(void)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURLcode result = message->data.result;
		Delivery *delivery;
		long status = 0;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &delivery);
		curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		if (delivery->handshake != NULL)
			handshake_done(delivery, result, status);
		else if (result == CURLE_OK && status == 200)
		{
			sim_webhook_counters.delivered++;
			finish(delivery);
		}
		else
			postpone(delivery);
	}
	start_queued();
}

/*
 * All of them
 */

static void
start_queued(void)
{
	while (queued.first != NULL && nactive < sim_settings.webhook_connections)
	{
		Delivery *delivery = new_delivery();

		delivery->post = sim_post_queue_take(&queued);
		start_transfer(delivery, sim_settings.webhook_url);
	}
}

void
sim_push_post(SimPost *post)
{
	start_curl();
	sim_post_queue_add(&queued, post);
	start_queued();
}

int64_t
sim_push_pending(void)
{
	return npending + queued.count;
}

void
sim_push_handshake(SimRequest *request)
{
	Delivery *delivery;
	HttpdBuf url = {0};
	char challenge[24];
	char *token;

	start_curl();
	delivery = new_delivery();
	delivery->handshake = request;
	snprintf(challenge, sizeof(challenge), "%llu",
			 (unsigned long long) (sim_seed_from_system() % 10000000000));
	delivery->challenge = httpd_strdup(challenge);
	token = curl_easy_escape(NULL, sim_settings.verify_token, 0);
	httpd_buf_printf(&url, "%s%chub.mode=subscribe&hub.verify_token=%s&hub.challenge=%s",
					 sim_settings.webhook_url,
					 strchr(sim_settings.webhook_url, '?') == NULL ? '?' : '&',
					 token != NULL ? token : "", challenge);
	curl_free(token);
	httpd_request_defer(&request->http);
	start_transfer(delivery, url.data);
	httpd_buf_free(&url);
}

void
sim_push_reset(void)
{
	SimPost *post;

	while ((post = sim_post_queue_take(&queued)) != NULL)
		sim_post_free(post);
	for (HttpdLink *link = deliveries.next, *following; link != &deliveries; link = following)
	{
		Delivery *delivery = HTTPD_ELEMENT(Delivery, link, link);

		following = link->next;

		/* A client waits for the result of a handshake, which ends by itself. */
		if (delivery->handshake == NULL)
			finish(delivery);
	}
}

void
sim_push_stop(void)
{
	while (!httpd_list_is_empty(&deliveries))
		finish(HTTPD_ELEMENT(Delivery, link, deliveries.next));
	if (multi == NULL)
		return;
	curl_multi_cleanup(multi);
	curl_global_cleanup();
	multi = NULL;
}
