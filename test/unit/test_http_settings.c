/*
 * Settings that change while requests are out, and what tells of these.
 */
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "certificate.h"
#include "client.h"
#include "phase.h"

/*
 * Requests to "/slow" are answered when the test says so, others at once.
 */
static atomic_bool let_go;

static void
answer_when_told(Peer *peer, void *arg)
{
	Request request;

	while (peer_read_request(peer, &request))
	{
		while (strstr(request.head, "/slow") != NULL && !let_go)
			usleep(1000);
		peer_answer(peer, 200, "", "{}");
	}
}

static void
submit_slow(WaHttp *http, Server *server, int count)
{
	int before = server_requests(server);

	for (int i = 0; i < count; i++)
		client_submit(http, server_url(server), "/slow", "slow");
	while (server_requests(server) < before + count)
		ok(client_wait_ms(http, 10) == NULL, "no answer yet");
}

/*
 * All that may be out hangs.  With other settings more may leave at once, and what
 * hung is answered like everything else.
 */
static void
test_draining(ServerKind kind)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(kind, answer_when_told, NULL);
	WaHttp *http;
	WaHttpResult *result;
	int fd;

	let_go = false;
	config.max_in_flight = 3;
	config.max_connections = 3;
	http = client_create_with(&config);
	fd = wa_http_epoll_fd(http);
	submit_slow(http, server, 3);
	ok(!client_submit(http, server_url(server), "/", NULL), "%s: no more may be out",
	   kind_names[kind]);
	is_int(wa_http_draining(http), 0, "none of them drains");

	config.max_in_flight = 2;
	config.request_timeout_ms = 5000;
	ok(wa_http_reconfigure(http, &config), "other settings");
	is_int(wa_http_epoll_fd(http), fd, "the same descriptor");
	is_int(wa_http_in_flight(http), 3, "what was out still is");
	is_int(wa_http_draining(http), 3, "and drains");
	is_phase(http, client_post(http, server_url(server), "/"), WA_HTTP_ANSWERED,
			 "a new request is answered meanwhile");
	ok(client_submit(http, server_url(server), "/slow", "new"), "one of the new limit");
	ok(client_submit(http, server_url(server), "/slow", "new"), "two");
	ok(!client_submit(http, server_url(server), "/slow", "new"), "three are too many");

	let_go = true;
	for (int i = 0; i < 5; i++)
		is_phase(http, client_wait(http), WA_HTTP_ANSWERED, "each is answered");
	is_int(wa_http_in_flight(http), 0, "none is out");
	is_int(wa_http_draining(http), 0, "none drains");
	client_wait_ms(http, 0);
	result = client_post(http, server_url(server), "/");
	ok(wa_http_connections(http) <= 2, "the old connections are closed");
	is_phase(http, result, WA_HTTP_ANSWERED, "the next");
	wa_http_destroy(http);
	is_int(server_requests(server), 7, "each was sent once");
	server_stop(server);
}

/*
 * What waits, for a turn or for an answer to its handshake, goes by the new settings.
 */
static void
test_waiting(void)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(SERVER_TLS, answer_when_told, NULL);
	Server *mute = server_start(SERVER_MUTE, NULL, NULL);
	WaHttp *http;

	let_go = false;
	config.max_connections = 1;
	config.ca_file = certificate_other_ca_file();
	config.connect_timeout_ms = 60000;
	config.request_timeout_ms = 60000;
	http = client_create_with(&config);
	client_submit(http, server_url(mute), "/", "mute");
	client_submit(http, server_url(server), "/json", NULL);
	wa_http_submit(http, server_url(server), "form", 4, "text/plain", NULL);
	wa_http_submit(http, server_url(server), NULL, 0, NULL, NULL);
	ok(client_wait_ms(http, 100) == NULL, "one hangs, three wait");
	is_int(wa_http_in_flight(http), 4, "four");

	config.ca_file = certificate_ca_file();
	config.max_connections = 2;
	ok(wa_http_reconfigure(http, &config), "another connection, and whom to trust");
	is_int(wa_http_draining(http), 0, "nothing had begun");
	for (int i = 0; i < 3; i++)
		is_phase(http, client_wait(http), WA_HTTP_ANSWERED, "one that waited");
	is_int(server_requests(server), 3, "each once");
	wa_http_abort_all(http);
	is_phase(http, client_wait(http), WA_HTTP_NOT_WRITTEN, "the one that hangs");
	wa_http_destroy(http);
	server_stop(server);
	server_stop(mute);
}

/*
 * A request is told of when it leaves, not when it is submitted, and not again.
 */
static void
test_begun(ServerKind kind)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(kind, answer_when_told, NULL);
	WaHttp *http;
	WaHttpResult *result;
	int64_t begun_us;
	int64_t first_us;
	void *tag;

	let_go = false;
	config.max_connections = 1;
	http = client_create_with(&config);
	client_submit(http, server_url(server), "/slow", "first");
	client_submit(http, server_url(server), "/slow", "second");
	ok(!wa_http_next_begun(http, &tag, &first_us), "%s: none has begun", kind_names[kind]);
	while (server_requests(server) < 1)
		ok(client_wait_ms(http, 10) == NULL, "no answer yet");
	ok(wa_http_next_begun(http, &tag, &first_us) && strcmp(tag, "first") == 0, "the first has");
	ok(!wa_http_next_begun(http, &tag, &begun_us), "which is told once; the other waits");

	let_go = true;
	result = client_wait(http);
	ok(result->begun_us == first_us, "its result says so, too");
	ok(result->started_us <= first_us && first_us <= result->finished_us, "in between");
	is_phase(http, result, WA_HTTP_ANSWERED, "answered");
	result = client_wait(http);
	ok(result->begun_us > first_us, "the second began later");
	ok(!wa_http_next_begun(http, &tag, &begun_us), "what has ended is no news");
	is_phase(http, result, WA_HTTP_ANSWERED, "answered");

	/* many in a row, of which nobody asks */
	for (int i = 0; i < 5; i++)
		wa_http_release(http, client_post(http, server_url(server), "/"));
	ok(!wa_http_next_begun(http, &tag, &begun_us), "nor is it when nobody has asked");
	is_phase(http, client_post(http, "http://127.0.0.1:1", "/"), WA_HTTP_NOT_WRITTEN, "refused");
	ok(!wa_http_next_begun(http, &tag, &begun_us), "what cannot begin is none");
	wa_http_destroy(http);
	server_stop(server);
}

/*
 * Fewer descriptors than requests: they take turns, and the time of one that waits
 * does not run.
 */
static void
test_sockets(ServerKind kind)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(kind, answer_when_told, NULL);
	WaHttp *http;
	int most = 0;

	let_go = true;
	config.max_sockets = 8;
	config.request_timeout_ms = 2000;
	http = client_create_with(&config);
	wa_http_release(http, client_post(http, server_url(server), "/"));
	let_go = false;
	for (int i = 0; i < 50; i++)
		client_submit(http, server_url(server), "/slow", NULL);
	for (int i = 0; i < 4; i++)
		is_phase(http, client_wait(http), WA_HTTP_NO_ANSWER, "one of the four that hang");
	let_go = true;
	for (int i = 4; i < 50; i++)
	{
		WaHttpResult *result = client_wait(http);

		if (wa_http_connections(http) > most)
			most = wa_http_connections(http);
		is_phase(http, result, WA_HTTP_ANSWERED, kind_names[kind]);
	}
	ok(most >= 2 && most <= 4, "fifty requests over %d connections", most);
	is_int(server_requests(server), 51, "each was sent once");
	wa_http_destroy(http);
	server_stop(server);
}

/* A listening socket that answers no SYN any more: its queue is full.  Its port. */
static int
listen_deaf(int *listener, int waiting[4])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(*listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
		listen(*listener, 0) < 0 || getsockname(*listener, (struct sockaddr *) &address, &len) < 0)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void) connect(waiting[i], (struct sockaddr *) &address, sizeof(address));
	}
	return ntohs(address.sin_port);
}

/*
 * A network that swallows packets: what could not be connected is not open, though
 * libcurl may not say that it has closed it.
 */
static void
test_not_connected(void)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(SERVER_PLAIN, answer_when_told, NULL);
	int listener;
	int waiting[4];
	char url[64];
	WaHttp *http;

	let_go = true;
	config.max_sockets = 1;
	config.connect_timeout_ms = 100;
	http = client_create_with(&config);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", listen_deaf(&listener, waiting));
	for (int i = 0; i < 2; i++)
	{
		WaHttpResult *result = client_post(http, url, "/");

		is_int(result->error_code, CURLE_OPERATION_TIMEDOUT, "nobody answers");
		is_phase(http, result, WA_HTTP_NOT_WRITTEN, "and nothing was written");
	}
	snprintf(url, sizeof(url), "http://127.0.0.1%s", strrchr(server_url(server), ':'));
	is_phase(http, client_post(http, url, "/"), WA_HTTP_ANSWERED, "then the network is back");
	is_int(wa_http_connections(http), 1, "with one connection");
	wa_http_destroy(http);
	server_stop(server);
	for (int i = 0; i < 4; i++)
		close(waiting[i]);
	close(listener);
}

static int asked;

/* All but those that are to be stopped. */
static bool
may_begin(void *tag, void *arg)
{
	asked++;
	return strcmp(tag, arg) != 0;
}

/*
 * What waits for a handshake, or for its turn, can be stopped; what has begun cannot.
 */
static void
test_stopping(void)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(SERVER_TLS, answer_when_told, NULL);
	Server *mute = server_start(SERVER_MUTE, NULL, NULL);
	WaHttp *http;
	WaHttpResult *result;

	let_go = false;
	config.max_connections = 2;
	config.connect_timeout_ms = 60000;
	config.request_timeout_ms = 60000;
	http = client_create_with(&config);
	submit_slow(http, server, 1);
	client_submit(http, server_url(mute), "/", "stop");
	client_wait_ms(http, 50);
	client_submit(http, server_url(server), "/json", "stop");
	client_submit(http, server_url(server), "/json", "go on");
	client_wait_ms(http, 0);
	wa_http_ask_unbegun(http, may_begin, "slow");
	is_int(asked, 3, "three have not begun");
	ok(client_wait_ms(http, 0) == NULL, "what has begun is not stopped");
	wa_http_ask_unbegun(http, may_begin, "stop");
	for (int i = 0; i < 2; i++)
	{
		result = client_wait_ms(http, 0);
		is_str(result != NULL ? result->tag : "", "stop", "stopped");
		ok(result != NULL && result->begun_us == 0, "before it was begun");
		if (result != NULL)
			is_phase(http, result, WA_HTTP_NOT_WRITTEN, "so it was not written");
	}
	let_go = true;
	for (int i = 0; i < 2; i++)
		is_phase(http, client_wait(http), WA_HTTP_ANSWERED, "the others are answered");
	is_int(server_requests(server), 2, "nothing else was sent");
	wa_http_destroy(http);
	server_stop(server);
	server_stop(mute);
}

int
main(void)
{
	for (ServerKind kind = SERVER_PLAIN; kind <= SERVER_TLS; kind++)
	{
		test_draining(kind);
		test_begun(kind);
		test_sockets(kind);
	}
	test_waiting();
	test_not_connected();
	test_stopping();
	certificate_remove_files();
	return done_testing();
}
