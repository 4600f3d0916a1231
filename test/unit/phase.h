/*
 * phase.h
 *	  Checks of what the client believes of a request.
 */
#ifndef PHASE_H
#define PHASE_H

#include <stdlib.h>

#include "client.h"
#include "server.h"
#include "tap.h"

#define LARGE (8 * 1024 * 1024)

static const char *const phase_names[] = {"answered", "not written", "no answer"};

static const char *const kind_names[] = {"http", "https, 1.1", "https, 2"};

/*
 * Checks a result and lets it go.
 */
static inline void
is_phase(WaHttp *http, WaHttpResult *result, WaHttpPhase phase, const char *what)
{
	if (!is_str(phase_names[result->phase], phase_names[phase], "%s", what))
		printf("# code %d, status %ld: %s\n", result->error_code, result->status, result->error);
	if (phase == WA_HTTP_ANSWERED)
		ok(result->error[0] == '\0' && result->error_code == 0, "without an error");
	else
		ok(result->error[0] != '\0' && result->error_code != 0, "in words: %s", result->error);
	wa_http_release(http, result);
}

/*
 * One request to a server that behaves like this.
 */
static inline void
one_request(ServerKind kind, PeerHandler handler, WaHttpPhase phase, const char *what)
{
	WaHttp *http = client_create();
	Server *server = server_start(kind, handler, NULL);
	char name[256];

	snprintf(name, sizeof(name), "%s (%s)", what, kind_names[kind]);
	is_phase(http, client_post(http, server_url(server), "/"), phase, name);
	is_int(server_requests(server), 1, "sent once");
	wa_http_destroy(http);
	server_stop(server);
}

/*
 * The same with a body that no socket takes at once.
 */
static inline void
large_request(ServerKind kind, PeerHandler handler, WaHttpPhase phase, const char *what)
{
	WaHttp *http = client_create();
	Server *server = server_start(kind, handler, NULL);
	char *body = malloc(LARGE);
	char name[256];

	memset(body, 'x', LARGE);
	snprintf(name, sizeof(name), "%s (%s)", what, kind_names[kind]);
	ok(wa_http_submit(http, server_url(server), body, LARGE, "text/plain", NULL), "submitted");
	memset(body, 'y', LARGE);
	free(body);
	is_phase(http, client_wait(http), phase, name);
	is_int(server_requests(server), 0, "and was not read whole");
	wa_http_destroy(http);
	server_stop(server);
}

#endif
