/*
 * client.h
 *	  The HTTP client under test, driven as the sender drives it.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "http/http.h"

#define CLIENT_MAX_IN_FLIGHT 100

/* A client that trusts the test servers. */
extern WaHttp *client_create(void);

/* The same with other values: change them before client_create_with. */
extern WaHttpConfig client_config(void);
extern WaHttp *client_create_with(const WaHttpConfig *config);

/* Waits for the next result, at most so long; NULL then. */
extern WaHttpResult *client_wait_ms(WaHttp *http, int timeout_ms);
extern WaHttpResult *client_wait(WaHttp *http);

/* Turns of the loop since the program began, and how long the longest one took. */
extern int client_turns(void);
extern int client_longest_turn_ms(void);

/*
 * Names ending in ".test" are looked up here: "unknown.test" does not exist,
 * a look-up of "silent.test" does not end before client_end_lookups(), all others
 * are this host.  How many look-ups there were, and whether all of
 * them ran on threads with their signals blocked.
 */
extern int client_lookups(void);
extern bool client_lookups_masked(void);
extern void client_end_lookups(void);

/*
 * After so many more calls of send() by the client, the socket of the last one
 * takes nothing any more, as if its buffer were full; of that last one, not
 * more than the headers.
 */
extern void client_block_after(int sends);

/* For the server's side: returns when a send has been blocked so. */
extern void client_wait_until_blocked(void);

/* Sends a small body and waits.  The result is to be released. */
extern WaHttpResult *client_post(WaHttp *http, const char *base, const char *path);
extern bool client_submit(WaHttp *http, const char *base, const char *path, void *tag);

#endif
