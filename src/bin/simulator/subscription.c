/*
 * subscription.c
 *	  Which app gets the account's webhooks: the one that there is, or none.
 *
 * Begins as --unsubscribed says.  Without a subscription no webhook is made, and
 * nothing tells, as with Meta.
 */
#include "bin/simulator/subscription.h"

#include <string.h>

#include "bin/simulator/arguments.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/settings.h"

static void
list(SimRequest *request)
{
	json_t *apps = json_array();

	if (!sim_settings.unsubscribed)
		json_array_append_new(
			apps, json_pack("{s:{s:s, s:s, s:s++}}", "whatsapp_business_api_data", "id",
							sim_settings.app_id, "name", "Avisos", "link",
							"https://www.facebook.com/games/?app_id=", sim_settings.app_id, ""));
	sim_reply_json(request, 200, json_pack("{s:o}", "data", apps));
}

static void
set(SimRequest *request, bool unsubscribed)
{
	json_t *arguments = sim_arguments_read(request);

	if (arguments == NULL)
		return;
	if (json_object_get(arguments, "override_callback_uri") != NULL)
		sim_reply_error(request, &(SimGraphFault){.code = 100,
												  .title = "(#100) The simulator knows one "
														   "address for webhooks: webhook_url."});
	else
	{
		sim_settings.unsubscribed = unsubscribed;
		sim_reply_json(request, 200, json_pack("{s:b}", "success", 1));
	}
	json_decref(arguments);
}

bool
sim_subscription(SimRequest *request)
{
	if (strcmp(request->http.method, "GET") == 0)
		list(request);
	else if (strcmp(request->http.method, "POST") == 0)
		set(request, false);
	else if (strcmp(request->http.method, "DELETE") == 0)
		set(request, true);
	else
		return false;
	return true;
}
