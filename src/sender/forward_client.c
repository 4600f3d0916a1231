/*
 * forward_client.c
 *	  What webhooks go to other nodes through: an HTTP client of its own.
 *
 * Not that of the messages: a node that hangs must have no connection that a message
 * waits for.  There is a connection for each line of each node, so none waits for
 * another.  It is open only while there are other nodes.
 */
#include "postgres.h"

#include "http/http.h"
#include "sender/descriptors.h"
#include "sender/forward_client.h"
#include "sender/trust.h"

#define CONNECT_TIMEOUT_MS 5000

/*
 * Longer than a node's gateway keeps a webhook: ten seconds for a connection to its
 * database, and twenty for handlers.  What is given up before is delivered twice.
 */
#define REQUEST_TIMEOUT_MS 45000

/* Nothing of a response is looked at but its status. */
#define MAX_RESPONSE (16 * 1024)

static WaHttp *client;
static int borrowed; /* descriptors */
static uint32 generation;

WaHttp *
wa_forward_client(void)
{
	return client;
}

WaHttp *
wa_forward_client_open(int nodes)
{
	WaHttpConfig config = {0};
	int requests = nodes * WA_FORWARD_LINES;

	if (client != NULL)
		return client;
	config.ca_file = wa_trust_bundle_in_force();
	config.max_in_flight = requests;
	config.max_connections = requests;
	config.max_sockets = requests * WA_HTTP_SOCKETS_PER_CONNECTION;
	config.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	config.request_timeout_ms = REQUEST_TIMEOUT_MS;
	config.max_response = MAX_RESPONSE;
	client = wa_http_create(&config);
	if (client == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not initialize the HTTP client"),
				 errhint("Check the memory and the descriptors available.")));
	wa_descriptors_borrow(&borrowed, config.max_sockets + 1); /* and the poller */
	generation++;
	return client;
}

void
wa_forward_client_close(void)
{
	if (client == NULL)
		return;
	wa_http_destroy(client);
	client = NULL;
	wa_descriptors_borrow(&borrowed, 0);
	generation++;
}

int
wa_forward_client_epoll_fd(void)
{
	return client == NULL ? -1 : wa_http_epoll_fd(client);
}

uint32
wa_forward_client_generation(void)
{
	return generation;
}
