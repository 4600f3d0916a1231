/*
 * latency.c
 *	  How long a message takes from its COMMIT to the first byte of its request.
 *
 * One process is both the application and the Graph API, so that every time is
 * read from one clock.  The main thread enqueues a message, notes the time right
 * before it sends COMMIT and right after COMMIT has returned, and waits until
 * the server thread has seen the message arrive.  The server thread notes the
 * time at which the first bytes of a request can be read, before it reads them.
 * With --background, a second connection enqueues at a steady rate for other
 * tenants meanwhile; the longest time without a request then shows how long the
 * sender has stood still.  Requests of the number named by --hang get no response.
 *
 * The message is recognised by its id in biz_opaque_callback_data.  One message
 * is under way at a time, so what is measured is latency and not throughput.
 */
#define _GNU_SOURCE
#include <libpq-fe.h>

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 256
#define REQUEST_SIZE 16384
#define ARRIVAL_LIMIT_S 20

typedef struct Options
{
	const char *conninfo;
	const char *template_name;
	const char *parameters;
	int port;
	int count;
	int pause_ms;
	double background; /* messages per second */
	const char *hang;  /* phone_number_id whose requests are never answered; or NULL */
	int tenants;	   /* named bench-1, bench-2 ...; the first is the measured one */
} Options;

typedef struct Peer
{
	int fd;
	size_t len;
	int64_t first_byte_us;
	char data[REQUEST_SIZE + 1];
} Peer;

/* What the threads share; guarded by lock unless atomic. */
typedef struct Shared
{
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	int64_t awaited_id; /* 0: none */
	int64_t awaited_first_byte_us;
	/* The last ids seen, for a request that is quicker than the return of COMMIT. */
	int64_t recent_id[1024];
	int64_t recent_us[1024];
	unsigned recent_next;
	atomic_bool stop;
	atomic_bool measuring;
	atomic_long requests;
	atomic_long background_sent;
	/* The server thread's own, until it has ended. */
	int64_t last_request_us;
	int64_t longest_gap_us;
} Shared;

static Options options = {.template_name = "pedido_proveedor",
						  .parameters = "[\"Harinas del Norte\",\"PO-2026-000123\","
										"\"1.234,50 \u20ac\",\"3 de diciembre\"]",
						  .count = 500,
						  .pause_ms = 20,
						  .tenants = 10};
static Shared shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
sleep_us(int64_t us)
{
	struct timespec pause = {us / 1000000, us % 1000000 * 1000};

	while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
		;
}

static void
die(const char *what, const char *detail)
{
	fprintf(stderr, "latency: %s%s%s\n", what, detail[0] != '\0' ? ": " : "", detail);
	exit(1);
}

/* ---- the server thread ----------------------------------------------------- */

static void
note_arrival(int64_t id, int64_t first_byte_us)
{
	pthread_mutex_lock(&shared.lock);
	shared.recent_id[shared.recent_next % 1024] = id;
	shared.recent_us[shared.recent_next % 1024] = first_byte_us;
	shared.recent_next++;
	if (shared.awaited_id == id)
		pthread_cond_signal(&shared.arrived);
	pthread_mutex_unlock(&shared.lock);
}

/* The message id of "wa1:<installation>:<id>:<attempt>", 0 if there is none. */
static int64_t
message_id(const char *body)
{
	const char *opaque = strstr(body, "\"wa1:");
	const char *id;

	if (opaque == NULL || (id = strchr(opaque + 5, ':')) == NULL)
		return 0;
	return strtoll(id + 1, NULL, 10);
}

/* How long the sender has sent nothing to anybody, while it had something to send. */
static void
note_gap(int64_t request_us)
{
	if (!atomic_load(&shared.measuring))
		return;
	if (request_us - shared.last_request_us > shared.longest_gap_us)
		shared.longest_gap_us = request_us - shared.last_request_us;
	shared.last_request_us = request_us;
}

/* Whether the request, whose first line is "POST /version/phone_number_id/messages", hangs. */
static bool
hangs(const char *request)
{
	const char *number = options.hang != NULL ? strstr(request, options.hang) : NULL;

	return number != NULL && number < strchr(request, '\r');
}

/*
 * Answers one request if it is complete, and says how many bytes it took.
 */
static size_t
answer(Peer *peer)
{
	char *end;
	char *length;
	size_t head;
	size_t total;
	char body[256];
	char reply[512];
	int body_len;
	int len;
	char kept;

	peer->data[peer->len] = '\0';
	end = strstr(peer->data, "\r\n\r\n");
	if (end == NULL)
		return 0;
	head = end + 4 - peer->data;
	length = strcasestr(peer->data, "\r\ncontent-length:");
	total = head + (length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0);
	if (total > REQUEST_SIZE)
		die("a request is too long", "");
	if (peer->len < total)
		return 0;

	kept = peer->data[total];
	peer->data[total] = '\0';
	if (strncmp(peer->data, "POST ", 5) == 0)
	{
		long serial = atomic_fetch_add(&shared.requests, 1);
		int64_t id = message_id(peer->data + head);

		if (hangs(peer->data))
		{
			peer->data[total] = kept;
			return total;
		}
		note_gap(peer->first_byte_us);
		if (id != 0)
			note_arrival(id, peer->first_byte_us);
		body_len = snprintf(body, sizeof(body),
							"{\"messaging_product\":\"whatsapp\",\"contacts\":[{\"input\":"
							"\"+34600000001\",\"wa_id\":\"34600000001\"}],\"messages\":[{\"id\":"
							"\"wamid.LATENCY%ld\"}]}",
							serial);
	}
	else
		body_len = snprintf(body, sizeof(body), "{\"data\":[]}");
	peer->data[total] = kept;

	len = snprintf(reply, sizeof(reply),
				   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
				   "Content-Length: %d\r\n\r\n%s",
				   body_len, body);
	if (send(peer->fd, reply, len, MSG_NOSIGNAL) != len)
		return SIZE_MAX;
	return total;
}

/* False when the peer has gone. */
static bool
read_peer(Peer *peer, int64_t readable_us)
{
	ssize_t got;

	if (peer->len == 0)
		peer->first_byte_us = readable_us;
	got = recv(peer->fd, peer->data + peer->len, REQUEST_SIZE - peer->len, 0);
	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR);
	peer->len += got;
	for (;;)
	{
		size_t taken = answer(peer);

		if (taken == SIZE_MAX)
			return false;
		if (taken == 0)
			return true;
		memmove(peer->data, peer->data + taken, peer->len - taken);
		peer->len -= taken;
		if (peer->len == 0)
			return true;
		peer->first_byte_us = readable_us;
	}
}

static void *
serve(void *arg)
{
	int listener = *(int *) arg;
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	struct epoll_event events[64];
	int peers = 0;

	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
		die("could not set up the server", strerror(errno));
	while (!atomic_load(&shared.stop))
	{
		int count = epoll_wait(epoll_fd, events, 64, 100);
		int64_t readable_us = now_us();

		for (int i = 0; i < count; i++)
		{
			Peer *peer = events[i].data.ptr;
			int on = 1;

			if (peer == NULL)
			{
				int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

				if (fd < 0)
					continue;
				if (++peers > MAX_CONNECTIONS || (peer = calloc(1, sizeof(Peer))) == NULL)
					die("too many connections", "");
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
				peer->fd = fd;
				event.data.ptr = peer;
				if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
					die("could not watch a connection", strerror(errno));
			}
			else if (!read_peer(peer, readable_us))
			{
				close(peer->fd);
				free(peer);
				peers--;
			}
		}
	}
	close(epoll_fd);
	return NULL;
}

static int
listen_on(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 128) < 0)
		die("could not listen", strerror(errno));
	return fd;
}

/* ---- the application ----------------------------------------------------------- */

static void
check(PGconn *conn, PGresult *result, ExecStatusType wanted)
{
	if (PQresultStatus(result) != wanted)
		die("a query failed", PQerrorMessage(conn));
}

static PGconn *
connect_application(void)
{
	PGconn *conn = PQconnectdb(options.conninfo);
	PGresult *result;

	if (PQstatus(conn) != CONNECTION_OK)
		die("could not connect", PQerrorMessage(conn));
	result = PQprepare(conn, "enqueue",
					   "SELECT wa_enqueue_message(tenant_id => $1::text, recipient_phone => $2, "
					   "template_name => $3, parameters => $4::jsonb)",
					   4, NULL);
	check(conn, result, PGRES_COMMAND_OK);
	PQclear(result);
	return conn;
}

static int64_t
enqueue(PGconn *conn, int tenant, int recipient)
{
	char tenant_id[32];
	char phone[32];
	const char *values[4] = {tenant_id, phone, options.template_name, options.parameters};
	PGresult *result;
	int64_t id;

	snprintf(tenant_id, sizeof(tenant_id), "bench-%d", tenant);
	snprintf(phone, sizeof(phone), "+346%02d%06d", tenant % 100, recipient % 1000000);
	result = PQexecPrepared(conn, "enqueue", 4, values, NULL, NULL, 0);
	check(conn, result, PGRES_TUPLES_OK);
	id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return id;
}

static void
command(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	check(conn, result, PGRES_COMMAND_OK);
	PQclear(result);
}

static void *
send_background(void *arg)
{
	PGconn *conn = connect_application();
	int64_t interval_us = (int64_t) (1e6 / options.background);
	int64_t next_us = now_us();
	int serial = 0;

	while (!atomic_load(&shared.stop))
	{
		int64_t now = now_us();

		if (now < next_us)
		{
			sleep_us(next_us - now);
			continue;
		}
		/* Tenants 2 and up; each in turn, so that no number's rate is reached. */
		enqueue(conn, 2 + serial % (options.tenants - 1), serial);
		atomic_fetch_add(&shared.background_sent, 1);
		serial++;
		next_us += interval_us;
	}
	PQfinish(conn);
	return NULL;
}

/* Waits for the request of this message; the time its first byte could be read, 0: it never came.
 */
static int64_t
await_arrival(int64_t id)
{
	struct timespec limit;
	int64_t found = 0;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += ARRIVAL_LIMIT_S;
	pthread_mutex_lock(&shared.lock);
	shared.awaited_id = id;
	for (;;)
	{
		for (int i = 0; i < 1024 && found == 0; i++)
		{
			if (shared.recent_id[i] == id)
				found = shared.recent_us[i];
		}
		if (found != 0)
			break;
		if (pthread_cond_timedwait(&shared.arrived, &shared.lock, &limit) == ETIMEDOUT)
			break;
	}
	shared.awaited_id = 0;
	pthread_mutex_unlock(&shared.lock);
	return found;
}

/* ---- report ------------------------------------------------------------------------ */

static int
compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *) a;
	int64_t right = *(const int64_t *) b;

	return (left > right) - (left < right);
}

static double
percentile_ms(int64_t *sorted, int count, int percent)
{
	return sorted[(count - 1) * percent / 100] / 1e3;
}

static void
parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{"background", required_argument, NULL, 'b'}, {"conninfo", required_argument, NULL, 'c'},
		{"count", required_argument, NULL, 'n'},	  {"hang", required_argument, NULL, 'h'},
		{"pause-ms", required_argument, NULL, 's'},	  {"port", required_argument, NULL, 'p'},
		{"tenants", required_argument, NULL, 't'},	  {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
	{
		switch (option)
		{
			case 'b':
				options.background = atof(optarg);
				break;
			case 'c':
				options.conninfo = optarg;
				break;
			case 'h':
				options.hang = optarg;
				break;
			case 'n':
				options.count = atoi(optarg);
				break;
			case 'p':
				options.port = atoi(optarg);
				break;
			case 's':
				options.pause_ms = atoi(optarg);
				break;
			case 't':
				options.tenants = atoi(optarg);
				break;
			default:
				exit(2);
		}
	}
	if (options.conninfo == NULL || options.port <= 0 || options.count <= 0 ||
		options.background < 0 || options.pause_ms < 0 || options.tenants < 2)
	{
		fprintf(stderr, "usage: latency --conninfo TEXT --port N [--count N] [--pause-ms N]\n"
						"       [--background PER_SECOND] [--tenants N] [--hang NUMBER]\n");
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	pthread_t server;
	pthread_t background;
	PGconn *conn;
	int64_t *before;
	int64_t *after;
	int listener;
	long background_sent;
	int64_t ended_us;
	bool works;

	parse_options(argc, argv);
	before = calloc(options.count, sizeof(int64_t));
	after = calloc(options.count, sizeof(int64_t));
	if (before == NULL || after == NULL)
		die("out of memory", "");
	listener = listen_on(options.port);
	if (pthread_create(&server, NULL, serve, &listener) != 0)
		die("could not start a thread", "");
	conn = connect_application();

	/* The first message pays for connections and plans on both sides. */
	shared.last_request_us = now_us();
	works = await_arrival(enqueue(conn, 1, 0)) != 0;
	if (!works)
	{
		before[0] = after[0] = ARRIVAL_LIMIT_S * INT64_C(1000000);
		options.count = 1;
	}
	if (options.background > 0 && pthread_create(&background, NULL, send_background, NULL) != 0)
		die("could not start a thread", "");
	if (works)
		shared.last_request_us = now_us();
	atomic_store(&shared.measuring, options.background > 0);
	for (int i = 0; works && i < options.count; i++)
	{
		int64_t id;
		int64_t arrived_us;
		int64_t begun_us;
		int64_t done_us;

		/* Not in step with anything: between a half and one and a half of the pause. */
		sleep_us(options.pause_ms * (500 + rand() % 1000));
		command(conn, "BEGIN");
		id = enqueue(conn, 1, i + 1);
		begun_us = now_us();
		command(conn, "COMMIT");
		done_us = now_us();
		arrived_us = await_arrival(id);
		if (arrived_us == 0)
		{
			/* It counts with the time waited, and there is no point in sending more. */
			arrived_us = now_us();
			options.count = i + 1;
		}
		before[i] = arrived_us - begun_us;
		after[i] = arrived_us > done_us ? arrived_us - done_us : 0;
	}
	/* Whoever ends now may take his time: that is not the sender's. */
	ended_us = now_us();
	background_sent = atomic_load(&shared.background_sent);
	atomic_store(&shared.measuring, false);
	atomic_store(&shared.stop, true);
	if (options.background > 0)
		pthread_join(background, NULL);
	pthread_join(server, NULL);
	if (options.background > 0 && ended_us - shared.last_request_us > shared.longest_gap_us)
		shared.longest_gap_us = ended_us - shared.last_request_us;
	PQfinish(conn);
	close(listener);

	qsort(before, options.count, sizeof(int64_t), compare);
	qsort(after, options.count, sizeof(int64_t), compare);
	printf("count=%d p50_ms=%.3f p99_ms=%.3f max_ms=%.3f p50_after_ms=%.3f p99_after_ms=%.3f "
		   "background=%ld gap_ms=%.3f\n",
		   options.count, percentile_ms(before, options.count, 50),
		   percentile_ms(before, options.count, 99), percentile_ms(before, options.count, 100),
		   percentile_ms(after, options.count, 50), percentile_ms(after, options.count, 99),
		   background_sent, shared.longest_gap_us / 1e3);
	free(before);
	free(after);
	return 0;
}
