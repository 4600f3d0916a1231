/*
 * poller.h
 *	  An epoll descriptor that follows many sockets with few system calls.
 *
 * Knows nothing of curl.  Allocates with malloc and raises nothing.
 */
#ifndef WA_HTTP_POLLER_H
#define WA_HTTP_POLLER_H

#include <stdbool.h>

#define WA_POLL_IN 1
#define WA_POLL_OUT 2
#define WA_POLL_ERROR 4 /* reported only */

typedef struct WaPoller WaPoller;

typedef struct WaPollEvent
{
	int fd;
	int events;
	void *owner; /* as given to wa_poller_want */
} WaPollEvent;

extern WaPoller *wa_poller_create(void);
extern void wa_poller_destroy(WaPoller *poller);
extern int wa_poller_fd(const WaPoller *poller);

/*
 * A socket whose closing will be announced by wa_poller_closing: changes to it
 * may be put off.  False if out of memory.
 */
extern bool wa_poller_opened(WaPoller *poller, int fd);
extern void wa_poller_closing(WaPoller *poller, int fd);
extern int wa_poller_open_sockets(const WaPoller *poller);

/*
 * The next descriptor above fd (-1: the first) whose socket was closed without being
 * announced, and is not counted from here on; -1 if there is none.  Asks the kernel
 * about each socket.
 */
extern int wa_poller_next_lost(WaPoller *poller, int fd);

/* Of those that are open, those for which wa_poller_want was last called with this owner. */
extern int wa_poller_sockets_of(const WaPoller *poller, const void *owner);

/* What to wait for on fd; 0 nothing more.  False if out of memory. */
extern bool wa_poller_want(WaPoller *poller, int fd, int events, void *owner);

/*
 * Whether the peer is known to have closed an announced socket from which
 * nothing is wanted, named by its local port.
 */
extern bool wa_poller_is_closed_port(const WaPoller *poller, int port);

/* Tells the kernel what has changed.  To be called before each wait. */
extern void wa_poller_apply(WaPoller *poller);

/* What is ready now, without waiting. */
extern int wa_poller_ready(WaPoller *poller, WaPollEvent *out, int max);

#endif
