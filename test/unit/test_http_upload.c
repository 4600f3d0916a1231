/*
 * test_http_upload.c
 *	  The time that a file may take.
 */
#include <string.h>
#include <time.h>

#include "client.h"
#include "server.h"
#include "tap.h"

/* Reads a byte more every 10 ms for so long, then the rest, and answers. */
#define SLOW_BYTES 60

/* 32 bytes in a millisecond: ten seconds more than request_timeout. */
static char file[320000];

static void
read_slowly(Peer *peer, void *arg)
{
	const struct timespec pause = {0, 10 * 1000000};
	Request request;
	char byte;

	if (!peer_read_head(peer, &request))
		return;
	for (int i = 0; i < SLOW_BYTES; i++)
	{
		nanosleep(&pause, NULL);
		peer_read(peer, &byte, 1);
	}
	for (size_t i = SLOW_BYTES; i < sizeof(file); i += sizeof(request.body))
		peer_read(peer, request.body,
				  sizeof(file) - i < sizeof(request.body) ? sizeof(file) - i
														  : sizeof(request.body));
	peer_answer(peer, 200, "", "{}");
}

static void
never_answer(Peer *peer, void *arg)
{
	Request request;

	peer_read_request(peer, &request);
	peer_wait_for_close(peer);
}

static WaHttpResult *
send_file(WaHttp *http, const Server *server, const char *content_type)
{
	if (!wa_http_submit(http, server_url(server), file, sizeof(file), content_type, NULL))
		return NULL;
	return client_wait(http);
}

int
main(void)
{
	WaHttpConfig config = client_config();
	Server *slow = server_start(SERVER_PLAIN, read_slowly, NULL);
	Server *hanging = server_start(SERVER_PLAIN, never_answer, NULL);
	WaHttp *http;
	WaHttpResult *result;

	memset(file, 'x', sizeof(file));
	config.request_timeout_ms = 300;
	http = client_create_with(&config);

	result = send_file(http, slow, "application/octet-stream");
	is_int(result->status, 200, "a file may take longer than a request");
	ok(result->finished_us - result->started_us > 300 * 1000, "and has");
	wa_http_release(http, result);

	result = send_file(http, hanging, "application/octet-stream");
	is_int(result->phase, WA_HTTP_NO_ANSWER, "when nothing moves any more it is given up");
	ok(result->finished_us - result->started_us < 9000 * 1000,
	   "before the time for its size is over");
	wa_http_release(http, result);

	result = send_file(http, slow, NULL);
	is_int(result->status, 0, "a message of that size may not take longer");
	wa_http_release(http, result);

	wa_http_destroy(http);
	server_stop(slow);
	server_stop(hanging);
	return done_testing();
}
