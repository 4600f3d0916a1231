/*
 * fetch_client.c
 *	  What files of customers are fetched through: an HTTP client of its own.
 *
 * Not that of the messages: a file is larger than any response there, takes longer, and
 * must not have a connection that a message waits for.  It is open only while files are
 * fetched, so whoever fetches none has no sockets for it; and settings that have changed
 * hold from the next time it is opened.
 */
#include "postgres.h"

#include "base/guc.h"
#include "http/http.h"
#include "sender/descriptors.h"
#include "sender/fetch_client.h"
#include "sender/trust.h"

/* A file that comes slower than this is given up: bytes per second, and in a millisecond. */
#define SLOWEST 4096
#define SLOWEST_ON_AVERAGE 32

#define RECEIVE_BUFFER (64 * 1024)

/* The response that says where the file is may be longer than a small file. */
#define MIN_RESPONSE (32 * 1024)

/* For each file one to Meta's API and one to where the file is, while they are opened; and the
 * poller. */
#define SOCKETS (WA_MAX_FETCHES * 2 * WA_HTTP_SOCKETS_PER_CONNECTION)
#define DESCRIPTORS (SOCKETS + 1)

typedef struct Settings
{
	int max_size;
	int connect_timeout;
	int request_timeout;
} Settings;

static WaHttp *client;
static Settings opened_with;
static int borrowed; /* descriptors */
static uint32 generation;

static Settings
current_settings(void)
{
	return (Settings){.max_size = wa_guc_fetch_media_max_size,
					  .connect_timeout = wa_guc_connect_timeout,
					  .request_timeout = wa_guc_request_timeout};
}

WaHttp *
wa_fetch_client(void)
{
	return client;
}

size_t
wa_fetch_client_limit(void)
{
	return (size_t) opened_with.max_size * 1024;
}

bool
wa_fetch_client_is_outdated(void)
{
	Settings now = current_settings();

	return client != NULL && memcmp(&now, &opened_with, sizeof(now)) != 0;
}

/* As long as a file of the size allowed takes, in any case less than ten hours. */
static int
longest_ms(void)
{
	return opened_with.request_timeout + (int) (wa_fetch_client_limit() / SLOWEST_ON_AVERAGE);
}

WaHttp *
wa_fetch_client_open(void)
{
	WaHttpConfig config = {0};

	if (client != NULL)
		return client;
	opened_with = current_settings();
	config.ca_file = wa_trust_bundle_in_force();
	config.max_in_flight = WA_MAX_FETCHES;
	config.max_connections = 2 * WA_MAX_FETCHES;
	config.max_sockets = SOCKETS;
	config.connect_timeout_ms = opened_with.connect_timeout;
	config.request_timeout_ms = longest_ms();
	config.max_response = Max(wa_fetch_client_limit(), MIN_RESPONSE);
	config.receive_buffer = RECEIVE_BUFFER;
	config.slowest = SLOWEST;
	config.slowest_for_ms = opened_with.request_timeout;
	client = wa_http_create(&config);
	if (client == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not initialize the HTTP client"),
				 errhint("Check the memory and the descriptors available.")));
	wa_descriptors_borrow(&borrowed, DESCRIPTORS);
	generation++;
	return client;
}

void
wa_fetch_client_close(void)
{
	if (client == NULL)
		return;
	wa_http_destroy(client);
	client = NULL;
	wa_descriptors_borrow(&borrowed, 0);
	generation++;
}

int
wa_fetch_client_epoll_fd(void)
{
	return client == NULL ? -1 : wa_http_epoll_fd(client);
}

uint32
wa_fetch_client_generation(void)
{
	return generation;
}
