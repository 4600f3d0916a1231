/*
 * config.h
 *	  What the HTTP client is opened with.
 */
#ifndef WA_HTTP_CONFIG_H
#define WA_HTTP_CONFIG_H

#include <stddef.h>

/*
 * While it is being opened, a connection may have two sockets, one for each family
 * of addresses; before that, two for the lookup of its name.
 */
#define WA_HTTP_SOCKETS_PER_CONNECTION 2

typedef struct WaHttpConfig
{
	const char *ca_file; /* CA bundle to trust instead of the system's; NULL or "" */
	int max_in_flight;
	int max_connections; /* 0: chosen by the protocol spoken */
	int max_sockets;	 /* open at once; 0: as many as it takes */
	int connect_timeout_ms;
	int request_timeout_ms;
	size_t max_response; /* bytes of body kept; more is an error */

	/* For large responses; 0: what suits small ones. */
	int receive_buffer; /* bytes taken at once */
	int slowest;		/* bytes per second ... */
	int slowest_for_ms; /* ... that must come for as long as this, or it is given up */
} WaHttpConfig;

#endif
