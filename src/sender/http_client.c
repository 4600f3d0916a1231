/*
 * http_client.c
 *	  What a sender's requests go through, as the settings want it.
 *
 * It is opened once in the life of a process.  When the settings change it is told the
 * new ones: what has begun to leave ends as it began, beside what leaves from then on.
 */
#include "postgres.h"

#include "base/guc.h"
#include "base/secret.h"
#include "http/http.h"
#include "sender/descriptors.h"
#include "sender/http_client.h"
#include "sender/trust.h"
#include "shared/shmem.h"

/* A Graph response is a few hundred bytes; one page of a listing some ten kB. */
#define MAX_RESPONSE (4 * 1024 * 1024)

/* What the HTTP client depends on; compared byte by byte. */
typedef struct ClientSettings
{
	int max_in_flight;
	int max_connections;
	int connect_timeout;
	int request_timeout;
} ClientSettings;

static ClientSettings opened_with;
static uint64 secret_generation; /* of the token in use; 0: none yet */

static void
read_settings(ClientSettings *settings)
{
	memset(settings, 0, sizeof(ClientSettings));
	settings->max_in_flight = wa_guc_max_in_flight;
	settings->max_connections = wa_guc_max_connections;
	settings->connect_timeout = wa_guc_connect_timeout;
	settings->request_timeout = wa_guc_request_timeout;
}

void
wa_http_client_check_settings(WaSender *sender)
{
	ClientSettings settings;

	read_settings(&settings);
	sender->reopen = memcmp(&settings, &opened_with, sizeof(settings)) != 0 || wa_trust_changed();
}

/* By the settings as they are now. */
static WaHttpConfig
client_config(WaSender *sender)
{
	WaHttpConfig config = {0};
	int connections;

	read_settings(&opened_with);
	connections = opened_with.max_connections > 0
					  ? Min(opened_with.max_connections, opened_with.max_in_flight)
					  : opened_with.max_in_flight;
	config.ca_file = wa_trust_bundle();
	config.max_in_flight = opened_with.max_in_flight;
	config.max_connections = opened_with.max_connections;
	config.max_sockets = wa_descriptors_for_sockets(connections);
	config.connect_timeout_ms = opened_with.connect_timeout;
	config.request_timeout_ms = opened_with.request_timeout;
	config.max_response = MAX_RESPONSE;
	pg_atomic_write_u32(&sender->slot->counters.connections_wanted, connections);
	pg_atomic_write_u32(&sender->slot->counters.connections_possible, wa_descriptors_connections());
	return config;
}

static void
no_client(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not initialize the HTTP client"),
					errhint("Check the memory and the descriptors available.")));
}

/* For the requests from now on; without one nothing is claimed. */
static void
use_token(WaSender *sender)
{
	const char *token = wa_secret_access_token();

	/* No other reason: a secret has no characters that a header may not have. */
	if (token != NULL && !wa_http_set_token(sender->http, token))
		no_client();
	sender->has_token = token != NULL;
	secret_generation = wa_secret_token_generation();
}

void
wa_http_client_open(WaSender *sender)
{
	WaHttpConfig config = client_config(sender);

	sender->http = wa_http_create(&config);
	if (sender->http == NULL)
		no_client();
	sender->reopen = false;
	use_token(sender);
}

void
wa_http_client_reopen(WaSender *sender)
{
	WaHttpConfig config = client_config(sender);

	if (!wa_http_reconfigure(sender->http, &config))
		no_client();
	sender->reopen = false;
	sender->n_draining = wa_http_draining(sender->http);
}

void
wa_http_client_close(WaSender *sender)
{
	if (sender->http != NULL)
		wa_http_destroy(sender->http);
	sender->http = NULL;
}

int
wa_http_client_most(void)
{
	return opened_with.max_in_flight;
}

bool
wa_http_client_has_room(const WaSender *sender)
{
	return wa_http_in_flight(sender->http) - sender->n_draining < opened_with.max_in_flight;
}

void
wa_http_client_refresh_token(WaSender *sender)
{
	if (secret_generation == wa_secret_token_generation())
		return;
	use_token(sender);
	sender->token_rotated = true;
}
