/*
 * client.c
 *	  Whose request this is, behind however many proxies.
 */
#include "bin/gateway/client.h"

#include <string.h>
#include <strings.h>

#include "bin/gateway/settings.h"
#include "bin/httpd/head.h"
#include "bin/httpd/util.h"

#define MAX_PROXIES 32

static GwNetwork proxies[MAX_PROXIES];
static int nproxies;

/* Who can connect from this machine could as well be any client's neighbour. */
static void
trust_loopback(void)
{
	gw_network_parse("127.0.0.0/8", &proxies[0]);
	gw_network_parse("::1", &proxies[1]);
	nproxies = 2;
}

static void
read_proxies(const GwTextList *list)
{
	if (list->n == 0)
		trust_loopback();
	if (list->n > MAX_PROXIES)
		httpd_die("--trusted-proxy can be given %d times", MAX_PROXIES);
	for (int i = 0; i < list->n; i++)
	{
		if (!gw_network_parse(list->items[i], &proxies[nproxies++]))
			httpd_die("--trusted-proxy: \"%s\" is neither an address nor a network",
					  list->items[i]);
	}
}

void
gw_client_open(void)
{
	read_proxies(&gw_settings->trusted_proxy);
}

static void
add_forwarded(void *arg, const char *name, const char *value)
{
	if (strcasecmp(name, "X-Forwarded-For") == 0)
		httpd_buf_printf(arg, ",%s", value);
}

/* At the other end of a Unix socket, which has no address, is this machine. */
static GwAddress
peer_of(const GwExchange *exchange)
{
	char text[64];
	GwAddress peer;

	httpd_connection_address(exchange->http.connection, text, sizeof(text));
	if (!gw_address_parse(text, strlen(text), &peer))
		gw_address_parse("::1", strlen("::1"), &peer);
	return peer;
}

/* Some proxies add to the header that the client sent, some add another one. */
GwAddress
gw_client_address(const GwExchange *exchange)
{
	HttpdBuf forwarded = {0};
	GwAddress client = peer_of(exchange);

	httpd_head_visit(&exchange->http, add_forwarded, &forwarded);
	client = gw_address_of_client(&client, forwarded.data, proxies, nproxies);
	httpd_buf_free(&forwarded);
	return client;
}
