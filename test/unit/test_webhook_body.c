/*
 * What kind of webhook a body is.
 */
#include "wa_c.h"

#include "common/webhook_body.h"
#include "tap.h"

#define MAX_BODY (300 * 1024)

static char document[MAX_BODY + 1];
static WaJsonNode nodes[MAX_BODY];

static bool
scan(const char *body, WaJson *json)
{
	strlcpy(document, body, sizeof(document));
	return wa_json_scan(json, document, strlen(document), nodes, lengthof(nodes));
}

static bool
is_plain(const char *body)
{
	WaJson json;

	return scan(body, &json) && wa_webhook_body_is_plain(&json);
}

static bool
has_messages(const char *body)
{
	WaJson json;

	return scan(body, &json) && wa_webhook_body_has_messages(&json);
}

#define BODY(changes)                                                                              \
	"{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"1\",\"changes\":[" changes     \
	"]}]}"
#define CHANGE(value) "{\"field\":\"messages\",\"value\":{" value "}}"
#define STATUS "\"statuses\":[{\"id\":\"wamid.1\",\"status\":\"sent\"}]"
#define CONTACT "\"contacts\":[{\"wa_id\":\"34600000001\"}]"
#define MESSAGE "\"messages\":[{\"id\":\"wamid.2\",\"type\":\"button\"}]"

/* n statuses in one change. */
static const char *
many(int n)
{
	static char body[MAX_BODY];
	size_t len = 0;

	len += snprintf(body, sizeof(body),
					"{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"field\":"
					"\"messages\",\"value\":{\"statuses\":[");
	for (int i = 0; i < n; i++)
		len += snprintf(body + len, sizeof(body) - len, "%s{}", i > 0 ? "," : "");
	snprintf(body + len, sizeof(body) - len, "]}}]}]}");
	return body;
}

/* A plain body that is so long. */
static const char *
padded(size_t length)
{
	static char body[MAX_BODY + 1];

	snprintf(body, sizeof(body), "%-*s", (int) length, BODY(CHANGE(STATUS)));
	return body;
}

int
main(void)
{
	ok(is_plain(BODY(CHANGE(STATUS))), "one status");
	ok(is_plain(BODY(CHANGE(STATUS "," CONTACT))), "with a contact");
	ok(is_plain(BODY(CHANGE(STATUS) "," CHANGE(CONTACT "," STATUS))), "two changes");
	ok(is_plain(many(99)), "many statuses");
	ok(!is_plain(many(100)), "too many");
	ok(is_plain(padded(256 * 1024)), "long");
	ok(!is_plain(padded(256 * 1024 + 1)), "too long");

	ok(!is_plain(BODY(CHANGE(MESSAGE))), "a message");
	ok(!is_plain(BODY(CHANGE(STATUS "," MESSAGE))), "a message beside a status");
	ok(!is_plain(BODY(CHANGE(STATUS) "," CHANGE(MESSAGE))), "a message in the next change");
	ok(!is_plain(BODY(CHANGE(STATUS ",\"messages\":[]"))), "no message, by name");
	ok(!is_plain(BODY(CHANGE(STATUS ",\"\\u006dessages\":[{}]"))), "the name in disguise");
	ok(!is_plain(BODY(CHANGE(STATUS ",\"errors\":[{\"code\":1}]"))), "errors of the account");
	ok(!is_plain(BODY("{\"field\":\"security\",\"value\":{" STATUS "}}")), "another field");
	ok(!is_plain(BODY(CHANGE("\"statuses\":{}"))), "statuses that are no array");
	ok(!is_plain(BODY(CHANGE("\"statuses\":[]"))), "no status");
	ok(!is_plain(BODY(CHANGE(STATUS ",\"contacts\":1"))), "contacts that are no array");
	ok(!is_plain(BODY(CHANGE(STATUS) ",1")), "a change that is none");
	ok(!is_plain(BODY("")), "no change");
	ok(!is_plain("{\"object\":\"page\",\"entry\":[{\"changes\":[" CHANGE(STATUS) "]}]}"),
	   "another product");
	ok(!is_plain("{\"object\":\"whatsapp_business_account\"}"), "no entry");
	ok(!is_plain("[]") && !is_plain("1") && !is_plain("{}"), "nothing of the kind");

	ok(has_messages(BODY(CHANGE(MESSAGE))), "has a message");
	ok(has_messages(BODY(CHANGE(STATUS) "," CHANGE(MESSAGE))), "has one in the second change");
	ok(has_messages(BODY(CHANGE("\"\\u006dessages\":[{}]"))), "has one in disguise");
	ok(has_messages("{\"entry\":[{},{\"changes\":[{\"value\":{\"messages\":[{}]}}]}]}"),
	   "in the second entry, whatever else is missing");
	ok(has_messages(BODY(CHANGE("\"standby\":{\"messages\":[{}]}"))),
	   "has one in a conversation that another application has");
	ok(!has_messages(BODY(CHANGE(STATUS "," CONTACT))), "has none");
	ok(!has_messages(BODY(CHANGE("\"text\":\"\\\"messages\\\":[]\""))),
	   "a text that looks like one");
	ok(!has_messages("{\"messages\":[{}]}"), "one that stands elsewhere");
	ok(!has_messages("[]"), "nothing of the kind");
	return done_testing();
}
