/*
 * The requests that are sent: the URL, and the body byte by byte.
 */
#include "wa_c.h"

#include "graph/request.h"
#include "common/jsonscan.h"
#include "tap.h"

static const char *
body_of(const WaGraphMessage *message)
{
	static StringInfoData out;

	if (out.data == NULL)
		initStringInfo(&out);
	resetStringInfo(&out);
	wa_graph_message_body(&out, message);
	return out.data;
}

static void
test_url(void)
{
	StringInfoData url;

	initStringInfo(&url);
	wa_graph_messages_url(&url, "https://graph.facebook.com", "v25.0", "100000000000001", false);
	is_str(url.data, "https://graph.facebook.com/v25.0/100000000000001/messages", "the URL");
	resetStringInfo(&url);
	wa_graph_messages_url(&url, "http://127.0.0.1:8080//", "v25.0", "1", true);
	is_str(url.data, "http://127.0.0.1:8080/v25.0/1/marketing_messages",
		   "slashes at the end are dropped, and marketing goes elsewhere");
	resetStringInfo(&url);
	wa_graph_messages_url(&url, "http://[::1]:80/graph/", "v9.1", "1", false);
	is_str(url.data, "http://[::1]:80/graph/v9.1/1/messages", "a path before ours is kept");
	pfree(url.data);
}

static void
test_body(void)
{
	WaGraphMessage message = {
		.recipient_phone = "+34600000001",
		.type = "text",
		.payload = "{\"body\": \"hola\"}",
		.opaque = "wa1:0a1b2c3d:5:1",
	};

	is_str(body_of(&message),
		   "{\"messaging_product\":\"whatsapp\",\"recipient_type\":\"individual\","
		   "\"to\":\"+34600000001\",\"biz_opaque_callback_data\":\"wa1:0a1b2c3d:5:1\","
		   "\"type\":\"text\",\"text\":{\"body\": \"hola\"}}",
		   "to a number");

	message.context_message_id = "wamid.A==";
	message.recipient_user_id = "ES.700";
	is_str(body_of(&message),
		   "{\"messaging_product\":\"whatsapp\",\"recipient_type\":\"individual\","
		   "\"to\":\"+34600000001\",\"context\":{\"message_id\":\"wamid.A==\"},"
		   "\"biz_opaque_callback_data\":\"wa1:0a1b2c3d:5:1\","
		   "\"type\":\"text\",\"text\":{\"body\": \"hola\"}}",
		   "as a reply; the number goes before the user id");

	message.recipient_phone = NULL;
	message.context_message_id = NULL;
	message.opaque = NULL;
	is_str(body_of(&message),
		   "{\"messaging_product\":\"whatsapp\",\"recipient_type\":\"individual\","
		   "\"recipient\":\"ES.700\",\"type\":\"text\",\"text\":{\"body\": \"hola\"}}",
		   "to a user id, without data of ours");
}

/*
 * Whatever bytes a text has, the body stays JSON and gives them back.
 */
static void
test_escaping(void)
{
	char nasty[256];
	char copy[2048];
	char back[256];
	WaJsonNode nodes[64];
	WaJson json;
	WaGraphMessage message = {.recipient_phone = nasty, .type = "text", .payload = "{}"};
	const char *body;

	for (int i = 1; i < 0x80; i++)
		nasty[i - 1] = (char) i;
	strlcpy(nasty + 0x7f, "\xc3\xb1\xe2\x82\xac\xf0\x9f\x98\x80", sizeof(nasty) - 0x7f);

	body = body_of(&message);
	strlcpy(copy, body, sizeof(copy));
	ok(wa_json_scan(&json, copy, strlen(copy), nodes, lengthof(nodes)), "it is JSON");
	ok(wa_json_string(&json, wa_json_member(&json, 0, "to"), back, sizeof(back)) > 0 &&
		   strcmp(back, nasty) == 0,
	   "and every byte comes back");
	ok(strstr(body, "\\u0001\\u0002") != NULL, "control characters as \\u00XX");
	ok(strstr(body, "\\t\\n\\u000b") != NULL, "the common ones short");
	ok(strstr(body, "\xc3\xb1") != NULL, "letters as they are");
}

static void
test_read_receipt(void)
{
	StringInfoData body;

	initStringInfo(&body);
	wa_graph_read_receipt_body(&body, "wamid.A\"B", false);
	is_str(
		body.data,
		"{\"messaging_product\":\"whatsapp\",\"status\":\"read\",\"message_id\":\"wamid.A\\\"B\"}",
		"a message was read");
	resetStringInfo(&body);
	wa_graph_read_receipt_body(&body, "wamid.A", true);
	is_str(body.data,
		   "{\"messaging_product\":\"whatsapp\",\"status\":\"read\",\"message_id\":\"wamid.A\","
		   "\"typing_indicator\":{\"type\":\"text\"}}",
		   "and an answer is being written");
	pfree(body.data);
}

int
main(void)
{
	test_url();
	test_read_receipt();
	test_body();
	test_escaping();
	return done_testing();
}
