/*
 * usage_header.c
 *	  How much of a request quota is used up, as Meta's headers tell it.
 *
 * Format: Graph API, "Rate Limits", headers of business use cases.
 */
#include "wa_c.h"

#include "common/jsonscan.h"
#include "graph/usage_header.h"

/* A header is a line; a longer one is not worth reading. */
#define MAX_HEADER 4096
#define MAX_NODES 512

static int64_t
highest(const WaJson *json, uint32_t use)
{
	static const char *const figures[] = {"call_count", "total_cputime", "total_time"};
	int64_t max = 0;

	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
	{
		int64_t value;

		if (wa_json_integer(json, wa_json_member(json, use, figures[i]), &value) && value > max)
			max = value;
	}
	return max;
}

double
wa_usage_percent(const char *header)
{
	char text[MAX_HEADER];
	WaJsonNode nodes[MAX_NODES];
	WaJson json;
	size_t len = strlen(header);
	int64_t max = 0;

	if (len >= sizeof(text))
		return 0;
	memcpy(text, header, len + 1);
	if (!wa_json_scan(&json, text, len, nodes, MAX_NODES))
		return 0;

	/* Whatever object id they stand under, every object inside an array counts. */
	for (uint32_t node = 0; node < json.count; node++)
	{
		if (nodes[node].type != WA_JSON_ARRAY)
			continue;
		for (uint32_t use = wa_json_first(&json, node); use != WA_JSON_NONE;
			 use = wa_json_after(&json, node, use))
		{
			int64_t value = highest(&json, use);

			if (value > max)
				max = value;
		}
	}
	return (double) max;
}
