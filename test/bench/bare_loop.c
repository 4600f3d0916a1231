/*
 * bare_loop.c
 *	  What libcurl alone can do: the yardstick of the sender's drain rate.
 *
 * Posts template messages, as the extension builds them, to one server with
 * N requests in flight until M are answered.  No database, no retries, no
 * promises.  The rate and the CPU time per request that it prints are the
 * denominator of the ratios in docs/benchmarks.md, so it must be as good as
 * we know how to make it; a slow yardstick would flatter the sender.  What
 * makes the difference, each measured:
 *
 *	- epoll registrations are lazy.  libcurl reports "remove" when a transfer
 *	  ends and "add" when the next one takes the connection over; only the
 *	  difference that is left right before the wait reaches the kernel.
 *	- The timer is cleared before curl_multi_socket_action(CURL_SOCKET_TIMEOUT);
 *	  left set, the loop spins.
 *	- Easy handles, their headers and their buffers are made once, and so are
 *	  the parsed URLs: with CURLOPT_URL, libcurl parses and prints the address
 *	  again for each request, a sixth of all instructions.
 *	- CURLOPT_CAPATH is NULL: Debian's libcurl would read the whole directory
 *	  for each new TLS connection.
 *	- The body is handed over by CURLOPT_POSTFIELDS, without a copy.
 *
 * Time-outs are set, as in any program that must not hang, although they cost
 * a little.  Certificates are verified.
 */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 65536
#define EVENTS_PER_WAIT 256
#define BODY_SIZE 2048
#define ANSWER_SIZE 2048
#define STREAMS_PER_CONNECTION 100 /* nginx and Meta allow 100 to 128 */

typedef struct Options
{
	const char *url;
	const char *ca_file;
	const char *payload; /* JSON of the template object */
	bool h2;
	int in_flight;
	int max_connections;
	int numbers;
	long requests;
	long warm_up;
	int time_limit_s;
} Options;

typedef struct Slot
{
	CURL *easy;
	CURLU *url;
	int64_t started_us;
	size_t answer_len;
	char error[CURL_ERROR_SIZE];
	char body[BODY_SIZE];
	char answer[ANSWER_SIZE];
} Slot;

/* What libcurl wants to hear of a descriptor, and what epoll has been told. */
typedef struct Watch
{
	uint32_t wanted;
	uint32_t registered;
	bool dirty;
} Watch;

typedef struct Loop
{
	const Options *options;
	CURLM *multi;
	int epoll_fd;
	int64_t timer_us; /* absolute; -1: none */
	Watch watches[MAX_FDS];
	int dirty[MAX_FDS];
	int dirty_count;
	int connections_opened;

	struct curl_slist *headers;
	Slot *slots;
	long submitted;
	long finished;
	long failed;
	size_t body_bytes;
	char first_error[CURL_ERROR_SIZE + 64];

	uint32_t *latencies_us; /* of the requests after the warm-up */
	long latency_count;
	int64_t measured_from_us;
	int64_t cpu_from_us;
} Loop;

static const char *default_payload =
	"{\"name\": \"pedido_proveedor\", \"language\": {\"code\": \"es\"}, \"components\": "
	"[{\"type\": \"body\", \"parameters\": [{\"text\": \"Harinas del Norte\", \"type\": \"text\"}, "
	"{\"text\": \"PO-2026-000123\", \"type\": \"text\"}, {\"text\": \"1.234,50 \u20ac\", "
	"\"type\": \"text\"}, {\"text\": \"3 de diciembre\", \"type\": \"text\"}]}]}";

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t
cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (int64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
		   usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void
die(const char *what)
{
	fprintf(stderr, "bare_loop: %s\n", what);
	exit(1);
}

static void *
must(void *pointer)
{
	if (pointer == NULL)
		die("out of memory");
	return pointer;
}

/* ---- callbacks of libcurl ------------------------------------------------ */

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	Loop *loop = arg;
	Watch *watch;

	(void) easy;
	(void) unused;
	if (fd < 0 || fd >= MAX_FDS)
		return -1;
	watch = &loop->watches[fd];
	watch->wanted = 0;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		watch->wanted |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		watch->wanted |= EPOLLOUT;
	if (!watch->dirty)
	{
		watch->dirty = true;
		loop->dirty[loop->dirty_count++] = fd;
	}
	return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	Loop *loop = arg;

	(void) multi;
	loop->timer_us = timeout_ms < 0 ? -1 : now_us() + timeout_ms * 1000;
	return 0;
}

/* The kernel forgets a closed descriptor; so must the table, since its number comes back. */
static int
on_close(void *arg, curl_socket_t fd)
{
	Loop *loop = arg;

	if (fd >= 0 && fd < MAX_FDS)
		loop->watches[fd].registered = 0;
	return close(fd);
}

static int
on_open(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	Loop *loop = arg;

	(void) fd;
	(void) purpose;
	loop->connections_opened++;
	return CURL_SOCKOPT_OK;
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	Slot *slot = arg;
	size_t len = size * count;

	if (len >= ANSWER_SIZE - slot->answer_len)
		return 0;
	memcpy(slot->answer + slot->answer_len, data, len);
	slot->answer_len += len;
	slot->answer[slot->answer_len] = '\0';
	return len;
}

/* ---- requests -------------------------------------------------------------- */

static void
set_up_slot(Loop *loop, Slot *slot, int index)
{
	const Options *options = loop->options;
	CURL *easy = must(curl_easy_init());
	char url[256];

	slot->easy = easy;
	slot->url = must(curl_url());
	snprintf(url, sizeof(url), "%s/v25.0/1000000000%05d/messages", options->url,
			 1 + index % options->numbers);
	if (curl_url_set(slot->url, CURLUPART_URL, url, 0) != CURLUE_OK)
		die("the URL is not valid");
	curl_easy_setopt(easy, CURLOPT_CURLU, slot->url);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, loop->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* else getenv() for each request */
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, loop);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, loop);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	if (options->ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
	if (options->h2)
	{
		curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
		curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	}
	else
		curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
}

static void
submit(Loop *loop, Slot *slot)
{
	const Options *options = loop->options;
	long id = ++loop->submitted;
	int len;

	len = snprintf(slot->body, sizeof(slot->body),
				   "{\"messaging_product\":\"whatsapp\",\"recipient_type\":\"individual\","
				   "\"to\":\"+346%08ld\",\"type\":\"template\",\"template\":%s,"
				   "\"biz_opaque_callback_data\":\"wa1:0123abcd:%ld:1\"}",
				   id % 100000000, options->payload, id);
	if (len >= (int) sizeof(slot->body))
		die("the payload is too long");
	loop->body_bytes += len;
	slot->answer_len = 0;
	slot->started_us = now_us();
	curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, slot->body);
	curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long) len);
	if (curl_multi_add_handle(loop->multi, slot->easy) != CURLM_OK)
		die("could not start a request");
}

static void
finish(Loop *loop, Slot *slot, CURLcode code)
{
	const Options *options = loop->options;
	int64_t now = now_us();
	long status = 0;

	curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK || status != 200 || strstr(slot->answer, "\"wamid.") == NULL)
	{
		if (loop->failed++ == 0)
			snprintf(loop->first_error, sizeof(loop->first_error), "HTTP %ld, %s", status,
					 slot->error[0] != '\0' ? slot->error : curl_easy_strerror(code));
	}
	loop->finished++;
	if (loop->finished > options->warm_up)
		loop->latencies_us[loop->latency_count++] = (uint32_t) (now - slot->started_us);
	else if (loop->finished == options->warm_up)
	{
		loop->measured_from_us = now;
		loop->cpu_from_us = cpu_us();
	}
	curl_multi_remove_handle(loop->multi, slot->easy);
	if (loop->submitted < options->warm_up + options->requests)
		submit(loop, slot);
}

static void
collect(Loop *loop)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(loop->multi, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		char *slot;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
		finish(loop, (Slot *) slot, code);
	}
}

/* ---- the loop --------------------------------------------------------------- */

static void
apply_watches(Loop *loop)
{
	for (int i = 0; i < loop->dirty_count; i++)
	{
		int fd = loop->dirty[i];
		Watch *watch = &loop->watches[fd];
		struct epoll_event event = {.events = watch->wanted, .data.fd = fd};
		int operation;

		watch->dirty = false;
		if (watch->wanted == watch->registered)
			continue;
		if (watch->wanted == 0)
			operation = EPOLL_CTL_DEL;
		else
			operation = watch->registered == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
		if (epoll_ctl(loop->epoll_fd, operation, fd, &event) < 0)
			die("could not change an epoll registration");
		watch->registered = watch->wanted;
	}
	loop->dirty_count = 0;
}

static void
run(Loop *loop)
{
	const Options *options = loop->options;
	long total = options->warm_up + options->requests;
	int64_t give_up_us = now_us() + (int64_t) options->time_limit_s * 1000000;
	struct epoll_event events[EVENTS_PER_WAIT];
	int running;

	if (options->warm_up == 0)
	{
		loop->measured_from_us = now_us();
		loop->cpu_from_us = cpu_us();
	}
	for (int i = 0; i < options->in_flight && loop->submitted < total; i++)
		submit(loop, &loop->slots[i]);

	while (loop->finished < total)
	{
		int64_t now = now_us();
		int timeout_ms = 1000;
		int count;

		if (now > give_up_us)
			die("the time limit has passed");
		if (loop->timer_us >= 0 && loop->timer_us <= now)
		{
			loop->timer_us = -1;
			curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
			collect(loop);
			continue;
		}
		apply_watches(loop);
		if (loop->timer_us >= 0 && loop->timer_us - now < 1000000)
			timeout_ms = (int) ((loop->timer_us - now + 999) / 1000);
		count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_WAIT, timeout_ms);
		if (count < 0 && errno != EINTR)
			die("could not wait");
		for (int i = 0; i < count; i++)
		{
			int what = 0;

			if (events[i].events & EPOLLIN)
				what |= CURL_CSELECT_IN;
			if (events[i].events & EPOLLOUT)
				what |= CURL_CSELECT_OUT;
			if (events[i].events & (EPOLLERR | EPOLLHUP))
				what |= CURL_CSELECT_ERR;
			curl_multi_socket_action(loop->multi, events[i].data.fd, what, &running);
		}
		collect(loop);
	}
}

/* ---- options and report ------------------------------------------------------ */

static int
compare_latency(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *) a;
	uint32_t right = *(const uint32_t *) b;

	return (left > right) - (left < right);
}

static void
report(Loop *loop)
{
	double seconds = (now_us() - loop->measured_from_us) / 1e6;
	double cpu = (double) (cpu_us() - loop->cpu_from_us);
	long requests = loop->latency_count;

	qsort(loop->latencies_us, requests, sizeof(uint32_t), compare_latency);
	printf("requests=%ld seconds=%.3f rate=%.0f cpu_us=%.2f p50_ms=%.3f p99_ms=%.3f "
		   "failed=%ld connections=%d body_bytes=%.0f\n",
		   requests, seconds, requests / seconds, cpu / requests,
		   loop->latencies_us[requests / 2] / 1e3, loop->latencies_us[requests * 99 / 100] / 1e3,
		   loop->failed, loop->connections_opened, (double) loop->body_bytes / loop->submitted);
	if (loop->failed > 0)
		fprintf(stderr, "bare_loop: first failure: %s\n", loop->first_error);
}

static void
usage(void)
{
	fprintf(stderr, "usage: bare_loop --url URL [--requests N] [--warm-up N] [--in-flight N]\n"
					"       [--max-connections N] [--h2] [--ca-file FILE] [--numbers N]\n"
					"       [--payload JSON] [--time-limit SECONDS]\n");
	exit(2);
}

static long
number_argument(const char *text, long min, long max)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < min || value > max)
	{
		fprintf(stderr, "bare_loop: \"%s\" is not a number from %ld to %ld\n", text, min, max);
		exit(2);
	}
	return value;
}

static void
parse_options(Options *options, int argc, char **argv)
{
	static const struct option names[] = {{"ca-file", required_argument, NULL, 'c'},
										  {"h2", no_argument, NULL, '2'},
										  {"in-flight", required_argument, NULL, 'i'},
										  {"max-connections", required_argument, NULL, 'm'},
										  {"numbers", required_argument, NULL, 'n'},
										  {"payload", required_argument, NULL, 'p'},
										  {"requests", required_argument, NULL, 'r'},
										  {"time-limit", required_argument, NULL, 't'},
										  {"url", required_argument, NULL, 'u'},
										  {"warm-up", required_argument, NULL, 'w'},
										  {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
	{
		switch (option)
		{
			case 'c':
				options->ca_file = optarg;
				break;
			case '2':
				options->h2 = true;
				break;
			case 'i':
				options->in_flight = (int) number_argument(optarg, 1, 10000);
				break;
			case 'm':
				options->max_connections = (int) number_argument(optarg, 1, 10000);
				break;
			case 'n':
				options->numbers = (int) number_argument(optarg, 1, 99999);
				break;
			case 'p':
				options->payload = optarg;
				break;
			case 'r':
				options->requests = number_argument(optarg, 1, 100000000);
				break;
			case 't':
				options->time_limit_s = (int) number_argument(optarg, 1, 3600);
				break;
			case 'u':
				options->url = optarg;
				break;
			case 'w':
				options->warm_up = number_argument(optarg, 0, 10000000);
				break;
			default:
				usage();
		}
	}
	if (options->url == NULL || optind != argc)
		usage();
	if (options->max_connections == 0)
		options->max_connections =
			options->h2 ? (options->in_flight + STREAMS_PER_CONNECTION - 1) / STREAMS_PER_CONNECTION
						: options->in_flight;
}

int
main(int argc, char **argv)
{
	Options options = {.payload = default_payload,
					   .in_flight = 64,
					   .numbers = 120,
					   .requests = 100000,
					   .warm_up = 0,
					   .time_limit_s = 300};
	Loop *loop = must(calloc(1, sizeof(Loop)));
	long failed;
	static const char *headers[] = {"Content-Type: application/json",
									"Authorization: Bearer EAATESTTOKEN", "Expect:", NULL};

	parse_options(&options, argc, argv);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		die("could not initialise libcurl");
	loop->options = &options;
	loop->timer_us = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		die("could not create an epoll descriptor");
	loop->latencies_us = must(calloc(options.requests, sizeof(uint32_t)));
	for (int i = 0; headers[i] != NULL; i++)
		loop->headers = must(curl_slist_append(loop->headers, headers[i]));

	loop->multi = must(curl_multi_init());
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
	curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, (long) options.in_flight);
	curl_multi_setopt(loop->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long) options.max_connections);

	loop->slots = must(calloc(options.in_flight, sizeof(Slot)));
	for (int i = 0; i < options.in_flight; i++)
		set_up_slot(loop, &loop->slots[i], i);
	run(loop);
	report(loop);

	for (int i = 0; i < options.in_flight; i++)
	{
		curl_easy_cleanup(loop->slots[i].easy);
		curl_url_cleanup(loop->slots[i].url);
	}
	curl_multi_cleanup(loop->multi);
	curl_slist_free_all(loop->headers);
	curl_global_cleanup();
	free(loop->slots);
	free(loop->latencies_us);
	close(loop->epoll_fd);
	failed = loop->failed;
	free(loop);
	return failed > 0 ? 1 : 0;
}
