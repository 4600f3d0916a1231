/*
 * test_http_upload.c
 *	  The time that a file may take.
 */
#include <string.h>
#include <time.h>

#include "client.h"
#include "server.h"
#include "tap.h"

/*
 * A stall is counted in whole seconds, rounded up: so much more than a request may take
 * is two of them.  The server is slow for longer than that time, and by far not for two.
 */
#define REQUEST_MS 1001
#define SLOW_MS 1050

/*
 * 32 bytes in a millisecond: thirty seconds more than request_timeout.  A stall is seen
 * in two and what libcurl takes for the speed of the moment besides, the average of five
 * seconds, or of ten on a busy machine.
 */
static char file[960000];

static void
read_slowly(Peer *peer, void *arg)
{
	const struct timespec pause = {SLOW_MS / 1000, SLOW_MS % 1000 * 1000000L};
	Request request;

	if (!peer_read_head(peer, &request))
		return;
	nanosleep(&pause, NULL);
	for (size_t i = 0; i < sizeof(file); i += sizeof(request.body))
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
	config.request_timeout_ms = REQUEST_MS;
	http = client_create_with(&config);

	result = send_file(http, slow, "application/octet-stream");
	is_int(result->status, 200, "a file may take longer than a request");
	ok(result->finished_us - result->started_us > REQUEST_MS * 1000, "and has");
	wa_http_release(http, result);

	result = send_file(http, hanging, "application/octet-stream");
	is_int(result->phase, WA_HTTP_NO_ANSWER, "when nothing moves any more it is given up");
	ok(result->finished_us - result->started_us < (int64_t) sizeof(file) / 32 * 1000,
	   "before the time for its size is over");
	wa_http_release(http, result);

	result = send_file(http, hanging, NULL);
	ok(strstr(result->error, "timed out after") != NULL,
	   "a message of that size may not take longer: %s", result->error);
	wa_http_release(http, result);

	wa_http_destroy(http);
	server_stop(slow);
	server_stop(hanging);
	return done_testing();
}
