/*
 * pricing.c
 *	  What Meta says that a message costs.
 *
 * By category of the template, else service.  Whoever came by an advertisement
 * and was answered within a day costs nothing for three days.  Until September
 * 2026 service messages, and utility templates within a service window, were
 * free as well: the setting free_window brings that back.
 */
#include "bin/simulator/pricing.h"

#include <stdio.h>
#include <string.h>

#include "bin/httpd/clock.h"
#include "bin/simulator/send_limits.h"
#include "bin/simulator/settings.h"

#define DAY_S (24 * 3600)

static const char *
template_category(const SimMessage *message)
{
	const char *category = message->template != NULL ? message->template->category : "UTILITY";

	if (strcmp(category, "MARKETING") == 0)
		return message->marketing ? "marketing_lite" : "marketing";
	return strcmp(category, "AUTHENTICATION") == 0 ? "authentication" : "utility";
}

/* True if the number begins with one of "20,91,...". */
static bool
is_international(const char *to)
{
	const char *code = sim_settings.international_codes;

	while (*code != '\0')
	{
		size_t len = strcspn(code, ",");

		if (len > 0 && strncmp(to, code, len) == 0)
			return true;
		code += len + (code[len] == ',');
	}
	return false;
}

SimPrice
sim_pricing_of(SimNumber *number, const SimMessage *message, const char *who)
{
	SimPrice price = {.type = "regular"};
	const char *category = message->template_name != NULL ? template_category(message) : "service";
	int64_t entry_s = message->to_group ? 0 : sim_limits_free_entry(number, who);

	if (entry_s > 0)
	{
		price.type = "free_entry_point";
		price.origin = category = "referral_conversion";
		price.expires_s = entry_s;
	}
	else if (sim_settings.free_window &&
			 (strcmp(category, "service") == 0 ||
			  (strcmp(category, "utility") == 0 && sim_limits_window(number, who))))
		price.type = "free_customer_service";
	else if (strcmp(category, "authentication") == 0 && is_international(message->to))
		category = "authentication-international";
	snprintf(price.category, sizeof(price.category), "%s%s", message->to_group ? "group_" : "",
			 category);

	/* Webhooks up to v23 name a conversation for every message. */
	if (price.origin == NULL && sim_settings.webhook_conversations)
	{
		price.origin = strcmp(category, "authentication-international") == 0
						   ? "authentication"
						   : (category[0] == 'm' ? "marketing" : category);
		price.expires_s = httpd_wall_us() / 1000000 + DAY_S;
	}
	return price;
}
