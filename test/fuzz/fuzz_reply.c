/*
 * fuzz_reply.c
 *	  What a peer that may send anything can do to the reading of its answers.
 *
 * The first two bytes are the HTTP status and the phase, the rest is the body.
 * Whatever it says: only a 200 with an id is an acceptance, a refusal has a class,
 * and what may have been written is never taken for what was not.
 */
#include "wa_c.h"

#include "graph/response.h"
#include "graph/usage_header.h"

static void
expect(bool truth)
{
	if (!truth)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const long statuses[] = {200, 201, 400, 401, 403, 404, 429, 500, 502, 503, 0};
	WaHttpResult result = {0};
	WaOutcome outcome;
	char *body;

	if (size < 2)
		return 0;
	body = malloc(size - 1);
	expect(body != NULL);
	memcpy(body, data + 2, size - 2);
	body[size - 2] = '\0';
	result.status = statuses[data[0] % lengthof(statuses)];
	result.phase = (WaHttpPhase) (data[1] % 3);
	result.body = body;
	result.body_len = size - 2;
	result.error = "";
	result.api_version = result.usage = result.content_type = "";
	result.retry_after_s = -1;

	wa_graph_response_read(&result, &outcome);
	expect(memchr(outcome.wamid, '\0', sizeof(outcome.wamid)) != NULL);
	expect(memchr(outcome.message, '\0', sizeof(outcome.message)) != NULL);
	switch (outcome.kind)
	{
		case WA_OUTCOME_ACCEPTED:
			expect(result.status == 200 && outcome.wamid[0] != '\0');
			break;
		case WA_OUTCOME_REFUSED:
			expect(outcome.error != NULL);
			break;
		case WA_OUTCOME_NOT_WRITTEN:
			expect(result.phase == WA_HTTP_NOT_WRITTEN);
			break;
		case WA_OUTCOME_UNCERTAIN:
			expect(result.phase != WA_HTTP_NOT_WRITTEN);
			break;
	}
	(void) wa_usage_percent(body);
	free(body);
	return 0;
}
