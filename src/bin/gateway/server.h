/*
 * server.h
 *	  What the gateway does at each point of an exchange.
 */
#ifndef GW_SERVER_H
#define GW_SERVER_H

/* Opens the addresses of the settings, and prints "listening on URL" for each. */
extern void gw_server_open(void);

#endif
