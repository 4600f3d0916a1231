/*
 * fuzz_webhook.c
 *	  What stands between the internet and the tables: the signature check and
 *	  the scanner of the body.
 *
 * The input is the header's text up to the first line feed, then the body.
 * Beyond not crashing, a few things must hold for every input: only the right
 * signature is right, values lie inside the text and inside each other, and
 * walking an array ends.
 */
#include "wa_c.h"

#include "common/hmac.h"
#include "common/sha2.h"

#include "common/message_state.h"
#include "common/jsonscan.h"
#include "common/signature.h"

static const char secret[] = "an app secret";

static void
expect(bool truth)
{
	if (!truth)
		__builtin_trap();
}

/* The header that Meta would send with this body. */
static void
sign(const uint8_t *body, size_t len, char *header)
{
	uint8_t digest[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);

	expect(ctx != NULL && pg_hmac_init(ctx, (const uint8 *) secret, strlen(secret)) >= 0 &&
		   pg_hmac_update(ctx, body, len) >= 0 && pg_hmac_final(ctx, digest, sizeof(digest)) >= 0);
	pg_hmac_free(ctx);
	header += sprintf(header, "sha256=");
	for (size_t i = 0; i < sizeof(digest); i++)
		header += sprintf(header, "%02x", digest[i]);
}

static void
check_signature(const char *header, size_t header_len, const uint8_t *body, size_t len)
{
	char right[80];
	size_t right_len;
	size_t at;
	bool same;

	sign(body, len, right);
	right_len = strlen(right);
	expect(wa_signature_matches(right, right_len, body, len, secret));

	/* Hexadecimal digits may be of either case; nothing else may differ. */
	same = header_len == right_len;
	for (size_t i = 0; same && i < header_len; i++)
		same = i < 7 ? header[i] == right[i]
					 : pg_tolower((unsigned char) header[i]) == (unsigned char) right[i];
	expect(wa_signature_matches(header, header_len, body, len, secret) == same);

	/* Nor may a bit be wrong, or the last digit be missing. */
	at = header_len % right_len;
	right[at] ^= 0x01;
	expect(!wa_signature_matches(right, right_len, body, len, secret));
	right[at] ^= 0x01;
	expect(!wa_signature_matches(right, right_len - 1, body, len, secret));
}

/* Reads every value in every way that the webhook's code does. */
static void
walk(const WaJson *json)
{
	static const char *const names[] = {"object",	"entry", "changes", "value",
										"statuses", "id",	 "errors",	"code"};
	char *out = malloc(json->len + 1);

	expect(out != NULL);
	for (uint32_t node = 0; node < json->count; node++)
	{
		const WaJsonNode *n = &json->nodes[node];
		char small[8];
		int64_t number;
		long written;

		expect(n->start <= n->end && n->end <= json->len);
		expect(n->next > node && n->next <= json->count);

		written = wa_json_string(json, node, out, json->len + 1);
		expect(written <= (long) json->len);
		expect((written >= 0) == wa_json_is(json, node, WA_JSON_STRING));
		if (written >= 0)
		{
			char installation[16];
			int64_t message_id;
			int attempt;

			expect(out[written] == '\0');
			wa_message_opaque_read(out, written, installation, sizeof(installation), &message_id,
								   &attempt);
		}
		(void) wa_json_string(json, node, small, sizeof(small));
		(void) wa_json_integer(json, node, &number);
		(void) wa_json_equals(json, node, "whatsapp_business_account");
		for (size_t i = 0; i < lengthof(names); i++)
		{
			uint32_t member = wa_json_member(json, node, names[i]);

			expect(member == WA_JSON_NONE || (member > node && member < n->next));
		}
		for (uint32_t element = wa_json_first(json, node), last = node; element != WA_JSON_NONE;
			 element = wa_json_after(json, node, element))
		{
			expect(element > last && element < n->next);
			last = element;
		}
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line_end = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t header_len = line_end != NULL ? line_end - data : 0;
	const uint8_t *body = line_end != NULL ? line_end + 1 : data;
	size_t len = size - (body - data);
	char *text = malloc(len + 1);
	size_t max_nodes;
	WaJsonNode *nodes;
	WaJson json;

	expect(text != NULL);
	check_signature((const char *) data, header_len, body, len);

	if (len > 0)
		memcpy(text, body, len);
	text[len] = '\0';
	max_nodes = wa_json_max_nodes(len);
	nodes = malloc(sizeof(WaJsonNode) * (max_nodes > 0 ? max_nodes : 1));
	expect(nodes != NULL);
	if (wa_json_scan(&json, text, len, nodes, max_nodes))
	{
		uint32_t count = json.count;

		walk(&json);
		/* What it has replaced in the text, it must accept from then on. */
		expect(wa_json_scan(&json, text, len, nodes, max_nodes) && json.count == count);
	}
	else
		expect(json.problem != NULL && json.problem_at <= len);
	free(nodes);
	free(text);
	return 0;
}
