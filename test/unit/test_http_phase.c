/*
 * What is certain about a request that got no answer.
 *
 * Each story ends with two figures: what the client believes, and how many
 * requests the server has read.  A message sent twice would show in the second.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certificate.h"
#include "client.h"
#include "phase.h"

/* ---- never sent ---- */

/*
 * A port where nobody listens.
 */
static int
unused_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
		getsockname(fd, (struct sockaddr *) &address, &len) < 0)
		abort();
	close(fd);
	return ntohs(address.sin_port);
}

static void
answer_all(Peer *peer, void *arg)
{
	Request request;

	while (peer_read_request(peer, &request))
		peer_answer(peer, 200, "", "{}");
}

static void
answer_without_tls(Peer *peer, void *arg)
{
	char hello[5];

	peer_read(peer, hello, sizeof(hello));
	peer_answer(peer, 400, "", "no TLS here");
}

static void
test_never_sent(void)
{
	WaHttpConfig config = client_config();
	WaHttp *http = client_create();
	WaHttp *other;
	Server *server;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d", unused_port());
	is_phase(http, client_post(http, url, "/"), WA_HTTP_NOT_WRITTEN, "connection refused");
	ok(wa_http_submit(http, url, NULL, 0, NULL, NULL), "the same without a body");
	is_phase(http, client_wait(http), WA_HTTP_NOT_WRITTEN, "connection refused");
	is_phase(http, client_post(http, "https://unknown.test", "/"), WA_HTTP_NOT_WRITTEN,
			 "unknown host");
	is_phase(http, client_post(http, "ftp://localhost", "/"), WA_HTTP_NOT_WRITTEN,
			 "another protocol");
	is_phase(http, client_post(http, "https://", ""), WA_HTTP_NOT_WRITTEN, "no URL");

	server = server_start(SERVER_TLS, answer_all, NULL);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d", server_port(server));
	is_phase(http, client_post(http, url, "/"), WA_HTTP_NOT_WRITTEN,
			 "a name not in the certificate");
	config.ca_file = certificate_other_ca_file();
	other = client_create_with(&config);
	is_phase(other, client_post(other, server_url(server), "/"), WA_HTTP_NOT_WRITTEN,
			 "a certificate of somebody else's");
	wa_http_destroy(other);
	config.ca_file = NULL;
	other = client_create_with(&config);
	is_phase(other, client_post(other, server_url(server), "/"), WA_HTTP_NOT_WRITTEN,
			 "a certificate that the system does not know");
	wa_http_destroy(other);
	config.ca_file = "/nonexistent.pem";
	other = client_create_with(&config);
	is_phase(other, client_post(other, server_url(server), "/"), WA_HTTP_NOT_WRITTEN,
			 "no file of authorities");
	wa_http_destroy(other);
	is_int(server_requests(server), 0, "none of them was sent");
	is_phase(http, client_post(http, server_url(server), "/"), WA_HTTP_ANSWERED, "the right name");
	wa_http_destroy(http);
	server_stop(server);

	http = client_create();
	server = server_start(SERVER_PLAIN, answer_without_tls, NULL);
	snprintf(url, sizeof(url), "https://localhost:%d", server_port(server));
	is_phase(http, client_post(http, url, "/"), WA_HTTP_NOT_WRITTEN, "no TLS on the other side");
	wa_http_destroy(http);
	server_stop(server);

	config = client_config();
	config.connect_timeout_ms = 200;
	http = client_create_with(&config);
	server = server_start(SERVER_MUTE, NULL, NULL);
	is_phase(http, client_post(http, server_url(server), "/"), WA_HTTP_NOT_WRITTEN,
			 "a handshake that never ends");
	wa_http_destroy(http);
	server_stop(server);
}

/* ---- cut while sending ---- */

static void
reset_in_body(Peer *peer, void *arg)
{
	Request request;

	peer_read_head(peer, &request);
	peer_reset_on_close(peer);
}

static void
close_in_body(Peer *peer, void *arg)
{
	Request request;
	char some[1000];

	peer_read_head(peer, &request);
	peer_read(peer, some, sizeof(some));
}

static atomic_bool asked_for_leave;

static void
answer_in_body(Peer *peer, void *arg)
{
	Request request;

	peer_read_head(peer, &request);
	if (strcasestr(request.head, "\r\nExpect:") != NULL)
		asked_for_leave = true;
	peer_answer(peer, 413, "Connection: close\r\n", "too large");
	peer_wait_for_close(peer);
}

/* ---- sent, and then ---- */

static void
close_after_request(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
}

static void
reset_after_request(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_reset_on_close(peer);
}

static void
cut_in_status_line(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_print(peer, "HTTP/1.1 20");
}

static void
cut_in_headers(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_print(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Ty");
}

static void
reset_in_headers(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_print(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Ty");
	peer_reset_on_close(peer);
}

static void
cut_in_answer(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_print(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"messages\":");
}

static void
cut_in_chunks(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_print(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
}

static void
answer_nonsense(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_print(peer, "I do not speak HTTP\r\n\r\n");
}

static void
answer_too_much(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_print(peer, "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n");
	for (int i = 0; i < 70; i++)
		peer_print(peer, "%01000d", i);
	peer_wait_for_close(peer);
}

static void
answer_html(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_answer(peer, 502, "Content-Type: text/html\r\n", "<html>Bad Gateway</html>");
}

static void
answer_until_close(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_print(peer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"whole\":1}");
}

static void
redirect(Peer *peer, void *arg)
{
	Request request;

	while (peer_read_request(peer, &request))
		peer_answer(peer, 307, "Location: /elsewhere\r\n", "");
}

static void
never_answer(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_wait_for_close(peer);
}

static void
test_sent(ServerKind kind)
{
	WaHttpConfig config = client_config();
	WaHttp *http;
	Server *server;
	WaHttpResult *result;
	int turns;

	one_request(kind, close_after_request, WA_HTTP_NO_ANSWER, "closed after the request");
	one_request(kind, reset_after_request, WA_HTTP_NO_ANSWER, "reset after the request");
	one_request(kind, cut_in_status_line, WA_HTTP_NO_ANSWER, "cut in the status line");
	one_request(kind, cut_in_headers, WA_HTTP_NO_ANSWER, "cut in the headers");
	one_request(kind, reset_in_headers, WA_HTTP_NO_ANSWER, "reset in the headers");
	one_request(kind, cut_in_answer, WA_HTTP_NO_ANSWER, "cut in the answer");
	one_request(kind, cut_in_chunks, WA_HTTP_NO_ANSWER, "cut between chunks");
	one_request(kind, answer_nonsense, WA_HTTP_NO_ANSWER, "nonsense");
	one_request(kind, answer_too_much, WA_HTTP_NO_ANSWER, "more than is wanted");
	one_request(kind, answer_html, WA_HTTP_ANSWERED, "an error page");
	one_request(kind, answer_until_close, WA_HTTP_ANSWERED, "ended by the close");
	one_request(kind, redirect, WA_HTTP_ANSWERED, "a redirect is not followed");

	/* a request without a body */
	http = client_create();
	server = server_start(kind, close_after_request, NULL);
	ok(wa_http_submit(http, server_url(server), NULL, 0, NULL, NULL), "a GET");
	is_phase(http, client_wait(http), WA_HTTP_NO_ANSWER, "closed after it");
	wa_http_destroy(http);
	server_stop(server);

	/* a timeout, and a loop that sleeps until then */
	config.request_timeout_ms = 300;
	http = client_create_with(&config);
	server = server_start(kind, never_answer, NULL);
	turns = client_turns();
	result = client_post(http, server_url(server), "/");
	ok(result->finished_us - result->started_us >= 290000 &&
		   result->finished_us - result->started_us < 5000000,
	   "it took its 300 ms");
	is_phase(http, result, WA_HTTP_NO_ANSWER, "no answer in time");
	is_int(wa_http_timeout_ms(http), -1, "and then nothing to wake for");
	ok(client_turns() - turns < 30, "the loop slept meanwhile");
	is_int(wa_http_connections(http), 0, "the connection is not used again");
	wa_http_destroy(http);
	is_int(server_requests(server), 1, "one request");
	server_stop(server);
}

/* ---- a connection that was used before ---- */

/*
 * How the second request of a connection ends; further connections answer.
 */
static void
close_after_first(Peer *peer, void *arg)
{
	Request request;

	if (peer_read_request(peer, &request))
		peer_answer(peer, 200, "", "{}");
	if (peer_number(peer) > 0)
		answer_all(peer, arg);
}

static void
close_in_second(Peer *peer, void *arg)
{
	Request request;

	if (peer_number(peer) > 0)
		answer_all(peer, arg);
	else if (peer_read_request(peer, &request))
	{
		peer_answer(peer, 200, "", "{}");
		peer_read_request(peer, &request);
	}
}

static void
reset_in_second(Peer *peer, void *arg)
{
	close_in_second(peer, arg);
	if (peer_number(peer) == 0)
		peer_reset_on_close(peer);
}

static atomic_int heads_read;

static void
reset_in_second_head(Peer *peer, void *arg)
{
	Request request;

	if (peer_number(peer) == 0 && peer_read_request(peer, &request))
		peer_answer(peer, 200, "", "{}");
	while (peer_read_head(peer, &request))
	{
		heads_read++;
		if (peer_number(peer) == 0)
		{
			client_wait_until_blocked();
			peer_reset_on_close(peer);
			return;
		}
	}
}

/*
 * libcurl has taken the body, could not send it, and finds the connection
 * broken.  It believes that nothing was sent and would begin again, with a
 * body that has been handed out already.
 */
static void
test_blocked(void)
{
	WaHttp *http = client_create();
	Server *server = server_start(SERVER_PLAIN, reset_in_second_head, NULL);

	is_phase(http, client_post(http, server_url(server), "/1"), WA_HTTP_ANSWERED, "first");
	client_block_after(1);
	is_phase(http, client_post(http, server_url(server), "/2"), WA_HTTP_NO_ANSWER,
			 "taken, not sent, reset");
	client_block_after(-1);
	is_int(heads_read, 1, "and not begun again");
	wa_http_destroy(http);
	server_stop(server);
}

static void
test_reused(ServerKind kind)
{
	static const struct
	{
		PeerHandler handler;
		const char *what;
	} stories[] = {
		{close_in_second, "closed after the second request"},
		{reset_in_second, "reset after the second request"},
	};
	WaHttp *http;
	Server *server;

	for (int i = 0; i < 2; i++)
	{
		http = client_create();
		server = server_start(kind, stories[i].handler, NULL);
		is_phase(http, client_post(http, server_url(server), "/1"), WA_HTTP_ANSWERED,
				 kind_names[kind]);
		is_int(server_connections(server), 1, "one connection");
		is_phase(http, client_post(http, server_url(server), "/2"), WA_HTTP_NO_ANSWER,
				 stories[i].what);
		is_int(server_requests(server), 2, "the second was sent once");
		is_phase(http, client_post(http, server_url(server), "/3"), WA_HTTP_ANSWERED,
				 "the next is");
		is_int(server_requests(server), 3, "a request of its own");
		wa_http_destroy(http);
		server_stop(server);
	}

	/* a request without a body, of which nothing can be counted */
	http = client_create();
	server = server_start(kind, close_in_second, NULL);
	is_phase(http, client_post(http, server_url(server), "/1"), WA_HTTP_ANSWERED, "first");
	ok(wa_http_submit(http, server_url(server), NULL, 0, NULL, NULL), "a GET");
	is_phase(http, client_wait(http), WA_HTTP_NO_ANSWER, "closed after it");
	is_int(server_requests(server), 2, "it was sent once");
	wa_http_destroy(http);
	server_stop(server);

	/* an idle connection that the server has closed: nothing was written to it */
	http = client_create();
	server = server_start(kind, close_after_first, NULL);
	is_phase(http, client_post(http, server_url(server), "/1"), WA_HTTP_ANSWERED, "first");
	while (!server_all_closed(server))
		client_wait_ms(http, 1);
	is_phase(http, client_post(http, server_url(server), "/2"), WA_HTTP_ANSWERED,
			 "closed while idle: the second goes over a new connection");
	is_int(server_requests(server), 2, "once");
	is_int(server_connections(server), 2, "two connections");
	wa_http_destroy(http);
	server_stop(server);
}

/*
 * Connections that were used before, each given a request that is read whole; then
 * the server is gone, and takes no new connection.  libcurl would begin again.
 */
#define GONE 40

static void
gone_after_second(Peer *peer, void *arg)
{
	Server *server = peer_server(peer);
	Request request;

	for (int i = 0; i < 2 && peer_read_request(peer, &request); i++)
	{
		while (server_requests(server) < GONE * (i + 1))
			usleep(1000);
		if (i == 0)
			peer_answer(peer, 200, "", "{}");
		else
			server_refuse(server);
	}
}

static void
test_gone(ServerKind kind)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(kind, gone_after_second, NULL);
	WaHttp *http;
	int count[3] = {0};

	config.max_connections = GONE;
	http = client_create_with(&config);
	for (int i = 0; i < 2; i++)
	{
		for (int j = 0; j < GONE; j++)
			client_submit(http, server_url(server), "/", NULL);
		for (int j = 0; j < GONE; j++)
		{
			WaHttpResult *result = client_wait(http);

			count[result->phase]++;
			wa_http_release(http, result);
		}
	}
	is_int(count[WA_HTTP_ANSWERED], GONE, "%s: answered", kind_names[kind]);
	is_int(count[WA_HTTP_NO_ANSWER], GONE, "read by a server that was gone then: in doubt");
	is_int(count[WA_HTTP_NOT_WRITTEN], 0, "and none is said not to have left");
	is_int(server_requests(server), 2 * GONE, "each was sent once");
	wa_http_destroy(http);
	server_stop(server);
}

/* ---- giving up ---- */

static void
test_abort(void)
{
	WaHttpConfig config = client_config();
	WaHttp *http;
	Server *server = server_start(SERVER_PLAIN, never_answer, NULL);
	int tags[3];

	config.max_connections = 2;
	http = client_create_with(&config);
	for (int i = 0; i < 3; i++)
		ok(client_submit(http, server_url(server), "/", &tags[i]), "submitted");
	while (server_requests(server) < 2)
		ok(client_wait_ms(http, 10) == NULL, "no answer");
	is_int(wa_http_in_flight(http), 3, "three under way");
	wa_http_abort_all(http);
	is_int(wa_http_in_flight(http), 0, "none after giving up");
	for (int i = 0; i < 3; i++)
	{
		WaHttpResult *result = wa_http_next_result(http);
		bool waiting = result->tag == &tags[2];

		is_phase(http, result, waiting ? WA_HTTP_NOT_WRITTEN : WA_HTTP_NO_ANSWER,
				 waiting ? "the one that waited" : "one that was sent");
	}
	ok(wa_http_next_result(http) == NULL, "no more results");
	wa_http_destroy(http);
	is_int(server_requests(server), 2, "two were sent");
	server_stop(server);
}

int
main(void)
{
	test_never_sent();
	for (ServerKind kind = SERVER_PLAIN; kind <= SERVER_TLS; kind++)
	{
		large_request(kind, reset_in_body, WA_HTTP_NOT_WRITTEN, "reset in the body");
		large_request(kind, close_in_body, WA_HTTP_NOT_WRITTEN, "closed in the body");
		large_request(kind, answer_in_body, WA_HTTP_ANSWERED, "answered in the body");
		test_sent(kind);
		test_reused(kind);
		test_gone(kind);
	}
	test_blocked();
	test_abort();
	ok(!asked_for_leave, "a large body is sent without asking for leave");
	certificate_remove_files();
	return done_testing();
}
