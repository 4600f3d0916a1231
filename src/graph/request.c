/*
 * request.c
 *	  Builds requests to the Cloud API.
 *
 * The message's own object (payload) was checked and put together when it was
 * enqueued, and is passed on as it stands.  Here it only gets its envelope.
 * All texts are UTF-8, as JSON demands.
 */
#include "wa_c.h"

#include "graph/request.h"

/*
 * RFC 8259, section 7: the quote, the backslash and control characters must
 * be escaped; nothing else need be.
 */
static void
append_json_string(StringInfo out, const char *text)
{
	const char *clean = text; /* the beginning of what need not be escaped */
	const char *p;

	appendStringInfoChar(out, '"');
	for (p = text; *p != '\0'; p++)
	{
		if (*p != '"' && *p != '\\' && (unsigned char) *p >= ' ')
			continue;
		appendBinaryStringInfo(out, clean, (int) (p - clean));
		clean = p + 1;
		switch (*p)
		{
			case '"':
				appendStringInfoString(out, "\\\"");
				break;
			case '\\':
				appendStringInfoString(out, "\\\\");
				break;
			case '\n':
				appendStringInfoString(out, "\\n");
				break;
			case '\r':
				appendStringInfoString(out, "\\r");
				break;
			case '\t':
				appendStringInfoString(out, "\\t");
				break;
			default:
				appendStringInfo(out, "\\u%04x", (unsigned char) *p);
		}
	}
	appendBinaryStringInfo(out, clean, (int) (p - clean));
	appendStringInfoChar(out, '"');
}

/*
 * POST {graph_url}/{api_version}/{phone_number_id}/messages, or /marketing_messages of the
 * Marketing Messages API, which takes the same of marketing templates.
 */
void
wa_graph_messages_url(StringInfo out, const char *graph_url, const char *api_version,
					  const char *phone_number_id, bool marketing)
{
	size_t len = strlen(graph_url);

	while (len > 0 && graph_url[len - 1] == '/')
		len--;
	appendBinaryStringInfo(out, graph_url, (int) len);
	appendStringInfo(out, "/%s/%s/%s", api_version, phone_number_id,
					 marketing ? "marketing_messages" : "messages");
}

/*
 * A customer's message was read, and an answer may be being written: Meta's page on
 * typing indicators.  Goes to the same address as messages.
 */
void
wa_graph_read_receipt_body(StringInfo out, const char *wamid, bool typing)
{
	appendStringInfoString(out, "{\"messaging_product\":\"whatsapp\",\"status\":\"read\","
								"\"message_id\":");
	append_json_string(out, wamid);
	if (typing)
		appendStringInfoString(out, ",\"typing_indicator\":{\"type\":\"text\"}");
	appendStringInfoChar(out, '}');
}

/*
 * A message has a phone number or a user id; Meta prefers the number where it
 * gets both, and so do we.
 */
void
wa_graph_message_body(StringInfo out, const WaGraphMessage *message)
{
	bool by_phone = message->recipient_phone != NULL;

	appendStringInfoString(out, "{\"messaging_product\":\"whatsapp\","
								"\"recipient_type\":\"individual\",");
	appendStringInfoString(out, by_phone ? "\"to\":" : "\"recipient\":");
	append_json_string(out, by_phone ? message->recipient_phone : message->recipient_user_id);
	if (message->context_message_id != NULL)
	{
		appendStringInfoString(out, ",\"context\":{\"message_id\":");
		append_json_string(out, message->context_message_id);
		appendStringInfoChar(out, '}');
	}
	if (message->opaque != NULL)
	{
		appendStringInfoString(out, ",\"biz_opaque_callback_data\":");
		append_json_string(out, message->opaque);
	}
	appendStringInfoString(out, ",\"type\":");
	append_json_string(out, message->type);
	appendStringInfoChar(out, ',');
	append_json_string(out, message->type);
	appendStringInfoChar(out, ':');
	appendStringInfoString(out, message->payload);
	appendStringInfoChar(out, '}');
}
