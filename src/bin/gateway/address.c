/*
 * address.c
 *	  Whose request is it?  The peer's address, or what a trusted proxy says of it.
 */
#include "bin/gateway/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "bin/httpd/util.h"

static const unsigned char v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool
is_v4(const GwAddress *address)
{
	return memcmp(address->bytes, v4_prefix, sizeof(v4_prefix)) == 0;
}

static void
set_v4(GwAddress *out, const struct in_addr *v4)
{
	memcpy(out->bytes, v4_prefix, sizeof(v4_prefix));
	memcpy(out->bytes + sizeof(v4_prefix), v4, 4);
}

/* Cuts off a port, and the brackets before it. */
static void
cut_port(const char **text, size_t *len)
{
	const char *colon = memchr(*text, ':', *len);

	if (*len > 0 && **text == '[')
	{
		const char *end = memchr(*text, ']', *len);

		*len = end != NULL ? (size_t) (end - *text) - 1 : 0;
		(*text)++;
	}
	else if (colon != NULL && memchr(colon + 1, ':', *len - (size_t) (colon + 1 - *text)) == NULL)
		*len = (size_t) (colon - *text);
}

bool
gw_address_parse(const char *text, size_t len, GwAddress *out)
{
	char copy[INET6_ADDRSTRLEN];
	struct in_addr v4;

	memset(out, 0, sizeof(*out));
	cut_port(&text, &len);
	if (len == 0 || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET6, copy, out->bytes) == 1)
		return true;
	if (inet_pton(AF_INET, copy, &v4) != 1)
		return false;
	set_v4(out, &v4);
	return true;
}

void
gw_address_format(const GwAddress *address, char *out)
{
	if (is_v4(address))
		inet_ntop(AF_INET, address->bytes + sizeof(v4_prefix), out, GW_ADDRESS_TEXT);
	else
		inet_ntop(AF_INET6, address->bytes, out, GW_ADDRESS_TEXT);
}

bool
gw_network_parse(const char *text, GwNetwork *out)
{
	const char *slash = strchr(text, '/');
	int64_t bits;

	if (!gw_address_parse(text, slash != NULL ? (size_t) (slash - text) : strlen(text), &out->base))
		return false;
	bits = is_v4(&out->base) ? 32 : 128;
	if (slash != NULL && !httpd_parse_int(slash + 1, 0, bits, &bits))
		return false;
	out->bits = (int) bits + (is_v4(&out->base) ? 96 : 0);
	return true;
}

bool
gw_network_contains(const GwNetwork *network, const GwAddress *address)
{
	int whole = network->bits / 8;
	int rest = network->bits % 8;

	return memcmp(network->base.bytes, address->bytes, (size_t) whole) == 0 &&
		   (rest == 0 || (network->base.bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0);
}

void
gw_address_to_subscriber(GwAddress *address)
{
	if (!is_v4(address))
		memset(address->bytes + 8, 0, 8);
}

static bool
is_proxy(const GwAddress *address, const GwNetwork *proxies, int nproxies)
{
	for (int i = 0; i < nproxies; i++)
	{
		if (gw_network_contains(&proxies[i], address))
			return true;
	}
	return false;
}

/* The last item of a list of len bytes, without blanks; len becomes what is before it. */
static const char *
last_item(const char *list, size_t *len, size_t *item_len)
{
	size_t end = *len;
	size_t begin;

	while (end > 0 && (list[end - 1] == ' ' || list[end - 1] == '\t'))
		end--;
	for (begin = end; begin > 0 && list[begin - 1] != ','; begin--)
		;
	*len = begin > 0 ? begin - 1 : 0;
	while (begin < end && (list[begin] == ' ' || list[begin] == '\t'))
		begin++;
	*item_len = end - begin;
	return list + begin;
}

GwAddress
gw_address_of_client(const GwAddress *peer, const char *forwarded, const GwNetwork *proxies,
					 int nproxies)
{
	GwAddress client = *peer;
	size_t len = forwarded != NULL ? strlen(forwarded) : 0;

	while (len > 0 && is_proxy(&client, proxies, nproxies))
	{
		GwAddress before;
		size_t item_len;
		const char *item = last_item(forwarded, &len, &item_len);

		if (!gw_address_parse(item, item_len, &before))
			break;
		client = before;
	}
	return client;
}
