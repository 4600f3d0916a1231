/*
 * fetch_client.h
 *	  What files of customers are fetched through.
 */
#ifndef WA_SENDER_FETCH_CLIENT_H
#define WA_SENDER_FETCH_CLIENT_H

#include "sender/task_client.h"

/* On the wire at a time; a number that hangs takes one of them, and no more. */
#define WA_MAX_FETCHES 2

extern WaTaskClient wa_fetch_client;

/* By the settings as they are now, if it is not open; raises. */
extern void wa_fetch_client_open(void);

/* Bytes that a file may have, by the settings it was opened with. */
extern size_t wa_fetch_client_limit(void);

/* Whether the settings are others by now. */
extern bool wa_fetch_client_is_outdated(void);

#endif
