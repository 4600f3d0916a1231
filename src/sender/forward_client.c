/*
 * forward_client.c
 *	  What webhooks go to other nodes through.
 *
 * There is a connection for each line of each node, so none waits for another.  It is
 * open only while there are other nodes.
 */
#include "postgres.h"

#include "sender/forward_client.h"

#define CONNECT_TIMEOUT_MS 5000

/*
 * Longer than a node's gateway keeps a webhook: ten seconds for a connection to its
 * database, and twenty for handlers.  What is given up before is delivered twice.
 */
#define REQUEST_TIMEOUT_MS 45000

/* Nothing of a response is looked at but its status. */
#define MAX_RESPONSE (16 * 1024)

WaTaskClient wa_forward_client;

void
wa_forward_client_open(int nodes)
{
	WaHttpConfig config = {0};
	int requests = nodes * WA_FORWARD_LINES;

	config.max_in_flight = requests;
	config.max_connections = requests;
	config.max_sockets = requests * WA_HTTP_SOCKETS_PER_CONNECTION;
	config.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	config.request_timeout_ms = REQUEST_TIMEOUT_MS;
	config.max_response = MAX_RESPONSE;
	wa_task_client_open(&wa_forward_client, &config);
}
