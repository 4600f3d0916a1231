/*
 * fetch_client.c
 *	  What files of customers are fetched through.
 *
 * It is open only while files are fetched; settings that have changed hold from the next
 * time it is opened.
 */
#include "postgres.h"

#include "base/guc.h"
#include "sender/fetch_client.h"

/* A file that comes slower than this is given up: bytes per second, and in a millisecond. */
#define SLOWEST 4096
#define SLOWEST_ON_AVERAGE 32

#define RECEIVE_BUFFER (64 * 1024)

/* The response that says where the file is may be longer than a small file. */
#define MIN_RESPONSE (32 * 1024)

/* For each file one to Meta's API and one to where the file is. */
#define CONNECTIONS (2 * WA_MAX_FETCHES)

typedef struct Settings
{
	int max_size;
	int connect_timeout;
	int request_timeout;
} Settings;

WaTaskClient wa_fetch_client;

static Settings opened_with;

static Settings
current_settings(void)
{
	return (Settings){.max_size = wa_guc_fetch_media_max_size,
					  .connect_timeout = wa_guc_connect_timeout,
					  .request_timeout = wa_guc_request_timeout};
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

	return wa_fetch_client.http != NULL && memcmp(&now, &opened_with, sizeof(now)) != 0;
}

/* As long as a file of the size allowed takes, in any case less than ten hours. */
static int
longest_ms(void)
{
	return opened_with.request_timeout + (int) (wa_fetch_client_limit() / SLOWEST_ON_AVERAGE);
}

void
wa_fetch_client_open(void)
{
	WaHttpConfig config = {0};

	if (wa_fetch_client.http != NULL)
		return;
	opened_with = current_settings();
	config.max_in_flight = WA_MAX_FETCHES;
	config.max_connections = CONNECTIONS;
	config.max_sockets = CONNECTIONS * WA_HTTP_SOCKETS_PER_CONNECTION;
	config.connect_timeout_ms = opened_with.connect_timeout;
	config.request_timeout_ms = longest_ms();
	config.max_response = Max(wa_fetch_client_limit(), MIN_RESPONSE);
	config.receive_buffer = RECEIVE_BUFFER;
	config.slowest = SLOWEST;
	config.slowest_for_ms = opened_with.request_timeout;
	wa_task_client_open(&wa_fetch_client, &config);
}
