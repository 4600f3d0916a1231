/*
 * task_client.c
 *	  An HTTP client of a task's own.
 */
#include "postgres.h"

#include "http/http.h"
#include "sender/descriptors.h"
#include "sender/task_client.h"
#include "sender/trust.h"

void
wa_task_client_open(WaTaskClient *client, WaHttpConfig *config)
{
	if (client->http != NULL)
		return;
	config->ca_file = wa_trust_bundle_in_force();
	client->http = wa_http_create(config);
	if (client->http == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not initialize the HTTP client"),
				 errhint("Check the memory and the descriptors available.")));
	wa_descriptors_borrow(&client->borrowed, config->max_sockets + 1); /* and the poller */
	client->generation++;
}

void
wa_task_client_close(WaTaskClient *client)
{
	if (client->http == NULL)
		return;
	wa_http_destroy(client->http);
	client->http = NULL;
	wa_descriptors_borrow(&client->borrowed, 0);
	client->generation++;
}

long
wa_task_client_wait_ms(const WaTaskClient *client)
{
	return client->http == NULL ? -1 : wa_http_timeout_ms(client->http);
}
