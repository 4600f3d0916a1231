/*
 * address.h
 *	  Whose request is it?  The peer's address, or what a trusted proxy says of it.
 */
#ifndef GW_ADDRESS_H
#define GW_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* An IPv6 address; an IPv4 address is written as an IPv6 one (::ffff:a.b.c.d). */
typedef struct GwAddress
{
	unsigned char bytes[16];
} GwAddress;

/* The addresses that begin with bits bits of base. */
typedef struct GwNetwork
{
	GwAddress base;
	int bits;
} GwNetwork;

/* Of len bytes: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80. */
extern bool gw_address_parse(const char *text, size_t len, GwAddress *out);

/* An address, or an address, a slash, and a number of bits. */
extern bool gw_network_parse(const char *text, GwNetwork *out);
extern bool gw_network_contains(const GwNetwork *network, const GwAddress *address);

/* As people write it; out has room for GW_ADDRESS_TEXT. */
#define GW_ADDRESS_TEXT 46
extern void gw_address_format(const GwAddress *address, char *out);

/*
 * Whom a limit is about: an IPv4 address, or the first 64 bits of an IPv6 one,
 * all of which belong to one client as a rule.
 */
extern void gw_address_to_subscriber(GwAddress *address);

/*
 * The client: the peer, or if that is a trusted proxy, the last address of
 * X-Forwarded-For that is none.  What a client writes into that header itself
 * stands before that.  forwarded may be NULL.
 */
extern GwAddress gw_address_of_client(const GwAddress *peer, const char *forwarded,
									  const GwNetwork *proxies, int nproxies);

#endif
