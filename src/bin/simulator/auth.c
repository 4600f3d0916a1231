/*
 * auth.c
 *	  Access tokens: the valid one, an expired one, and all others.
 */
#include "bin/simulator/auth.h"

#include <string.h>
#include <strings.h>

#include "bin/simulator/reply.h"
#include "bin/simulator/settings.h"

/* From the header or, which Meta allows although logs then show it, from the query. */
static const char *
token_of(const SimRequest *request)
{
	const char *header = httpd_request_header(&request->http, MHD_HTTP_HEADER_AUTHORIZATION);

	if (header != NULL && strncasecmp(header, "Bearer ", 7) == 0)
		return header + 7;
	return httpd_request_argument(&request->http, "access_token");
}

static const char expired_text[] =
	"Error validating access token: Session has expired on Monday, 02-Mar-26 10:00:00 PST. The "
	"current time is past that.";

bool
sim_auth_check(SimRequest *request, int *code)
{
	const char *token = token_of(request);
	SimGraphFault fault = {.code = 190};

	*code = 0;
	if (token != NULL && strcmp(token, sim_settings.token) == 0)
		return true;
	if (token == NULL)
		fault.code = 200;
	else if (sim_settings.expired_token[0] != '\0' &&
			 strcmp(token, sim_settings.expired_token) == 0)
	{
		fault.subcode = 463;
		fault.title = expired_text;
	}
	*code = fault.code;
	sim_reply_error(request, &fault);
	return false;
}

void
sim_auth_debug_token(SimRequest *request)
{
	const char *input = httpd_request_argument(&request->http, "input_token");
	bool expired;
	json_t *data;

	if (input == NULL)
	{
		sim_reply_error(request,
						&(SimGraphFault){.code = 100,
										 .title = "(#100) The parameter input_token is required."});
		return;
	}
	expired =
		sim_settings.expired_token[0] != '\0' && strcmp(input, sim_settings.expired_token) == 0;
	if (strcmp(input, sim_settings.token) != 0 && !expired)
	{
		data = json_pack("{s:{s:{s:i, s:s}, s:b, s:[]}}", "data", "error", "code", 190, "message",
						 "Invalid OAuth access token.", "is_valid", 0, "scopes");
		sim_reply_json(request, 200, data);
		return;
	}
	data = json_pack(
		"{s:{s:s, s:s, s:s, s:b, s:I, s:i, s:i, s:[s,s], s:[{s:s, s:[s]}, {s:s, s:[s]}], s:s}}",
		"data", "app_id", sim_settings.app_id, "type", "SYSTEM_USER", "application", "Avisos",
		"is_valid", !expired, "expires_at",
		(json_int_t) (expired ? 1772470800 : sim_settings.token_expires_at),
		"data_access_expires_at", 0, "issued_at", 1763000000, "scopes",
		"whatsapp_business_management", "whatsapp_business_messaging", "granular_scopes", "scope",
		"whatsapp_business_management", "target_ids", sim_settings.waba_id, "scope",
		"whatsapp_business_messaging", "target_ids", sim_settings.waba_id, "user_id",
		"600000000000001");
	if (expired)
		json_object_set_new(
			json_object_get(data, "data"), "error",
			json_pack("{s:i, s:s, s:i}", "code", 190, "message", expired_text, "subcode", 463));
	sim_reply_json(request, 200, data);
}
