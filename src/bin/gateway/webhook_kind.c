/*
 * webhook_kind.c
 *	  Which webhooks may go together, and which must not hold up others.
 */
#include "bin/gateway/webhook_kind.h"

#include <stdlib.h>
#include <string.h>

#include "bin/gateway/utf8.h"
#include "bin/httpd/util.h"
#include "common/webhook_body.h"

/* Memory for ordinary bodies is kept; for larger ones it is there while they are looked at. */
#define KEPT_BODY 4096

static GwWebhookKind
kind_of(const char *body, size_t len, char *copy, WaJsonNode *nodes, size_t max_nodes)
{
	WaJson json;

	memcpy(copy, body, len); /* scanning writes into it */
	copy[len] = '\0';
	if (!wa_json_scan(&json, copy, len, nodes, max_nodes))
		return GW_WEBHOOK_ALONE;
	if (wa_webhook_body_is_plain(&json))
		return GW_WEBHOOK_PLAIN;
	return wa_webhook_body_has_messages(&json) ? GW_WEBHOOK_MESSAGES : GW_WEBHOOK_ALONE;
}

GwWebhookKind
gw_webhook_kind(const char *body, size_t len)
{
	static char kept_copy[KEPT_BODY + 1];
	static WaJsonNode *kept_nodes;
	size_t max_nodes = wa_json_max_nodes(len);
	char *copy;
	WaJsonNode *nodes;
	GwWebhookKind kind;

	if (len == 0 || !gw_utf8_valid(body, len))
		return GW_WEBHOOK_ALONE;
	if (len <= KEPT_BODY)
	{
		if (kept_nodes == NULL)
			kept_nodes = httpd_alloc(wa_json_max_nodes(KEPT_BODY) * sizeof(WaJsonNode));
		return kind_of(body, len, kept_copy, kept_nodes, max_nodes);
	}
	copy = httpd_alloc(len + 1);
	nodes = httpd_alloc(max_nodes * sizeof(WaJsonNode));
	kind = kind_of(body, len, copy, nodes, max_nodes);
	free(nodes);
	free(copy);
	return kind;
}
