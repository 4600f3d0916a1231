/*
 * graph_error.c
 *	  What Meta publishes about each error code of the Cloud API.
 *
 * HTTP statuses are those last published; throttling is documented as 400 and
 * seen as 429 in the field, so that is what it is here (a fault rule can say
 * otherwise).
 */
#include "bin/simulator/graph_error.h"

#include <stdlib.h>

#define OAUTH "OAuthException"

/* In order of code, for the binary search. */
static const SimGraphError errors[] = {
	{0, 401, OAUTH, "AuthException", true},
	{1, 400, OAUTH, "An unknown error occurred", true},
	{2, 503, OAUTH, "Service temporarily unavailable", true},
	{3, 500, OAUTH, "Application does not have the capability to make this API call.", false},
	{4, 429, OAUTH, "Application request limit reached", false},
	{10, 403, OAUTH, "Application does not have permission for this action", false},
	{17, 429, OAUTH, "User request limit reached", false},
	{32, 429, OAUTH, "Page request limit reached", false},
	{33, 400, OAUTH, "Parameter value is not valid", false},
	{100, 400, OAUTH, "Invalid parameter", false},
	{102, 401, OAUTH, "Session key invalid or no longer valid", false},
	{104, 400, OAUTH, "API calls from the server require an appsecret_proof argument", true},
	{190, 401, OAUTH, "Invalid OAuth access token - Cannot parse access token", true},
	{200, 403, OAUTH, "Provide valid app ID", false},
	{341, 429, OAUTH, "Application limit reached", false},
	{368, 403, OAUTH, "Temporarily blocked for policies violations", false},
	{613, 429, OAUTH, "Calls to this api have exceeded the rate limit", false},
	{803, 404, OAUTH, "Some of the aliases you requested do not exist", false},
	{2500, 400, OAUTH, "Unknown path components", false},
	{80007, 429, OAUTH, "Rate limit issues", false},
	{80008, 429, OAUTH, "WhatsApp Business Account calls rate limit", false},
	{130403, 400, OAUTH, "User is blocked by the business", false},
	{130429, 429, OAUTH, "Rate limit hit", false},
	{130472, 400, OAUTH, "User's number is part of an experiment", false},
	{130497, 403, OAUTH, "Business account is restricted from messaging users in this country",
	 false},
	{131000, 500, OAUTH, "Something went wrong", false},
	{131005, 403, OAUTH, "Access denied", false},
	{131008, 400, OAUTH, "Required parameter is missing", false},
	{131009, 400, OAUTH, "Parameter value is not valid", false},
	{131016, 500, OAUTH, "Service unavailable", false},
	{131021, 400, OAUTH, "Recipient cannot be sender", false},
	{131026, 400, OAUTH, "Message undeliverable", false},
	{131030, 400, OAUTH, "Recipient phone number not in allowed list", false},
	{131031, 403, OAUTH, "Account has been locked", false},
	{131037, 400, OAUTH, "WhatsApp provided number needs display name approval", false},
	{131042, 400, OAUTH, "Business eligibility payment issue", false},
	{131045, 500, OAUTH, "Incorrect certificate", false},
	{131047, 400, OAUTH, "Re-engagement message", false},
	{131048, 429, OAUTH, "Spam rate limit hit", false},
	{131049, 400, OAUTH, "This message was not delivered to maintain healthy ecosystem engagement",
	 false},
	{131050, 400, OAUTH, "User has stopped receiving marketing messages from you", false},
	{131051, 400, OAUTH, "Unsupported message type", false},
	{131052, 400, OAUTH, "Media download error", false},
	{131053, 400, OAUTH, "Media upload error", false},
	{131055, 400, OAUTH, "Method not allowed", false},
	{131056, 429, OAUTH, "(Business Account, Consumer Account) pair rate limit hit", false},
	{131057, 500, OAUTH, "Account in maintenance mode", false},
	{131062, 400, OAUTH, "Business-scoped user id not supported for this message", false},
	{131063, 400, OAUTH, "Marketing templates are disabled on Cloud API", false},
	{131064, 400, OAUTH, "Messaging limit reached through template misclassification", false},
	{132000, 400, OAUTH, "Number of parameters does not match the expected number of params",
	 false},
	{132001, 404, OAUTH, "Template name does not exist in the translation", false},
	{132005, 400, OAUTH, "Translated text too long", false},
	{132007, 400, OAUTH, "Template format character policy violated", false},
	{132008, 400, OAUTH, "Parameter value is invalid", false},
	{132012, 400, OAUTH, "Parameter format does not match format in the created template", false},
	{132015, 400, OAUTH, "Template is paused", false},
	{132016, 400, OAUTH, "Template is disabled", false},
	{132018, 400, OAUTH, "Template parameter validation failed", false},
	{132068, 400, OAUTH, "Flow is in blocked state", false},
	{132069, 400, OAUTH, "Flow is in throttled state", false},
	{133004, 503, OAUTH, "Server is temporarily unavailable", false},
	{133005, 400, OAUTH, "Two step verification PIN mismatch", false},
	{133006, 400, OAUTH, "Phone number re-verification needed", false},
	{133010, 400, OAUTH, "The account is not registered", false},
	{133016, 400, OAUTH, "Too many register or deregister attempts", false},
	{134011, 400, OAUTH, "WhatsApp Payments terms of service not accepted", false},
	{134100, 400, OAUTH, "Only marketing messages are supported", false},
	{134101, 400, OAUTH, "Template is still synchronising", false},
	{134102, 500, OAUTH, "Template is not available for this endpoint", false},
	{135000, 400, OAUTH, "Generic user error", false},
	{136024, 400, OAUTH, "The phone number is already verified", false},
	{137000, 400, OAUTH, "Recipient identity key hash mismatch", false},
	{139200, 400, OAUTH, "Direct Send access is blocked", false},
};

static int
compare_codes(const void *key, const void *entry)
{
	int code = *(const int *) key;
	int other = ((const SimGraphError *) entry)->code;

	return (code > other) - (code < other);
}

const SimGraphError *
sim_graph_error_find(int code)
{
	static const SimGraphError unknown = {-1, 400, OAUTH, "Unknown error", false};
	const SimGraphError *found = bsearch(&code, errors, sizeof(errors) / sizeof(errors[0]),
										 sizeof(errors[0]), compare_codes);

	return found != NULL ? found : &unknown;
}
