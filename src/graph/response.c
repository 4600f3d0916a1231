/*
 * response.c
 *	  What an answer of the Cloud API means for the message.
 *
 * The rule: only what Meta says in so many words is believed.  Accepted is an
 * HTTP 200 with a message id; refused is an error envelope with a code.
 * Whatever else comes back after a request was written (an error page of some
 * machine in between, half an answer, nothing) leaves the message uncertain.
 *
 * A JSON text shows its own end.  So an answer that was read whole counts even
 * if the connection broke afterwards: an HTTP/2 server may answer before it
 * has read the request, and then reset the stream.
 */
#include "wa_c.h"

#include <limits.h>

#include "common/jsonscan.h"
#include "common/plain_text.h"
#include "graph/mask.h"
#include "graph/response.h"

/*
 * Answers are a few hundred bytes with some dozen values; what is larger than
 * this is no answer.
 */
#define MAX_REPLY 65536
#define MAX_VALUES 1024

/*
 * Whatever a Retry-After header asks for, this is enough: whoever is asked too early
 * says so again.  A slip of a digit, or a clock that is wrong, must not stop a number
 * for days.
 */
#define MAX_RETRY_AFTER_S 600

/* Enough for answers of up to 800 bytes. */
#define USUAL_MEMORY 8192

/* An answer as JSON, with memory for one decoded string. */
typedef struct Reply
{
	WaJson json;
	char *scratch;
	size_t scratch_size;
} Reply;

/*
 * Copies as much of text as fits, cut between characters of UTF-8.
 */
static void
copy_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
	{
		len = size - 1;
		while (len > 0 && ((unsigned char) text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(out, text, len);
	out[len] = '\0';
}

/*
 * The string member of an object, decoded; NULL if it is not there.  Valid
 * until the next call.
 */
static const char *
string_member(Reply *reply, uint32_t object, const char *name)
{
	uint32_t node = wa_json_member(&reply->json, object, name);

	if (wa_json_string(&reply->json, node, reply->scratch, reply->scratch_size) < 0)
		return NULL;
	return reply->scratch;
}

/*
 * Ids and key words are printable ASCII and are worth nothing in part: anything
 * else leaves out empty.
 */
static bool
id_member(Reply *reply, uint32_t object, const char *name, char *out, size_t size)
{
	const char *text = string_member(reply, object, name);

	out[0] = '\0';
	if (text == NULL || text[0] == '\0' || strlen(text) >= size)
		return false;
	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p <= ' ' || *p > '~')
			return false;
	}
	memcpy(out, text, strlen(text) + 1);
	return true;
}

/*
 * Adds text for people to the message.
 */
static void
add_message(WaOutcome *outcome, const char *text)
{
	size_t used = strlen(outcome->message);

	if (text[0] == '\0')
		return;
	if (used > 0)
	{
		if (used + 3 >= sizeof(outcome->message))
			return;
		memcpy(outcome->message + used, ": ", 3);
		used += 2;
	}
	copy_text(outcome->message + used, sizeof(outcome->message) - used, text);
}

/*
 * The same with a text of Meta's, which may quote numbers and tokens.  Masked
 * before it is cut: half a token would not be recognised.
 */
static void
add_quoted(Reply *reply, uint32_t object, const char *name, WaOutcome *outcome)
{
	if (string_member(reply, object, name) == NULL)
		return;
	wa_mask_text(reply->scratch);
	wa_plain_text(reply->scratch);
	add_message(outcome, reply->scratch);
}

/*
 * {"messages":[{"id":...,"message_status":...}],"contacts":[{"input":...,"wa_id":...}]}
 */
static bool
read_acceptance(Reply *reply, WaOutcome *outcome)
{
	const WaJson *json = &reply->json;
	uint32_t message = wa_json_first(json, wa_json_member(json, 0, "messages"));
	uint32_t contact = wa_json_first(json, wa_json_member(json, 0, "contacts"));

	if (!id_member(reply, message, "id", outcome->wamid, sizeof(outcome->wamid)))
		return false;
	id_member(reply, message, "message_status", outcome->message_status,
			  sizeof(outcome->message_status));
	id_member(reply, contact, "input", outcome->input, sizeof(outcome->input));
	id_member(reply, contact, "wa_id", outcome->wa_id, sizeof(outcome->wa_id));
	id_member(reply, contact, "user_id", outcome->user_id, sizeof(outcome->user_id));
	outcome->kind = WA_OUTCOME_ACCEPTED;
	return true;
}

/*
 * {"error":{"code":...,"message":...,"error_data":{"details":...},...}}
 */
static bool
read_refusal(Reply *reply, WaOutcome *outcome)
{
	const WaJson *json = &reply->json;
	uint32_t error = wa_json_member(json, 0, "error");
	int64_t code;
	bool transient;

	if (!wa_json_integer(json, wa_json_member(json, error, "code"), &code) || code < 0 ||
		code > INT_MAX)
		return false;

	transient = wa_json_is(json, wa_json_member(json, error, "is_transient"), WA_JSON_TRUE);
	outcome->kind = WA_OUTCOME_REFUSED;
	outcome->code = (int) code;
	outcome->error = wa_error_lookup(outcome->code, outcome->http_status, transient);
	id_member(reply, error, "fbtrace_id", outcome->fbtrace_id, sizeof(outcome->fbtrace_id));

	add_quoted(reply, error, "message", outcome);
	if (outcome->message[0] == '\0')
		add_message(outcome, outcome->error->title);
	add_quoted(reply, wa_json_member(json, error, "error_data"), "details", outcome);
	add_quoted(reply, error, "error_user_title", outcome);
	return true;
}

/*
 * True if the answer says in Meta's words what became of the message.
 */
static bool
read_answer(const WaHttpResult *result, WaOutcome *outcome)
{
	size_t len = result->body_len;
	union
	{
		WaJsonNode aligned;
		char bytes[USUAL_MEMORY];
	} usual;
	char *memory = usual.bytes;
	size_t max_values = Min(MAX_VALUES, len / 2 + 2); /* a value and what separates it */
	size_t size = max_values * sizeof(WaJsonNode) + 2 * (len + 1);
	WaJsonNode *nodes;
	Reply reply;
	bool understood = false;

	if (result->status == 0 || len == 0 || len > MAX_REPLY)
		return false;
	/* nodes, a copy of the text (scanning changes it), and room for a string */
	if (size > sizeof(usual))
		memory = malloc(size);
	if (memory == NULL)
		return false;
	nodes = (WaJsonNode *) memory;
	reply.scratch = memory + max_values * sizeof(WaJsonNode);
	reply.scratch_size = len + 1;
	memcpy(reply.scratch + len + 1, result->body, len);

	if (wa_json_scan(&reply.json, reply.scratch + len + 1, len, nodes, max_values))
		understood = (result->status == 200 && read_acceptance(&reply, outcome)) ||
					 read_refusal(&reply, outcome);
	if (memory != usual.bytes)
		free(memory);
	return understood;
}

void
wa_graph_response_read(const WaHttpResult *result, WaOutcome *outcome)
{
	memset(outcome, 0, sizeof(*outcome));
	outcome->http_status = (int) result->status;
	outcome->retry_after_s = Min(result->retry_after_s, MAX_RETRY_AFTER_S);

	if (read_answer(result, outcome))
		return;

	switch (result->phase)
	{
		case WA_HTTP_ANSWERED:
			outcome->kind = WA_OUTCOME_UNCERTAIN;
			snprintf(outcome->message, sizeof(outcome->message),
					 "HTTP status %d without an answer of the Graph API", outcome->http_status);
			return;
		case WA_HTTP_NOT_WRITTEN:
			outcome->kind = WA_OUTCOME_NOT_WRITTEN;
			break;
		case WA_HTTP_NO_ANSWER:
			outcome->kind = WA_OUTCOME_UNCERTAIN;
			break;
	}
	outcome->code = -result->error_code;
	add_message(outcome, result->error);
}
