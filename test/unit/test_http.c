/*
 * The HTTP client when all is well: what is sent, what is read, how many
 * connections it takes, and that it sleeps while nothing happens.
 */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "certificate.h"
#include "client.h"
#include "server.h"
#include "tap.h"

/*
 * A handler's copy of the last request that it has read.
 */
static Request last_request;

static void
answer_all(Peer *peer, void *arg)
{
	Request request;

	while (peer_read_request(peer, &request))
	{
		last_request = request;
		peer_answer(peer, 200, arg != NULL ? (const char *) arg : "", "{\"ok\":true}");
	}
}

static void
answer_all_h2(Peer *peer, void *arg)
{
	uint32_t stream;

	if (!peer_h2_begin(peer))
		return;
	while ((stream = peer_h2_read_request(peer)) != 0)
		peer_h2_answer(peer, stream, "{\"ok\":true}", true);
}

static bool
was_sent(const char *text)
{
	return strcasestr(last_request.head, text) != NULL;
}

/*
 * Posts, expects an answer, and forgets it.
 */
static void
post_answered(WaHttp *http, const Server *server, const char *what)
{
	WaHttpResult *result = client_post(http, server_url(server), "/");

	ok(result->phase == WA_HTTP_ANSWERED && result->status == 200, "%s", what);
	wa_http_release(http, result);
}

/* ---- requests and answers ---- */

static void
test_request(void)
{
	WaHttp *http = client_create();
	Server *server = server_start(SERVER_PLAIN, answer_all,
								  "Content-Type: application/json; charset=UTF-8\r\n"
								  "facebook-api-version:v25.0\r\n"
								  "X-Business-Use-Case-Usage:  {\"1\":[{\"call_count\":85}]} \r\n"
								  "Retry-After: 17\r\n");
	char url[128];
	int tag;
	WaHttpResult *result;

	snprintf(url, sizeof(url), "%s/v25.0/1/messages", server_url(server));
	ok(wa_http_submit(http, url, "{\"a\":\"\xc3\xb1\"}", 10, NULL, &tag), "submitted");
	is_int(wa_http_in_flight(http), 1, "under way");
	result = client_wait(http);
	is_int(wa_http_in_flight(http), 0, "finished");

	ok(was_sent("POST /v25.0/1/messages HTTP/1.1\r\n"), "request line");
	ok(was_sent("\r\nAuthorization: Bearer first-token\r\n"), "token");
	ok(was_sent("\r\nContent-Type: application/json\r\n"), "content type");
	ok(was_sent("\r\nContent-Length: 10\r\n"), "length");
	ok(was_sent("\r\nUser-Agent: whatsapp_shared\r\n"), "who asks");
	ok(!was_sent("\r\nExpect:"), "no leave is asked for");
	ok(!was_sent("\r\nAccept-Encoding:"), "no compression is asked for");
	is_str(last_request.body, "{\"a\":\"\xc3\xb1\"}", "body");

	ok(result->tag == &tag, "the caller's tag");
	is_int(result->phase, WA_HTTP_ANSWERED, "answered");
	is_int(result->status, 200, "status");
	is_str(result->body, "{\"ok\":true}", "answer");
	is_int(result->body_len, 11, "its length");
	is_str(result->error, "", "no error");
	is_int(result->error_code, 0, "no error code");
	is_int(result->retry_after_s, 17, "Retry-After");
	is_str(result->api_version, "v25.0", "version");
	is_str(result->usage, "{\"1\":[{\"call_count\":85}]}", "usage");
	is_str(result->content_type, "application/json; charset=UTF-8", "content type");
	ok(result->started_us > 0 && result->finished_us >= result->started_us, "times");
	wa_http_release(http, result);

	/* the same handle, for a GET, another type of content, and back */
	ok(wa_http_submit(http, url, NULL, 0, NULL, NULL), "a GET");
	result = client_wait(http);
	is_int(result->status, 200, "answered");
	wa_http_release(http, result);
	ok(was_sent("GET /v25.0/1/messages HTTP/1.1\r\n"), "request line");
	ok(was_sent("\r\nAuthorization: Bearer first-token\r\n"), "token");
	ok(!was_sent("Content-"), "and no content");

	ok(wa_http_submit(http, url, "xyz", 3, "application/octet-stream", NULL), "another type");
	wa_http_release(http, client_wait(http));
	ok(was_sent("POST ") && was_sent("\r\nContent-Type: application/octet-stream\r\n"), "sent");
	is_str(last_request.body, "xyz", "its body");
	ok(wa_http_submit(http, url, "", 0, NULL, NULL), "an empty body");
	wa_http_release(http, client_wait(http));
	ok(was_sent("POST ") && was_sent("\r\nContent-Length: 0\r\n"), "sent");
	ok(was_sent("\r\nContent-Type: application/json\r\n"), "with the usual type again");

	is_int(server_connections(server), 1, "all over one connection");
	is_int(wa_http_connections(http), 1, "which is kept");
	wa_http_destroy(http);
	server_stop(server);
}

static void
test_bad_arguments(void)
{
	WaHttp *http = client_create();
	Server *server = server_start(SERVER_PLAIN, answer_all, NULL);

	ok(!wa_http_set_token(http, "a\r\nX-Other: b"), "a token with a line end");
	ok(!wa_http_submit(http, server_url(server), "", 0, "a\r\nX-Other: b", NULL),
	   "a content type with a line end");
	is_int(wa_http_in_flight(http), 0, "nothing was started");
	post_answered(http, server, "the client goes on");
	ok(was_sent("Bearer first-token\r\n"), "with the old token");
	ok(wa_http_set_token(http, "second-token"), "a new token");
	post_answered(http, server, "next");
	ok(was_sent("Bearer second-token\r\n"), "with the new token");
	ok(wa_http_set_token(http, NULL), "no token");
	post_answered(http, server, "next");
	ok(!was_sent("\r\nAuthorization:"), "without a token");
	wa_http_destroy(http);
	server_stop(server);
}

/*
 * A token that changes while requests are under way.
 */
static void
test_rotation(void)
{
	WaHttp *http = client_create();
	Server *server = server_start(SERVER_PLAIN, answer_all, NULL);

	ok(client_submit(http, server_url(server), "/", NULL), "submitted with the first token");
	ok(wa_http_set_token(http, "second-token"), "and then rotated");
	wa_http_release(http, client_wait(http));
	ok(was_sent("Bearer first-token\r\n"), "what was submitted keeps its token");
	post_answered(http, server, "the next");
	ok(was_sent("Bearer second-token\r\n"), "has the new one");
	wa_http_destroy(http);
	server_stop(server);
}

/* One answer after another from this list, each on the same connection. */
static const char *const odd_answers[] = {
	"HTTP/1.1 200 OK\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 429 No\r\nRetry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 429 No\r\nRetry-After: Fri, 01 Jan 1999 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 429 No\r\nretry-after:99999999999999999999\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 103 Early Hints\r\nRetry-After: 5\r\nfacebook-api-version: v1.0\r\n\r\n"
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
	"HTTP/1.1 200 OK\r\nfacebook-api-version: 0123456789abcdef\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
	"HTTP/1.1 204 No Content\r\n\r\n",
};

static void
answer_from_list(Peer *peer, void *arg)
{
	Request request;

	for (int i = 0; peer_read_request(peer, &request); i++)
		peer_print(peer, "%s", odd_answers[i]);
}

static void
test_odd_answers(void)
{
	WaHttp *http = client_create();
	Server *server = server_start(SERVER_PLAIN, answer_from_list, NULL);
	WaHttpResult *r[8];

	for (int i = 0; i < 8; i++)
	{
		r[i] = client_post(http, server_url(server), "/");
		ok(r[i]->phase == WA_HTTP_ANSWERED, "answer %d", i);
	}
	is_int(r[0]->retry_after_s, -1, "Retry-After that is neither number nor date");
	ok(r[1]->retry_after_s > 86400, "a date in the future");
	is_int(r[2]->retry_after_s, 0, "a date in the past");
	ok(r[3]->retry_after_s == -1 || r[3]->retry_after_s > 86400, "a number out of range");
	is_int(r[4]->status, 200, "an interim answer is none");
	is_int(r[4]->retry_after_s, -1, "nor are its headers");
	is_str(r[4]->api_version, "", "any of them");
	is_str(r[4]->body, "hi", "the answer comes after it");
	is_str(r[5]->api_version, "", "a value that does not fit is left out");
	is_str(r[6]->body, "hello!", "chunks");
	is_int(r[7]->status, 204, "no content");
	is_str(r[7]->body, "", "is an empty text");
	for (int i = 0; i < 8; i++)
		wa_http_release(http, r[i]);
	wa_http_destroy(http);
	server_stop(server);
}

/* ---- many at once ---- */

/*
 * Answers only when as many requests as this are on the wire together.
 */
typedef struct Gathering
{
	pthread_mutex_t lock;
	pthread_cond_t all_here;
	int expected;
	int here;
} Gathering;

static void
gather(Gathering *gathering)
{
	pthread_mutex_lock(&gathering->lock);
	if (++gathering->here >= gathering->expected)
		pthread_cond_broadcast(&gathering->all_here);
	while (gathering->here < gathering->expected)
		pthread_cond_wait(&gathering->all_here, &gathering->lock);
	pthread_mutex_unlock(&gathering->lock);
}

static void
answer_together(Peer *peer, void *arg)
{
	Request request;

	while (peer_read_request(peer, &request))
	{
		if (strstr(request.head, "/first ") == NULL)
			gather(arg);
		peer_answer(peer, 200, "", "{}");
	}
}

/*
 * The first connection takes one request and ends: the others come together
 * when there is none.
 */
static void
answer_together_h2(Peer *peer, void *arg)
{
	Gathering *gathering = arg;
	uint32_t streams[64];
	int count = 0;

	if (!peer_h2_begin(peer))
		return;
	while ((streams[count] = peer_h2_read_request(peer)) != 0)
	{
		if (peer_number(peer) == 0)
		{
			peer_h2_answer(peer, streams[0], "{}", true);
			return;
		}
		if (++count == gathering->expected)
		{
			while (count > 0)
				peer_h2_answer(peer, streams[--count], "{}", true);
		}
	}
}

static void
test_together(ServerKind kind, PeerHandler handler, int connections, int max_connections,
			  const char *what)
{
	Gathering gathering = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .all_here = PTHREAD_COND_INITIALIZER, .expected = 40};
	WaHttpConfig config = client_config();
	Server *server = server_start(kind, handler, &gathering);
	WaHttp *http;
	int answered = 0;

	config.max_connections = max_connections;
	http = client_create_with(&config);
	wa_http_release(http, client_post(http, server_url(server), "/first"));
	while (kind == SERVER_TLS_H2 && !server_all_closed(server))
		client_wait_ms(http, 1);
	for (int i = 0; i < 40; i++)
		client_submit(http, server_url(server), "/", NULL);
	for (int i = 0; i < 40; i++)
	{
		WaHttpResult *result = client_wait(http);

		answered += result->phase == WA_HTTP_ANSWERED;
		wa_http_release(http, result);
	}
	is_int(answered, 40, "%s: forty requests at once", what);
	is_int(wa_http_connections(http), connections, "over so many connections");
	wa_http_destroy(http);
	server_stop(server);
}

/*
 * More requests than connections: they wait their turn, also longer than a
 * timeout would be, and none opens a connection of its own.
 */
static void
answer_slowly(Peer *peer, void *arg)
{
	Request request;

	while (peer_read_request(peer, &request))
	{
		struct timespec pause = {0, 20 * 1000000};

		nanosleep(&pause, NULL);
		peer_answer(peer, 200, "", "{}");
	}
}

static void
test_waiting(void)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(SERVER_TLS, answer_slowly, NULL);
	WaHttp *http;
	int answered = 0;

	config.max_connections = 2;
	config.connect_timeout_ms = 300;
	config.request_timeout_ms = 400;
	http = client_create_with(&config);
	for (int i = 0; i < 60; i++)
		client_submit(http, server_url(server), "/", NULL);
	for (int i = 0; i < 60; i++)
	{
		WaHttpResult *result = client_wait(http);

		answered += result->phase == WA_HTTP_ANSWERED;
		wa_http_release(http, result);
	}
	is_int(answered, 60, "sixty requests over two connections, longer than a timeout");
	is_int(server_connections(server), 2, "two");
	wa_http_destroy(http);
	server_stop(server);
}

static void
test_limit(void)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(SERVER_PLAIN, answer_all, NULL);
	WaHttp *http;
	WaHttpResult *result;

	config.max_in_flight = 2;
	http = client_create_with(&config);
	ok(client_submit(http, server_url(server), "/", NULL), "one");
	ok(client_submit(http, server_url(server), "/", NULL), "two");
	ok(!client_submit(http, server_url(server), "/", NULL), "three are too many");
	result = client_wait(http);

	/* one result is fetched, the other may be there: nobody must sleep over it */
	while (wa_http_in_flight(http) > 0)
	{
		struct pollfd fd = {.fd = wa_http_epoll_fd(http), .events = POLLIN};

		poll(&fd, 1, (int) wa_http_timeout_ms(http));
		wa_http_step(http);
	}
	is_int(wa_http_timeout_ms(http), 0, "a result that nobody has fetched keeps the loop awake");
	ok(client_submit(http, server_url(server), "/", NULL), "until one has finished");
	wa_http_release(http, result);
	wa_http_release(http, client_wait(http));
	wa_http_release(http, client_wait(http));
	is_int(wa_http_timeout_ms(http), -1, "one that was, does not");
	is_int(server_requests(server), 3, "three were sent");
	wa_http_destroy(http);
	server_stop(server);
}

/* ---- the loop ---- */

static void
test_idle(ServerKind kind, PeerHandler handler)
{
	WaHttp *http = client_create();
	Server *server = server_start(kind, handler, NULL);
	int turns;

	is_int(wa_http_timeout_ms(http), -1, "nothing to do: no timeout");
	post_answered(http, server, "a request");
	turns = client_turns();
	ok(client_wait_ms(http, 400) == NULL, "an idle connection");
	ok(client_turns() - turns < 10, "does not keep the loop awake: %d turns",
	   client_turns() - turns);

	/* reused at once, again and again */
	turns = client_turns();
	for (int i = 0; i < 50; i++)
		wa_http_release(http, client_post(http, server_url(server), "/"));
	is_int(server_connections(server), 1, "fifty more over the same connection");
	ok(client_turns() - turns < 50 * 12, "without a detour: %d turns", client_turns() - turns);
	wa_http_destroy(http);
	server_stop(server);
}

static volatile sig_atomic_t signalled;

static void
note_signal(int signal)
{
	signalled++;
}

static void
test_signals(void)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(SERVER_PLAIN, answer_all, NULL);
	WaHttp *http;
	WaHttpResult *result;
	sigset_t mask;
	char url[64];

	config.connect_timeout_ms = 5000;
	http = client_create_with(&config);
	signal(SIGUSR1, note_signal);
	snprintf(url, sizeof(url), "http://graph.test:%d", server_port(server));
	result = client_post(http, url, "/");
	is_int(result->status, 200, "a name that has to be looked up");
	wa_http_release(http, result);
	ok(client_lookups() > 0, "it was");
	ok(client_lookups_masked(), "on a thread that gets no signals");
	result = client_post(http, "http://unknown.test", "/");
	is_int(result->phase, WA_HTTP_NOT_WRITTEN, "a name that does not exist");
	wa_http_release(http, result);

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	ok(!sigismember(&mask, SIGUSR1), "our own signals are open again");
	raise(SIGUSR1);
	is_int(signalled, 1, "and arrive");
	wa_http_destroy(http);
	server_stop(server);
}

static int
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	if (dir == NULL)
		abort();
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void
never_answer(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_wait_for_close(peer);
}

static void
test_destroy(void)
{
	int before = open_descriptors();
	Server *server = server_start(SERVER_TLS, never_answer, NULL);
	WaHttp *http = client_create();

	wa_http_destroy(NULL);
	for (int i = 0; i < 20; i++)
		client_submit(http, server_url(server), "/", NULL);
	while (server_requests(server) < 1)
		client_wait_ms(http, 5);
	wa_http_destroy(http);
	server_stop(server);
	is_int(open_descriptors(), before, "destroyed in mid-flight: every descriptor is closed");
}

int
main(void)
{
	test_request();
	test_bad_arguments();
	test_rotation();
	test_odd_answers();
	test_together(SERVER_PLAIN, answer_together, 40, 0, "HTTP/1.1");
	test_together(SERVER_TLS, answer_together, 40, 0, "HTTP/1.1 over TLS");
	test_together(SERVER_TLS_H2, answer_together_h2, 1, 0, "HTTP/2");
	test_together(SERVER_TLS_H2, answer_together_h2, 1, 5, "HTTP/2, five allowed");
	test_waiting();
	test_limit();
	test_idle(SERVER_PLAIN, answer_all);
	test_idle(SERVER_TLS, answer_all);
	test_idle(SERVER_TLS_H2, answer_all_h2);
	test_signals();
	test_destroy();
	certificate_remove_files();
	return done_testing();
}
