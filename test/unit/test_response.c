/*
 * What every kind of answer, and of no answer, makes of a message.
 */
#include "wa_c.h"

#include "graph/response.h"
#include "tap.h"

static WaOutcome outcome;

/*
 * Reads body as a complete answer with this status.
 */
static void
read_body(long status, const char *body)
{
	WaHttpResult result = {
		.phase = WA_HTTP_ANSWERED,
		.status = status,
		.body = body,
		.body_len = strlen(body),
		.error = "",
		.retry_after_s = -1,
	};

	wa_graph_response_read(&result, &outcome);
}

static void
is_kind(WaOutcomeKind kind, const char *what)
{
	static const char *const names[] = {"accepted", "refused", "not written", "uncertain"};

	is_str(names[outcome.kind], names[kind], "%s: %s", what, names[kind]);
}

static void
test_accepted(void)
{
	read_body(200, "{\"messaging_product\":\"whatsapp\",\"contacts\":[{\"input\":\"+34600000001\","
				   "\"wa_id\":\"34600000001\"}],\"messages\":[{\"id\":\"wamid.EXAMPLE1==\","
				   "\"message_status\":\"accepted\"}]}");
	is_kind(WA_OUTCOME_ACCEPTED, "the usual answer");
	is_str(outcome.wamid, "wamid.EXAMPLE1==", "wamid");
	is_str(outcome.input, "+34600000001", "whom it is about");
	is_str(outcome.wa_id, "34600000001", "wa_id");
	is_str(outcome.user_id, "", "no user id");
	is_str(outcome.message_status, "accepted", "message_status");
	is_str(outcome.message, "", "nothing to say");
	is_int(outcome.http_status, 200, "status");
	ok(outcome.error == NULL, "no error");

	read_body(200, "{\"contacts\":[{\"input\":\"ES.7\",\"user_id\":\"ES.7001\"}],"
				   "\"messages\":[{\"id\":\"wamid.X\"}],\"added\":{\"later\":[1,2,{}]}}");
	is_kind(WA_OUTCOME_ACCEPTED, "to a user id, with fields not known yet");
	is_str(outcome.user_id, "ES.7001", "user_id");
	is_str(outcome.input, "ES.7", "whom it is about");
	is_str(outcome.wa_id, "", "no wa_id");

	read_body(200, "{\"messages\":[{\"id\":\"wamid.\\u0041\\/B\"}]}");
	is_str(outcome.wamid, "wamid.A/B", "escapes are decoded");
	read_body(200, " \r\n{\"messages\" : [ {\"id\" : \"wamid.X\" , \"n\" : null} , 5 ] } \n");
	is_kind(WA_OUTCOME_ACCEPTED, "white space, and a second element");
	read_body(200, "{\"messages\":[{\"id\":\"wamid.X\",\"message_status\":\"a b\"}],"
				   "\"contacts\":[{\"wa_id\":12}]}");
	is_kind(WA_OUTCOME_ACCEPTED, "odd optional fields do not matter");
	is_str(outcome.message_status, "", "and are left out");
	read_body(200, "{\"error\":{\"code\":1},\"messages\":[{\"id\":\"wamid.X\"}]}");
	is_kind(WA_OUTCOME_ACCEPTED, "an id proves acceptance");
}

static void
test_refused(void)
{
	read_body(400,
			  "{\"error\":{\"message\":\"(#130429) Rate limit hit\",\"type\":\"OAuthException\","
			  "\"code\":130429,\"error_data\":{\"messaging_product\":\"whatsapp\",\"details\":"
			  "\"Too many messages from this number.\"},\"error_subcode\":2494055,"
			  "\"fbtrace_id\":\"Axyz123\"}}");
	is_kind(WA_OUTCOME_REFUSED, "an error envelope");
	is_int(outcome.code, 130429, "code");
	is_int(outcome.error->error_class, WA_CLASS_THROTTLE_NUMBER, "its class");
	is_str(outcome.message, "(#130429) Rate limit hit: Too many messages from this number.",
		   "message and details");
	is_str(outcome.fbtrace_id, "Axyz123", "trace id");

	read_body(500, "{\"error\":{\"message\":\"An unknown error occurred\",\"code\":1,"
				   "\"is_transient\":false,\"error_user_title\":\"Prueba\"}}");
	is_kind(WA_OUTCOME_REFUSED, "an envelope with a 5xx status is an answer");
	is_str(outcome.message, "An unknown error occurred: Prueba", "with the title for users");
	read_body(400, "{\"error\":{\"code\":\"190\"}}");
	is_int(outcome.code, 190, "a code written as a string");
	is_str(outcome.message, "access token expired or withdrawn", "our words where Meta has none");
	read_body(400, "{\"error\":{\"code\":999999,\"is_transient\":true,\"message\":\"x\"}}");
	is_int(outcome.error->error_class, WA_CLASS_RETRY, "unknown and temporary");
	read_body(400, "{\"error\":{\"code\":999999,\"message\":\"x\"}}");
	is_int(outcome.error->error_class, WA_CLASS_PERMANENT, "unknown");
	read_body(403, "{\"error\":{\"code\":999999,\"message\":\"x\"}}");
	is_int(outcome.error->error_class, WA_CLASS_PAUSE_NUMBER, "the status counts for unknown ones");
	read_body(401, "{\"error\":{\"code\":0,\"message\":\"no\"}}");
	is_kind(WA_OUTCOME_REFUSED, "code 0 is a code");
	read_body(200, "{\"error\":{\"code\":131000,\"message\":\"x\"}}");
	is_kind(WA_OUTCOME_REFUSED, "an envelope counts under any status");
}

static void
test_uncertain(void)
{
	static const struct
	{
		long status;
		const char *body;
		const char *what;
	} cases[] = {
		{502, "<html><body><h1>502 Bad Gateway</h1></body></html>", "an error page"},
		{503, "", "nothing at all"},
		{200, "", "200 and nothing"},
		{200, "{}", "200 without a message"},
		{200, "{\"messages\":[]}", "200 with no element"},
		{200, "{\"messages\":[{}]}", "200 without an id"},
		{200, "{\"messages\":[{\"id\":\"\"}]}", "200 with an empty id"},
		{200, "{\"messages\":[{\"id\":7}]}", "200 with a number for an id"},
		{200, "{\"messages\":[{\"id\":null}]}", "200 with null for an id"},
		{200, "{\"messages\":[{\"id\":\"a b\"}]}", "200 with a blank in the id"},
		{200, "{\"messages\":[{\"id\":\"\\u0000\"}]}", "200 with a NUL for an id"},
		{200, "{\"messages\":[{\"id\":\"\xc3\xb1\"}]}", "200 with a letter in the id"},
		{200, "{\"messages\":{\"id\":\"wamid.X\"}}", "200 with an object for the array"},
		{200, "{\"messages\":[{\"id\":\"wamid.X\"}]", "200 cut before the end"},
		{200, "{\"messages\":[{\"id\":\"wamid.X", "200 cut in the id"},
		{200, "{\"messages\":[{\"id\":\"wamid.X\"}]}}", "200 with more behind the end"},
		{200, "[{\"messages\":[{\"id\":\"wamid.X\"}]}]", "200 with an array"},
		{200, "\"wamid.X\"", "200 with a string"},
		{200, "{\"data\":{\"messages\":[{\"id\":\"wamid.X\"}]}}", "200 with the id elsewhere"},
		{201, "{\"messages\":[{\"id\":\"wamid.X\"}]}", "an id under another status"},
		{302, "{\"messages\":[{\"id\":\"wamid.X\"}]}", "an id under a redirect"},
		{500, "{\"messages\":[{\"id\":\"wamid.X\"}]}", "an id under an error"},
		{400, "{\"error\":{\"message\":\"x\"}}", "an error without a code"},
		{400, "{\"error\":{\"code\":\"x\"}}", "an error whose code is a word"},
		{400, "{\"error\":{\"code\":-5}}", "a negative code"},
		{400, "{\"error\":{\"code\":1.5}}", "half a code"},
		{400, "{\"error\":{\"code\":99999999999}}", "a code too large"},
		{400, "{\"error\":\"no\"}", "an error that is a word"},
		{400, "{\"error\":{\"code\":190", "an error cut short"},
		{400, "{\"code\":190}", "a code elsewhere"},
		{404, "not found", "a word"},
		{200, "\xef\xbb\xbf{\"messages\":[{\"id\":\"wamid.X\"}]}", "a byte order mark"},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		read_body(cases[i].status, cases[i].body);
		is_kind(WA_OUTCOME_UNCERTAIN, cases[i].what);
		is_int(outcome.code, 0, "no code");
		ok(outcome.error == NULL && outcome.wamid[0] == '\0', "nothing of it is believed");
	}
	read_body(502, "<html>");
	is_str(outcome.message, "HTTP status 502 without an answer of the Graph API", "in words");
}

static void
test_no_answer(void)
{
	WaHttpResult result = {
		.phase = WA_HTTP_NOT_WRITTEN,
		.body = "",
		.error = "Failed to connect to 127.0.0.1 port 45123",
		.error_code = 7,
		.retry_after_s = -1,
	};

	wa_graph_response_read(&result, &outcome);
	is_kind(WA_OUTCOME_NOT_WRITTEN, "no connection");
	is_int(outcome.code, -7, "libcurl's code, negative");
	is_int(outcome.http_status, 0, "no status");
	is_str(outcome.message, "Failed to connect to 127.0.0.1 port 45123", "libcurl's words");

	result.phase = WA_HTTP_NO_ANSWER;
	result.error = "Operation timed out";
	result.error_code = 28;
	wa_graph_response_read(&result, &outcome);
	is_kind(WA_OUTCOME_UNCERTAIN, "written, no answer");
	is_int(outcome.code, -28, "libcurl's code, negative");

	/* an answer that is whole although the connection broke after it */
	result.status = 200;
	result.body = "{\"messages\":[{\"id\":\"wamid.X\"}]}";
	result.body_len = strlen(result.body);
	wa_graph_response_read(&result, &outcome);
	is_kind(WA_OUTCOME_ACCEPTED, "broken after a whole answer");
	is_int(outcome.code, 0, "which is no error");
	is_str(outcome.message, "", "and says nothing");

	result.body_len--;
	wa_graph_response_read(&result, &outcome);
	is_kind(WA_OUTCOME_UNCERTAIN, "broken one byte before its end");

	result.status = 400;
	result.body = "{\"error\":{\"code\":131026,\"message\":\"x\"}}";
	result.body_len = strlen(result.body);
	result.phase = WA_HTTP_NOT_WRITTEN;
	wa_graph_response_read(&result, &outcome);
	is_kind(WA_OUTCOME_REFUSED, "refused before the body was complete");

	result.phase = WA_HTTP_ANSWERED;
	result.retry_after_s = 17;
	wa_graph_response_read(&result, &outcome);
	is_int(outcome.retry_after_s, 17, "Retry-After is passed on");
	result.retry_after_s = 100000000;
	wa_graph_response_read(&result, &outcome);
	is_int(outcome.retry_after_s, 600, "but never more than ten minutes of it");
}

static void
test_limits(void)
{
	static char body[80000];
	char id[400];
	WaHttpResult result = {.phase = WA_HTTP_ANSWERED, .status = 400, .body = body, .error = ""};
	size_t len;

	/* ids: whole or not at all */
	for (int i = 254; i <= 256; i++)
	{
		memset(id, 'x', sizeof(id));
		id[i] = '\0';
		snprintf(body, sizeof(body), "{\"messages\":[{\"id\":\"%s\"}]}", id);
		read_body(200, body);
		is_kind(i < 256 ? WA_OUTCOME_ACCEPTED : WA_OUTCOME_UNCERTAIN, "a long id");
		is_int(strlen(outcome.wamid), i < 256 ? i : 0, "of %d bytes", i);
	}

	/* texts: cut between characters */
	len = snprintf(body, sizeof(body), "{\"error\":{\"code\":100,\"message\":\"x");
	for (int i = 0; i < 1000; i++)
		len += snprintf(body + len, sizeof(body) - len, "\xc3\xb1");
	snprintf(body + len, sizeof(body) - len, "\",\"error_data\":{\"details\":\"tail\"}}}");
	read_body(400, body);
	is_kind(WA_OUTCOME_REFUSED, "a very long message");
	is_int(strlen(outcome.message), sizeof(outcome.message) - 1, "is cut");
	ok(memcmp(outcome.message + sizeof(outcome.message) - 3, "\xc3\xb1", 2) == 0,
	   "between characters");

	/* nesting and size */
	memset(body, '[', 60000);
	result.body_len = 60000;
	wa_graph_response_read(&result, &outcome);
	is_kind(WA_OUTCOME_UNCERTAIN, "sixty thousand brackets");
	len = snprintf(body, sizeof(body), "{\"error\":{\"code\":100},\"x\":\"");
	memset(body + len, 'x', 70000);
	strlcpy(body + len + 70000, "\"}", 3);
	read_body(400, body);
	is_kind(WA_OUTCOME_UNCERTAIN, "seventy thousand bytes");

	/* bytes that are no text */
	memcpy(body, "{\"a\":\"\0\",\"error\":{\"code\":100}}", 31);
	result.body_len = 31;
	wa_graph_response_read(&result, &outcome);
	is_kind(WA_OUTCOME_UNCERTAIN, "a NUL byte");
	read_body(400, "{\"error\":{\"code\":100,\"message\":\"bad \xff byte\"}}");
	ok(outcome.kind == WA_OUTCOME_UNCERTAIN || strcmp(outcome.message, "bad ? byte") == 0,
	   "invalid UTF-8 does not get through");
}

static void
test_secrets(void)
{
	read_body(400,
			  "{\"error\":{\"code\":190,\"message\":\"Malformed access token EAAJZBzX0ZCqkBO"
			  "1ZAxyzABC\",\"error_data\":{\"details\":\"Recipient +34 600 000 001 failed\"}}}");
	is_str(outcome.message, "Malformed access token ***: Recipient +***01 failed",
		   "no token, no number");
}

int
main(void)
{
	test_accepted();
	test_refused();
	test_uncertain();
	test_no_answer();
	test_limits();
	test_secrets();
	return done_testing();
}
