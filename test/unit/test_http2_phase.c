/*
 * What is certain about a request that got no answer, over HTTP/2.
 */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "certificate.h"
#include "http/client.h"
#include "http/refusal.h"
#include "phase.h"

static void
h2_close_in_body(Peer *peer, void *arg)
{
	Frame frame;

	if (peer_h2_begin(peer))
	{
		peer_h2_read(peer, &frame);
		peer_h2_read(peer, &frame);
	}
}

static void
h2_reset_in_body(Peer *peer, void *arg)
{
	Frame frame;

	if (peer_h2_begin(peer) && peer_h2_read(peer, &frame))
		peer_h2_reset(peer, frame.stream, H2_INTERNAL_ERROR);
	peer_wait_for_close(peer);
}

static void
h2_close_after_request(Peer *peer, void *arg)
{
	if (peer_h2_begin(peer))
		peer_h2_read_request(peer);
}

static void
h2_reset_stream(Peer *peer, void *arg)
{
	if (peer_h2_begin(peer))
		peer_h2_reset(peer, peer_h2_read_request(peer), H2_INTERNAL_ERROR);
	peer_wait_for_close(peer);
}

static void
h2_refuse_stream(Peer *peer, void *arg)
{
	if (peer_h2_begin(peer))
		peer_h2_reset(peer, peer_h2_read_request(peer), H2_REFUSED_STREAM);
	peer_wait_for_close(peer);
}

static void
h2_goaway(Peer *peer, void *arg)
{
	if (peer_h2_begin(peer))
	{
		peer_h2_read_request(peer);
		peer_h2_goaway(peer, 0, H2_NO_ERROR);
	}
	peer_wait_for_close(peer);
}

/*
 * How one of several connections goes away.  Those before it answer as many requests
 * and close; those after it answer.
 */
typedef struct Story
{
	int peer;
	int answered;	/* requests before */
	bool get;		/* one of them reads */
	bool reset_get; /* another one that reads is not answered, but reset */
	bool hang_get;	/* ... or never */
	bool get_above; /* the one that is not taken reads */
} Story;

/* False: the client has closed. */
static bool
answer_requests(Peer *peer, int count)
{
	for (int i = 0; i < count; i++)
	{
		uint32_t stream = peer_h2_read_request(peer);

		if (stream == 0)
			return false;
		peer_h2_answer(peer, stream, "{}", true);
	}
	return true;
}

/*
 * After those that it answers it reads three requests, answers the first, and says
 * that it took the second, too.
 */
static void
h2_goaway_later(Peer *peer, void *arg)
{
	const Story *story = arg;
	uint32_t stream = 0;

	if (!peer_h2_begin(peer))
		return;
	if (peer_number(peer) > story->peer)
		answer_requests(peer, 1000);
	if (!answer_requests(peer, story->answered) || peer_number(peer) < story->peer)
		return;
	if (story->reset_get || story->hang_get)
		stream = peer_h2_read_request(peer);
	if (story->reset_get)
		peer_h2_reset(peer, stream, H2_INTERNAL_ERROR);
	for (int i = 0; i < 3; i++)
		stream = peer_h2_read_request(peer);
	peer_h2_goaway(peer, stream - 2, H2_NO_ERROR);
	peer_h2_answer(peer, stream - 4, "{}", true);
	peer_wait_for_close(peer);
}

static void
submit_get(WaHttp *http, const Server *server)
{
	ok(wa_http_submit(http, server_url(server), NULL, 0, NULL, NULL), "one reads");
}

/*
 * The first of three is answered, the second is taken and never answered, the third
 * is above what the server took: it alone is sent again, if its number is certain.
 */
static void
test_goaway(Story story, bool certain, const char *what)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(SERVER_TLS_H2, h2_goaway_later, &story);
	WaHttp *http;
	WaHttpResult *result;
	int count[3] = {0};
	int64_t finished[3]; /* when the first, the second and the third had ended */
	int before = story.answered * (story.peer + 1) + story.reset_get + story.hang_get;

	config.request_timeout_ms = 1000;
	http = client_create_with(&config);
	for (int i = 0; i < story.answered * (story.peer + 1); i++)
	{
		if (story.get && i == 1)
		{
			submit_get(http, server);
			result = client_wait(http);
		}
		else
			result = client_post(http, server_url(server), "/");
		count[result->phase]++;
		wa_http_release(http, result);
		/* what has been closed must have been noticed */
		if (server_connections(server) <= story.peer && (i + 1) % story.answered == 0)
			while (!server_all_closed(server))
				client_wait_ms(http, 1);
	}
	is_int(count[WA_HTTP_ANSWERED], story.answered * (story.peer + 1), "%s: answered before", what);
	is_int(server_connections(server), story.peer + 1, "on its connection");
	memset(count, 0, sizeof(count));
	memset(finished, 0, sizeof(finished));
	if (story.reset_get || story.hang_get)
		submit_get(http, server);
	if (story.reset_get)
		is_phase(http, client_wait(http), WA_HTTP_NO_ANSWER, "reset");
	for (int i = 0; i < 3; i++)
		ok(wa_http_submit(http, server_url(server), story.get_above && i == 2 ? NULL : "{}",
						  story.get_above && i == 2 ? 0 : 2, NULL, &finished[i]),
		   "one of three");
	for (int i = 0; i < 3 + story.hang_get; i++)
	{
		result = client_wait(http);
		count[result->phase]++;
		if (result->tag != NULL)
			*(int64_t *) result->tag = result->finished_us;
		wa_http_release(http, result);
	}
	ok(finished[2] < finished[1], "the third is not kept until the second has ended");
	is_int(count[WA_HTTP_ANSWERED], 1 + certain, "%s: answered, or sent again and answered", what);
	is_int(count[WA_HTTP_NO_ANSWER], 1 + !certain + story.hang_get, "taken, and not answered");
	is_int(count[WA_HTTP_NOT_WRITTEN], 0, "none is left");
	is_int(server_requests(server), before + 3 + certain, "what was taken was sent once");
	wa_http_destroy(http);
	server_stop(server);
}

/*
 * A connection that ends in good order while one request on it is under way: nothing has
 * to wait for that one, neither what is begun later nor what waits for a stream.
 */
typedef struct LongOne
{
	int streams; /* at once */
	bool refuse; /* the second of two by a frame of its own, instead of a farewell */
} LongOne;

static atomic_bool let_go;

static void
h2_long_one(Peer *peer, void *arg)
{
	const LongOne *story = arg;
	const unsigned char max_streams[] = {0, 3, 0, 0, 0, story->streams};
	uint32_t stream;

	if (!peer_h2_begin(peer))
		return;
	peer_h2_write(peer, H2_SETTINGS, 0, 0, max_streams, sizeof(max_streams));
	if (peer_number(peer) > 0)
		answer_requests(peer, 1000);
	if (peer_number(peer) > 0 || !answer_requests(peer, 1))
		return;
	stream = peer_h2_read_request(peer);
	if (story->refuse)
		peer_h2_reset(peer, peer_h2_read_request(peer), H2_REFUSED_STREAM);
	else
		peer_h2_goaway(peer, stream, H2_NO_ERROR);
	while (!let_go)
		usleep(1000);
	peer_h2_answer(peer, stream, "{}", true);
	peer_wait_for_close(peer);
}

static void
is_answered(WaHttp *http, const char *tag, const char *what)
{
	WaHttpResult *result = client_wait(http);

	is_str(result->tag, tag, "%s", what);
	is_phase(http, result, WA_HTTP_ANSWERED, "and is answered");
}

static void
test_long_one(LongOne story, const char *what)
{
	Server *server = server_start(SERVER_TLS_H2, h2_long_one, &story);
	WaHttp *http = client_create();
	int requests = 3;

	let_go = false;
	wa_http_release(http, client_post(http, server_url(server), "/"));
	client_submit(http, server_url(server), "/", "long");
	if (story.refuse)
	{
		WaHttpResult *result;

		client_submit(http, server_url(server), "/", "refused");
		result = client_wait(http);
		requests += result->phase == WA_HTTP_ANSWERED ? 2 : 1;
		is_str(result->tag, "refused", "%s: it ends at once", what);
		ok(result->phase != WA_HTTP_NOT_WRITTEN, "begun again if there is proof, or in doubt");
		wa_http_release(http, result);
	}
	else if (story.streams == 1)
	{
		client_submit(http, server_url(server), "/", "waits");
		requests++;
		printf("# %s\n", what);
		is_answered(http, "waits", "what waited for a stream goes another way");
	}
	while (server_requests(server) < 2)
		client_wait_ms(http, 1);
	client_wait_ms(http, 50);
	client_submit(http, server_url(server), "/", "later");
	printf("# %s\n", what);
	is_answered(http, "later", "a later one goes another way");
	is_int(wa_http_in_flight(http), 1, "the long one is still out");
	let_go = true;
	is_answered(http, "long", "it is not disturbed");
	is_int(server_requests(server), requests, "each was sent once, or again when it was refused");
	is_int(server_connections(server), 2, "on two connections");
	wa_http_destroy(http);
	server_stop(server);
}

/*
 * Each connection takes two requests and goes away; the second is answered when the test
 * lets go of that connection.
 */
static atomic_int free_connections;

static void
h2_two_each(Peer *peer, void *arg)
{
	uint32_t stream;

	if (!peer_h2_begin(peer) || !answer_requests(peer, 1))
		return;
	stream = peer_h2_read_request(peer);
	if (stream == 0)
		return;
	peer_h2_goaway(peer, stream, H2_NO_ERROR);
	while (peer_number(peer) >= free_connections)
		usleep(1000);
	peer_h2_answer(peer, stream, "{}", true);
	peer_wait_for_close(peer);
}

/*
 * More of them than old connections are kept beside the new one.  What has not begun to
 * leave meanwhile, here since it never gets through its handshake, does not begin again
 * with each of them.
 */
#define FAREWELLS 5

static void
test_farewells(void)
{
	Server *server = server_start(SERVER_TLS_H2, h2_two_each, NULL);
	Server *mute = server_start(SERVER_MUTE, NULL, NULL);
	WaHttp *http = client_create();

	free_connections = 0;
	for (int i = 0; i < FAREWELLS; i++)
	{
		client_submit(http, server_url(server), "/", "first");
		is_answered(http, "first", "a new connection takes a request");
		if (i == 0)
			client_submit(http, server_url(mute), "/", "mute");
		client_submit(http, server_url(server), "/", "long");
		/* Until the farewell has come, too: what is begun before it is another story. */
		while (server_requests(server) < 2 * (i + 1) ||
			   (!http->stuck && wa_client_count_retired(http) <= i))
			client_wait_ms(http, 1);
	}
	is_int(server_connections(server), FAREWELLS, "and another one");
	client_submit(http, server_url(server), "/", "later");
	ok(client_wait_ms(http, 200) == NULL, "too many old ones: the next request waits");
	free_connections = 1;
	is_answered(http, "long", "one of them ends");
	is_answered(http, "later", "so there may be a new one");
	is_int(wa_http_in_flight(http), FAREWELLS, "while the others are still open");
	is_int(server_connections(mute), 2, "a handshake was begun again once");
	free_connections = FAREWELLS;
	for (int i = 1; i < FAREWELLS; i++)
		is_answered(http, "long", "all end");
	is_int(server_requests(server), 2 * FAREWELLS + 1, "each was sent once");
	wa_http_destroy(http);
	server_stop(server);
	server_stop(mute);
}

/*
 * The whole answer, without the flag that says so, and then a reset.
 */
static void
h2_answer_and_reset(Peer *peer, void *arg)
{
	if (peer_h2_begin(peer))
	{
		uint32_t stream = peer_h2_read_request(peer);

		peer_h2_answer(peer, stream, "{\"messages\":[{\"id\":\"wamid.1\"}]}", false);
		peer_h2_reset(peer, stream, H2_INTERNAL_ERROR);
	}
	peer_wait_for_close(peer);
}

static void
h2_never_answer(Peer *peer, void *arg)
{
	if (peer_h2_begin(peer))
		peer_h2_read_request(peer);
	peer_wait_for_close(peer);
}

/*
 * Answers the first request and leaves after the second; others are answered.
 */
static void
h2_close_in_second(Peer *peer, void *arg)
{
	uint32_t stream;

	if (!peer_h2_begin(peer))
		return;
	stream = peer_h2_read_request(peer);
	peer_h2_answer(peer, stream, "{}", true);
	while ((stream = peer_h2_read_request(peer)) != 0 && peer_number(peer) > 0)
		peer_h2_answer(peer, stream, "{}", true);
}

/*
 * Reads eleven requests, answers the first one only, and leaves.
 */
static void
h2_close_after_eleven(Peer *peer, void *arg)
{
	uint32_t stream = 0;

	if (!peer_h2_begin(peer))
		return;
	for (int i = 0; i < 11; i++)
	{
		stream = peer_h2_read_request(peer);
		if (i == 0)
			peer_h2_answer(peer, stream, "{}", true);
	}
}

/*
 * The first connection answers once and hangs from then on; others are well.
 */
static void
h2_hang_after_first(Peer *peer, void *arg)
{
	uint32_t stream;
	int count = 0;

	if (!peer_h2_begin(peer))
		return;
	while ((stream = peer_h2_read_request(peer)) != 0)
	{
		if (peer_number(peer) > 0 || count++ == 0)
			peer_h2_answer(peer, stream, "{}", true);
	}
}

/*
 * Reads one more, takes no new connection, and leaves.
 */
static void
h2_gone_after_second(Peer *peer, void *arg)
{
	if (!peer_h2_begin(peer))
		return;
	peer_h2_answer(peer, peer_h2_read_request(peer), "{}", true);
	peer_h2_read_request(peer);
	server_refuse(peer_server(peer));
}

static void
test_gone(void)
{
	WaHttp *http = client_create();
	Server *server = server_start(SERVER_TLS_H2, h2_gone_after_second, NULL);

	is_phase(http, client_post(http, server_url(server), "/1"), WA_HTTP_ANSWERED, "the first");
	is_phase(http, client_post(http, server_url(server), "/2"), WA_HTTP_NO_ANSWER,
			 "read by a server that was gone then");
	is_int(server_requests(server), 2, "sent once");
	wa_http_destroy(http);
	server_stop(server);
}

/*
 * Requests follow each other closely, so the connection is never without one.
 */
static void
test_stuck(void)
{
	WaHttpConfig config = client_config();
	Server *server = server_start(SERVER_TLS_H2, h2_hang_after_first, NULL);
	WaHttp *http;
	WaHttpResult *result;

	config.request_timeout_ms = 1000;
	http = client_create_with(&config);
	is_phase(http, client_post(http, server_url(server), "/"), WA_HTTP_ANSWERED, "the first");
	client_submit(http, server_url(server), "/", NULL);
	ok(client_wait_ms(http, 500) == NULL, "the second hangs");
	client_submit(http, server_url(server), "/", NULL);
	is_phase(http, client_wait(http), WA_HTTP_NO_ANSWER, "and times out");
	is_int(wa_http_in_flight(http), 1, "the third is on the same connection");
	client_submit(http, server_url(server), "/", NULL);
	is_phase(http, client_wait(http), WA_HTTP_ANSWERED, "the fourth gets a new one");
	is_int(server_connections(server), 2, "two connections");
	is_phase(http, client_wait(http), WA_HTTP_NO_ANSWER, "the third is left to its own timeout");
	result = client_post(http, server_url(server), "/");
	is_phase(http, result, WA_HTTP_ANSWERED, "all is well again");
	is_int(server_connections(server), 2, "on the new connection");
	is_int(wa_http_connections(http), 1, "the old one is closed");
	wa_http_destroy(http);
	is_int(server_requests(server), 5, "each was sent once");
	server_stop(server);
}

/*
 * A server that takes no request: it is asked twice.
 */
static void
refused_request(PeerHandler handler, const char *what)
{
	WaHttp *http = client_create();
	Server *server = server_start(SERVER_TLS_H2, handler, NULL);

	is_phase(http, client_post(http, server_url(server), "/"), WA_HTTP_NOT_WRITTEN, what);
	is_int(server_requests(server), 2, "sent twice, never taken");
	wa_http_destroy(http);
	server_stop(server);
}

static void
test_http2(void)
{
	WaHttpConfig config = client_config();
	WaHttp *http;
	Server *server;
	WaHttpResult *result;
	bool counted = wa_streams_can_be_counted();

	one_request(SERVER_TLS_H2, h2_close_after_request, WA_HTTP_NO_ANSWER, "closed");
	one_request(SERVER_TLS_H2, h2_reset_stream, WA_HTTP_NO_ANSWER, "stream reset");
	refused_request(h2_refuse_stream, "stream refused");
	refused_request(h2_goaway, "told to go away");
	test_goaway((Story){.answered = 1}, true, "going away");
	test_goaway((Story){.answered = 60}, true, "after many");
	test_goaway((Story){.answered = 3, .get = true}, true, "one of them was a GET");
	test_goaway((Story){.answered = 4, .peer = 1}, true, "the second connection");
	test_goaway((Story){.answered = 1, .reset_get = true}, !counted, "a GET was not answered");
	test_goaway((Story){.answered = 1, .hang_get = true}, !counted, "a GET is not answered");
	test_goaway((Story){.answered = 1, .get_above = true}, !counted, "a GET is not taken");

	http = client_create();
	server = server_start(SERVER_TLS_H2, h2_answer_and_reset, NULL);
	result = client_post(http, server_url(server), "/");
	is_int(result->status, 200, "answered, then reset: the status is kept");
	is_str(result->body, "{\"messages\":[{\"id\":\"wamid.1\"}]}", "and the body");
	is_phase(http, result, WA_HTTP_NO_ANSWER, "but the answer had no end");
	wa_http_destroy(http);
	is_int(server_requests(server), 1, "sent once");
	server_stop(server);

	config.request_timeout_ms = 1000;
	http = client_create_with(&config);
	server = server_start(SERVER_TLS_H2, h2_never_answer, NULL);
	is_phase(http, client_post(http, server_url(server), "/"), WA_HTTP_NO_ANSWER,
			 "no answer in time");
	wa_http_destroy(http);
	server_stop(server);

	http = client_create();
	server = server_start(SERVER_TLS_H2, h2_close_in_second, NULL);
	is_phase(http, client_post(http, server_url(server), "/1"), WA_HTTP_ANSWERED, "https, 2");
	is_phase(http, client_post(http, server_url(server), "/2"), WA_HTTP_NO_ANSWER,
			 "closed after the second request");
	is_int(server_requests(server), 2, "the second was sent once");
	is_phase(http, client_post(http, server_url(server), "/3"), WA_HTTP_ANSWERED, "the next");
	is_int(server_requests(server), 3, "is a request of its own");
	wa_http_destroy(http);
	server_stop(server);

	/* ten requests share the connection that dies */
	http = client_create();
	server = server_start(SERVER_TLS_H2, h2_close_after_eleven, NULL);
	is_phase(http, client_post(http, server_url(server), "/"), WA_HTTP_ANSWERED, "first of eleven");
	for (int i = 0; i < 10; i++)
		client_submit(http, server_url(server), "/", NULL);
	for (int i = 0; i < 10; i++)
		is_phase(http, client_wait(http), WA_HTTP_NO_ANSWER, "one of ten");
	is_int(server_requests(server), 11, "each was sent once");
	wa_http_destroy(http);
	server_stop(server);

	large_request(SERVER_TLS_H2, h2_close_in_body, WA_HTTP_NOT_WRITTEN, "closed in the body");
	large_request(SERVER_TLS_H2, h2_reset_in_body, WA_HTTP_NOT_WRITTEN, "reset in the body");
}

int
main(void)
{
	test_http2();
	test_stuck();
	test_gone();
	test_long_one((LongOne){.streams = 100}, "going away");
	test_long_one((LongOne){.streams = 1}, "going away, one stream");
	test_long_one((LongOne){.streams = 100, .refuse = true}, "refused by a frame");
	test_farewells();
	certificate_remove_files();
	return done_testing();
}
