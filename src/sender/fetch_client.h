/*
 * fetch_client.h
 *	  What files of customers are fetched through: an HTTP client of its own.
 */
#ifndef WA_SENDER_FETCH_CLIENT_H
#define WA_SENDER_FETCH_CLIENT_H

#include "sender/state/sender.h"

/* On the wire at a time; a number that hangs takes one of them, and no more. */
#define WA_MAX_FETCHES 2

/* NULL while nothing is fetched. */
extern struct WaHttp *wa_fetch_client(void);

/* By the settings as they are now, if it is not open; raises. */
extern struct WaHttp *wa_fetch_client_open(void);

/* Bytes that a file may have, by the settings it was opened with. */
extern size_t wa_fetch_client_limit(void);

/* Whether the settings are others by now. */
extern bool wa_fetch_client_is_outdated(void);

/* Ends what is under way, and waits for nothing. */
extern void wa_fetch_client_close(void);

/* For the wait: the descriptor, -1 if there is none; another generation, another one. */
extern int wa_fetch_client_epoll_fd(void);
extern uint32 wa_fetch_client_generation(void);

#endif
