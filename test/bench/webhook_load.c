/*
 * webhook_load.c
 *	  What Meta does to a gateway: a status in a request, over many connections.
 *
 * Reads messages from standard input, a line "ID WAMID NUMBER RECIPIENT" for each, and
 * posts their statuses to http://127.0.0.1:PORT/webhook: sent; when that was answered with 200,
 * delivered; then read.  Each request is signed, names its customer in
 * contacts[], and waits its turn behind those of the other messages, so that the
 * statuses of one message are as far apart as the others are many.  What was
 * answered with anything else is sent again, and counted.
 *
 * With --rate requests are due at fixed times, and what is measured runs from then,
 * whether a connection was free or not.  Without, each connection posts the next one
 * when it has its response.  With --stream, posting begins while messages are
 * still coming in.
 *
 * Beside these, --idle connections are open and send nothing, and --slow ones send
 * a header, a byte now and then.  Those that the gateway closes are opened again.
 *
 * Prints one line of key=value pairs.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define STEPS 3
#define MAX_BODY 2048
#define MAX_RESPONSE 4096
#define SLOW_PAUSE_US 1000000

static const char *const step_names[STEPS] = {"sent", "delivered", "read"};

typedef struct Options
{
	int port;
	int connections;
	int idle;
	int slow;
	double rate; /* requests a second; 0: as fast as they are answered */
	double time_limit;
	bool stream;
	const char *secret;
	const char *installation;
} Options;

typedef struct Message
{
	int step; /* the next one to be posted */
	char *requests[STEPS];
} Message;

typedef enum Role
{
	POSTING,
	IDLE,
	SLOW
} Role;

typedef struct Peer
{
	Role role;
	int fd;
	Message *message; /* whose response is awaited; NULL: free */
	int64_t since_us;
	size_t sent; /* of a slow one */
	size_t len;
	char response[MAX_RESPONSE + 1];
} Peer;

static Options options = {.connections = 64, .time_limit = 300, .secret = "benchmark-secret"};

static int epoll_fd;
static int timer_fd;
static Peer *peers;
static int npeers;
static Peer **free_peers;
static int nfree;

/* Messages whose next step is to be posted: a ring of those that exist. */
static Message **queue;
static size_t queue_size;
static size_t queue_head;
static size_t queue_len;
static size_t unfinished;
static bool at_end; /* of the input */

static int64_t *latencies;
static size_t nlatencies;
static size_t latencies_size;
static uint64_t refused;
static uint64_t reopened;
static int64_t start_us;
static int64_t end_us;
static uint64_t ndue; /* requests that --rate has let go */

static void
die(const char *what)
{
	fprintf(stderr, "webhook_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void *
grow(void *p, size_t *size, size_t item)
{
	*size = *size == 0 ? 1024 : *size * 2;
	p = realloc(p, *size * item);
	if (p == NULL)
		die("memory");
	return p;
}

/*
 * Messages
 */

static void
enqueue(Message *message)
{
	if (queue_len == queue_size)
	{
		size_t old = queue_size;

		queue = grow(queue, &queue_size, sizeof(Message *));
		memmove(queue + queue_head + queue_size - old, queue + queue_head,
				(old - queue_head) * sizeof(Message *));
		queue_head += queue_len > 0 ? queue_size - old : 0;
	}
	queue[(queue_head + queue_len++) % queue_size] = message;
}

static Message *
dequeue(void)
{
	Message *message = queue[queue_head];

	queue_head = (queue_head + 1) % queue_size;
	queue_len--;
	return message;
}

static char *
build_request(const char *id, const char *wamid, const char *number, const char *recipient,
			  int step)
{
	unsigned char digest[32];
	char hex[65];
	char body[MAX_BODY];
	char *request;
	int len;

	len = snprintf(
		body, sizeof(body),
		"{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"300000000000001\","
		"\"changes\":[{\"value\":{\"messaging_product\":\"whatsapp\",\"metadata\":{"
		"\"display_phone_number\":\"34910000000\",\"phone_number_id\":\"%s\"},"
		"\"contacts\":[{\"profile\":{\"name\":\"Harinas "
		"%s\"},\"wa_id\":\"%s\",\"user_id\":\"ES.%s\"}],"
		"\"statuses\":[{\"id\":\"%s\",\"status\":\"%s\",\"timestamp\":\"%lld\","
		"\"recipient_id\":\"%s\",\"recipient_user_id\":\"ES.%s\","
		"\"biz_opaque_callback_data\":\"wa1:%s:%s:1\"%s}]},\"field\":\"messages\"}]}]}",
		number, recipient, recipient, recipient, wamid, step_names[step],
		(long long) time(NULL) - STEPS + step, recipient, recipient, options.installation, id,
		step < 2 ? ",\"pricing\":{\"billable\":true,\"pricing_model\":\"PMP\",\"type\":\"regular\","
				   "\"category\":\"utility\"}"
				 : "");
	gnutls_hmac_fast(GNUTLS_MAC_SHA256, options.secret, strlen(options.secret), body, (size_t) len,
					 digest);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	if (asprintf(&request,
				 "POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: facebookexternalua\r\n"
				 "Content-Type: application/json\r\nX-Hub-Signature-256: sha256=%s\r\n"
				 "Content-Length: %d\r\n\r\n%s",
				 hex, len, body) < 0)
		die("memory");
	return request;
}

static void
take_line(const char *line)
{
	char id[32], wamid[256], number[32], recipient[32];
	Message *message;

	if (sscanf(line, "%31s %255s %31s %31s", id, wamid, number, recipient) != 4)
		return;
	message = calloc(1, sizeof(Message));
	for (int i = 0; i < STEPS; i++)
		message->requests[i] = build_request(id, wamid, number, recipient, i);
	unfinished++;
	enqueue(message);
}

/* All that can be read now. */
static void
read_input(void)
{
	static char buffer[65536];
	static size_t len;
	ssize_t n;

	while ((n = read(STDIN_FILENO, buffer + len, sizeof(buffer) - 1 - len)) > 0)
	{
		char *line = buffer;
		char *end;

		len += (size_t) n;
		buffer[len] = '\0';
		while ((end = strchr(line, '\n')) != NULL)
		{
			*end = '\0';
			take_line(line);
			line = end + 1;
		}
		len -= (size_t) (line - buffer);
		memmove(buffer, line, len);
	}
	if (n == 0)
		at_end = true;
	else if (errno != EAGAIN)
		die("standard input");
}

/*
 * Connections
 */

static void
open_peer(Peer *peer)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_port = htons((uint16_t) options.port),
								  .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
	int on = 1;

	peer->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (peer->fd < 0 || connect(peer->fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		die("connect");
	setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fcntl(peer->fd, F_SETFL, O_NONBLOCK);
	peer->len = peer->sent = 0;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, peer->fd, &event) != 0)
		die("epoll_ctl");
}

static void
open_peers(Role role, int n)
{
	for (int i = 0; i < n; i++)
	{
		Peer *peer = &peers[npeers++];

		peer->role = role;
		open_peer(peer);
		if (role == POSTING)
			free_peers[nfree++] = peer;
	}
}

/* What was on its way is sent again; that is what Meta does, too. */
static void
reopen(Peer *peer)
{
	close(peer->fd);
	reopened++;
	if (peer->message != NULL)
	{
		refused++;
		enqueue(peer->message);
		peer->message = NULL;
		free_peers[nfree++] = peer;
	}
	open_peer(peer);
}

static void
post(Peer *peer, int64_t since_us)
{
	Message *message = dequeue();
	const char *request = message->requests[message->step];
	size_t len = strlen(request);

	peer->message = message;
	peer->since_us = since_us;
	peer->len = 0;
	/* A kilobyte fits into an empty socket buffer. */
	if (send(peer->fd, request, len, MSG_NOSIGNAL) != (ssize_t) len)
		reopen(peer);
}

/* Each next request of a slow one is a byte of a header, once a second. */
static void
crawl(int64_t now)
{
	static const char head[] = "POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ";

	for (int i = 0; i < npeers; i++)
	{
		Peer *peer = &peers[i];

		if (peer->role != SLOW || now < peer->since_us)
			continue;
		peer->since_us = now + SLOW_PAUSE_US;
		if (send(peer->fd, peer->sent < sizeof(head) - 1 ? head + peer->sent : "x", 1,
				 MSG_NOSIGNAL) != 1)
			reopen(peer);
		else
			peer->sent++;
	}
}

static void
note_latency(int64_t us)
{
	if (nlatencies == latencies_size)
		latencies = grow(latencies, &latencies_size, sizeof(int64_t));
	latencies[nlatencies++] = us;
}

static void
answered(Peer *peer, int status)
{
	Message *message = peer->message;

	peer->message = NULL;
	free_peers[nfree++] = peer;
	end_us = now_us();
	if (status != 200)
	{
		refused++;
		enqueue(message);
		return;
	}
	note_latency(end_us - peer->since_us);
	free(message->requests[message->step]);
	if (++message->step < STEPS)
		enqueue(message);
	else
	{
		free(message);
		unfinished--;
	}
}

/* Whether the response is whole; its status. */
static int
response_status(Peer *peer)
{
	char *end = strstr(peer->response, "\r\n\r\n");
	char *length;

	if (end == NULL)
		return 0;
	length = strcasestr(peer->response, "\r\nContent-Length:");
	if (length != NULL && length < end &&
		peer->len < (size_t) (end + 4 - peer->response) + strtoul(length + 17, NULL, 10))
		return 0;
	return atoi(peer->response + strlen("HTTP/1.1 "));
}

static void
receive(Peer *peer)
{
	ssize_t n = recv(peer->fd, peer->response + peer->len, MAX_RESPONSE - peer->len, 0);
	int status;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
	{
		reopen(peer);
		return;
	}
	peer->len += (size_t) n;
	peer->response[peer->len] = '\0';
	status = response_status(peer);
	if (status != 0 && peer->message != NULL)
		answered(peer, status);
	else if (peer->len == MAX_RESPONSE)
		peer->len = 0;
}

/*
 * The loop
 */

/* When the next request is due. */
static int64_t
due_us(void)
{
	return start_us + (int64_t) ((double) ndue * 1e6 / options.rate);
}

static void
post_what_is_due(void)
{
	while (nfree > 0 && queue_len > 0)
	{
		int64_t since = now_us();

		if (options.rate > 0)
		{
			if (due_us() > since)
				break;
			since = due_us();
			ndue++;
		}
		post(free_peers[--nfree], since);
	}
}

static void
set_timer(int64_t at_us)
{
	struct itimerspec spec = {.it_value = {at_us / 1000000, at_us % 1000000 * 1000}};

	timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void
run(void)
{
	static struct epoll_event events[512];
	int64_t next_crawl = now_us();

	start_us = now_us();
	end_us = start_us;
	while (unfinished > 0 || !at_end)
	{
		int64_t now;
		int n;

		post_what_is_due();
		if (options.rate > 0 && queue_len > 0 && nfree > 0)
			set_timer(due_us());
		n = epoll_wait(epoll_fd, events, 512, 100);
		for (int i = 0; i < n; i++)
		{
			uint64_t ticks;

			if (events[i].data.ptr == NULL)
				read_input();
			else if (events[i].data.ptr == &timer_fd)
			{
				if (read(timer_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
					die("timer");
			}
			else
				receive(events[i].data.ptr);
		}
		if (at_end && options.stream)
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		now = now_us();
		if (options.slow > 0 && now >= next_crawl)
		{
			crawl(now);
			next_crawl = now + SLOW_PAUSE_US / 10;
		}
		if ((double) (now - start_us) > options.time_limit * 1e6)
		{
			errno = ETIMEDOUT;
			die("statuses are left");
		}
	}
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a;
	int64_t y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

static double
quantile_ms(double q)
{
	return nlatencies == 0 ? 0
						   : (double) latencies[(size_t) (q * (double) (nlatencies - 1))] / 1000;
}

static void
print_result(void)
{
	double seconds = (double) (end_us - start_us) / 1e6;

	qsort(latencies, nlatencies, sizeof(int64_t), compare);
	printf("requests=%zu refused=%" PRIu64 " reopened=%" PRIu64
		   " seconds=%.3f rate=%.1f p50_ms=%.3f p99_ms=%.3f max_ms=%.3f\n",
		   nlatencies, refused, reopened, seconds, (double) nlatencies / seconds, quantile_ms(0.5),
		   quantile_ms(0.99), quantile_ms(1));
}

static void
read_options(int argc, char **argv)
{
	static const struct option longs[] = {{"port", 1, NULL, 'p'},	{"connections", 1, NULL, 'c'},
										  {"idle", 1, NULL, 'i'},	{"slow", 1, NULL, 's'},
										  {"rate", 1, NULL, 'r'},	{"time-limit", 1, NULL, 't'},
										  {"stream", 0, NULL, 'm'}, {"installation", 1, NULL, 'n'},
										  {"secret", 1, NULL, 'k'}, {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
	{
		switch (c)
		{
			case 'p':
				options.port = atoi(optarg);
				break;
			case 'c':
				options.connections = atoi(optarg);
				break;
			case 'i':
				options.idle = atoi(optarg);
				break;
			case 's':
				options.slow = atoi(optarg);
				break;
			case 'r':
				options.rate = atof(optarg);
				break;
			case 't':
				options.time_limit = atof(optarg);
				break;
			case 'm':
				options.stream = true;
				break;
			case 'n':
				options.installation = optarg;
				break;
			case 'k':
				options.secret = optarg;
				break;
			default:
				exit(2);
		}
	}
	if (options.port == 0 || options.installation == NULL)
	{
		fprintf(stderr, "webhook_load: --port and --installation are required\n");
		exit(2);
	}
}

static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
	struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
	struct epoll_event timer = {.events = EPOLLIN, .data.ptr = &timer_fd};
	size_t n;

	read_options(argc, argv);
	raise_descriptor_limit();
	epoll_fd = epoll_create1(0);
	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &timer);
	n = (size_t) (options.connections + options.idle + options.slow);
	peers = calloc(n, sizeof(Peer));
	free_peers = calloc((size_t) options.connections, sizeof(Peer *));
	if (!options.stream)
		while (!at_end)
			read_input();
	else
	{
		fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
			die("--stream wants a pipe");
	}
	open_peers(IDLE, options.idle);
	open_peers(SLOW, options.slow);
	open_peers(POSTING, options.connections);
	run();
	print_result();
	return 0;
}
