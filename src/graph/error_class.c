/*
 * error_class.c
 *	  The error codes of the Cloud API: class, pause and remedy.
 *
 * The only place that knows a code by its number.  Responses and webhooks are
 * read through it, and wa_error_codes shows it in SQL.  The codes and their
 * meanings are those of Meta's page on error codes; which class one gets is
 * ours to decide, by one question: who is kept waiting?  A class never stops
 * more than the code speaks of, and a configuration error never uses up a
 * message, which an operator's hand can still save.
 *
 * HTTP statuses and subcodes are no part of this: Meta does not promise them.
 */
#include "wa_c.h"

#include "graph/error_class.h"

#define REMEDY_TOKEN                                                                               \
	"Put a valid system-user token into whatsapp_shared.access_token_file and reload the server."
#define REMEDY_PERMISSION                                                                          \
	"Give the system user access to the WhatsApp Business account, and its token "                 \
	"whatsapp_business_messaging and whatsapp_business_management."

/*
 * A longer throttle of a number is a pause that people can see, and end.  A shorter
 * one is over before anybody has read of it, or before its webhook is here.
 */
#define SHORT_THROTTLE_S 5

#define REMEDY_MANAGEMENT "Nothing: this belongs to an administrative call and not to a message."

/* Sorted by code, without overlaps: wa_error_lookup searches by halves. */
const WaErrorCode wa_error_codes[] = {
	{0, 0, "token not accepted", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false, REMEDY_TOKEN},
	{1, 1, "malformed request or unknown fault", WA_CLASS_RETRY, 0, 3, false,
	 "Retried a few times. If it stays, compare the message's payload with Meta's reference."},
	{2, 2, "service temporarily unavailable", WA_CLASS_RETRY, 0, 0, false,
	 "Nothing: the message is sent when Meta's service is back."},
	{3, 3, "capability or permission missing", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false,
	 REMEDY_PERMISSION},
	{4, 4, "too many calls of the application", WA_CLASS_PAUSE_ACCOUNT_SHORT, 300, 0, false,
	 "Nothing: sending resumes by itself. If it recurs, find out what else uses the same "
	 "application."},
	{10, 10, "permission denied", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false, REMEDY_PERMISSION},
	{17, 17, "too many calls of the user", WA_CLASS_PAUSE_ACCOUNT_SHORT, 300, 0, false,
	 "Nothing: sending resumes by itself. Use a system-user token that nothing else uses."},
	{32, 32, "too many calls of the page", WA_CLASS_PAUSE_ACCOUNT_SHORT, 300, 0, false,
	 "Nothing: sending resumes by itself."},
	{33, 33, "phone number deleted", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Run wa_sync_phone_numbers(), and assign another number to the tenant."},
	{100, 100, "invalid parameter", WA_CLASS_PERMANENT, 0, 0, false,
	 "Correct the message: the details name the field. If every message fails so, check "
	 "phone_number_id and api_version."},
	{102, 102, "session no longer valid", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false, REMEDY_TOKEN},
	{104, 104, "proof of the application secret required", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false,
	 "Turn off \"Require app secret\" in the application's settings at Meta."},
	{190, 190, "access token expired or withdrawn", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false,
	 REMEDY_TOKEN},
	{200, 299, "permission missing", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false, REMEDY_PERMISSION},
	{341, 341, "too many calls of the application", WA_CLASS_PAUSE_ACCOUNT_SHORT, 300, 0, false,
	 "Nothing: sending resumes by itself."},
	{368, 368, "account blocked for a policy violation", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false,
	 "Read the notice in WhatsApp Manager, appeal there, then call wa_resume('account')."},
	{613, 613, "too many calls of this kind", WA_CLASS_PAUSE_ACCOUNT_SHORT, 300, 0, false,
	 "Nothing: sending resumes by itself."},
	{803, 803, "object does not exist or is not accessible", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Check that the number belongs to the configured account: wa_sync_phone_numbers()."},
	{80007, 80007, "request limit of the account", WA_CLASS_PAUSE_ACCOUNT_SHORT, 300, 0, false,
	 "Nothing: sending resumes by itself. Synchronise less often if it recurs."},
	{80008, 80008, "request limit of the account", WA_CLASS_PAUSE_ACCOUNT_SHORT, 300, 0, false,
	 "Nothing: sending resumes by itself. Synchronise less often if it recurs."},
	{130403, 130403, "recipient blocked by the business", WA_CLASS_PERMANENT, 0, 0, false,
	 "Take the recipient off the number's block list."},
	{130429, 130429, "throughput of the number exceeded", WA_CLASS_THROTTLE_NUMBER, 2, 0, false,
	 "Nothing: the rate is lowered and recovers by itself. If it recurs, lower "
	 "whatsapp_shared.messages_per_second."},
	{130472, 130472, "withheld by an experiment of Meta", WA_CLASS_PERMANENT, 0, 0, false,
	 "Do not send it again; reach this recipient by another channel."},
	{130497, 130497, "business may not write to this country", WA_CLASS_PERMANENT, 0, 0, false,
	 "Do not write to recipients of this country; Meta allows it to some categories of business "
	 "only."},
	{131000, 131000, "unknown fault", WA_CLASS_RETRY, 0, 0, false, "Nothing: it is retried."},
	{131005, 131005, "access denied", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false, REMEDY_PERMISSION},
	{131008, 131008, "required parameter missing", WA_CLASS_PERMANENT, 0, 0, false,
	 "Correct the message: the details name what is missing."},
	{131009, 131009, "parameter value not valid", WA_CLASS_PERMANENT, 0, 0, false,
	 "Correct the message: the details name the value."},
	{131016, 131016, "service unavailable", WA_CLASS_RETRY, 0, 0, false,
	 "Nothing: the message is sent when Meta's service is back."},
	{131020, 131020, "groups", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 "Nothing: groups are not used."},
	{131021, 131021, "recipient is the sender", WA_CLASS_PERMANENT, 0, 0, false,
	 "Correct the recipient: a number cannot write to itself."},
	{131026, 131026, "not deliverable", WA_CLASS_PERMANENT, 0, 0, false,
	 "The recipient has no WhatsApp, an old version of it, or has not accepted its terms: check "
	 "the number, or ask there."},
	{131030, 131030, "recipient not on the test number's list", WA_CLASS_PERMANENT, 0, 0, false,
	 "Register the recipient for the test number, or send from a real one; then "
	 "wa_retry_message()."},
	{131031, 131031, "account locked", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false,
	 "Read the notice in WhatsApp Manager, resolve it there, then call wa_resume('account')."},
	{131037, 131037, "display name not approved", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Get the number's display name approved in WhatsApp Manager."},
	{131041, 131041, "groups", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 "Nothing: groups are not used."},
	{131042, 131042, "payment problem", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false,
	 "Fix the payment method, credit line, currency or time zone in WhatsApp Manager, then call "
	 "wa_resume('account')."},
	{131044, 131044, "payment problem of calls", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 "Nothing: calls are not used."},
	{131045, 131045, "registration of the number is broken", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Register the number again, then call wa_resume('number', phone_number_id)."},
	{131047, 131047, "recipient has not written for 24 hours", WA_CLASS_PERMANENT, 0, 0, false,
	 "Send an approved template instead."},
	{131048, 131048, "number restricted after complaints", WA_CLASS_THROTTLE_NUMBER, 10800, 0,
	 false,
	 "Check the number's quality and what was sent: recipients have blocked or reported it."},
	{131049, 131049, "withheld to keep recipients engaged", WA_CLASS_RETRY, 86400, 2, false,
	 "Retried after a day, not more than twice. Send fewer marketing messages to this recipient."},
	{131050, 131050, "recipient has stopped marketing", WA_CLASS_PERMANENT, 0, 0, true,
	 "Do not send marketing to this recipient; the opt-out is recorded."},
	{131051, 131051, "message type not supported", WA_CLASS_PERMANENT, 0, 0, false,
	 "Use a type of message that the Cloud API supports."},
	{131052, 131052, "inbound media could not be fetched", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 "Nothing: this concerns received media. Ask the sender to send it again."},
	{131053, 131053, "media could not be processed", WA_CLASS_RETRY, 60, 1, false,
	 "Check type and size of the media, and that its address can be read from the internet."},
	{131055, 131055, "method not allowed", WA_CLASS_PERMANENT, 0, 0, false,
	 "Use another endpoint or type of message: the details say which."},
	{131056, 131056, "too many messages to this recipient", WA_CLASS_THROTTLE_PAIR, 1, 0, false,
	 "Nothing: messages to this recipient wait, others go on."},
	{131057, 131057, "account in maintenance", WA_CLASS_THROTTLE_NUMBER, 120, 0, false,
	 "Nothing: the number is being upgraded, which takes a minute or so."},
	{131059, 131059, "groups", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 "Nothing: groups are not used."},
	{131062, 131062, "user id not possible for this message", WA_CLASS_PERMANENT, 0, 0, false,
	 "Send it to the recipient's phone number."},
	{131063, 131063, "marketing templates not allowed on this interface", WA_CLASS_PAUSE_TEMPLATE,
	 0, 0, false,
	 "This account sends marketing templates by the Marketing Messages API only: call "
	 "wa_configure_tenant(tenant, marketing_api => true), then wa_resume('template', "
	 "'name/language')."},
	{131064, 131064, "limit reached through misclassified templates", WA_CLASS_PAUSE_ACCOUNT_SHORT,
	 21600, 0, false,
	 "Correct the templates' categories in WhatsApp Manager; Meta lifts the limit by itself."},
	{131201, 131215, "groups", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 "Nothing: groups are not used."},
	{132000, 132000, "wrong number of parameters", WA_CLASS_PERMANENT, 0, 0, false,
	 "Give as many parameters as the template has; run wa_sync_templates() if it was changed."},
	{132001, 132001, "template does not exist in this language", WA_CLASS_PAUSE_TEMPLATE, 0, 0,
	 false, "Get the template approved in this language and run wa_sync_templates()."},
	{132005, 132005, "text too long after substitution", WA_CLASS_PERMANENT, 0, 0, false,
	 "Shorten the parameters."},
	{132007, 132007, "template violates the character policy", WA_CLASS_PAUSE_TEMPLATE, 0, 0, false,
	 "Correct the template in WhatsApp Manager."},
	{132008, 132008, "parameter value not valid", WA_CLASS_PERMANENT, 0, 0, false,
	 "Correct the parameter that the details name."},
	{132012, 132012, "parameter of the wrong kind", WA_CLASS_PERMANENT, 0, 0, false,
	 "Give the kinds of parameters that the template has; run wa_sync_templates() if it was "
	 "changed."},
	{132015, 132015, "template paused for its quality", WA_CLASS_PAUSE_TEMPLATE, 10800, 0, false,
	 "Improve the template. Meta lifts the pause after some hours, the first two times."},
	{132016, 132016, "template disabled", WA_CLASS_PAUSE_TEMPLATE, 0, 0, false,
	 "Use another template, with content that recipients want: this one is disabled for good, and "
	 "a "
	 "copy of it will be, too."},
	{132018, 132018, "parameter contains forbidden characters", WA_CLASS_PERMANENT, 0, 0, false,
	 "Remove line ends, tabs and runs of spaces from the parameters."},
	{132068, 132068, "flow blocked", WA_CLASS_PAUSE_TEMPLATE, 0, 0, false,
	 "Fix the flow in WhatsApp Manager."},
	{132069, 132069, "flow throttled", WA_CLASS_PAUSE_TEMPLATE, 3600, 0, false,
	 "Fix the flow in WhatsApp Manager: until then it may be sent ten times an hour."},
	{133000, 133000, "number not completely deregistered", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 "Deregister the number again."},
	{133004, 133004, "server temporarily unavailable", WA_CLASS_RETRY, 0, 0, false,
	 "Nothing: the message is sent when Meta's service is back."},
	{133005, 133005, "wrong PIN of the number", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Register the number with its two-step PIN, or set a new one."},
	{133006, 133006, "number must be verified again", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Verify the number in WhatsApp Manager and register it."},
	{133008, 133008, "too many wrong PINs", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Wait for the time that the details name, then register the number with the right PIN."},
	{133009, 133009, "PIN entered too fast", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Wait a little, then register the number with the right PIN."},
	{133010, 133010, "number not registered", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Register the number with its PIN, then call wa_resume('number', phone_number_id)."},
	{133015, 133015, "number deleted a moment ago", WA_CLASS_PAUSE_NUMBER, 300, 0, false,
	 "Wait five minutes, then register the number."},
	{133016, 133016, "number registered too often", WA_CLASS_PAUSE_NUMBER, 259200, 0, false,
	 "Wait 72 hours before the number is registered or deregistered again."},
	{134011, 134011, "payment terms not accepted", WA_CLASS_PERMANENT, 0, 0, false,
	 "Accept WhatsApp's payment terms, then call wa_retry_message()."},
	{134100, 134100, "only marketing templates allowed here", WA_CLASS_PAUSE_TEMPLATE, 0, 0, false,
	 "Meta has changed the template's category: run wa_sync_templates(), then "
	 "wa_resume('template', 'name/language')."},
	{134101, 134101, "template still being synchronised", WA_CLASS_RETRY, 600, 0, false,
	 "Nothing: a new template can be used after about ten minutes."},
	{134102, 134102, "template not available here", WA_CLASS_PAUSE_TEMPLATE, 0, 0, false,
	 "The Marketing Messages API does not have this template: see WhatsApp Manager, or call "
	 "wa_configure_tenant(tenant, marketing_api => false); then wa_resume('template', "
	 "'name/language')."},
	{135000, 135000, "message not valid", WA_CLASS_RETRY, 0, 2, false,
	 "Retried twice. If it stays, compare the message's payload with Meta's reference."},
	{136024, 136024, "number already verified", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{137000, 137000, "identity of the recipient has changed", WA_CLASS_PERMANENT, 0, 0, false,
	 "Confirm the recipient's identity, then send again with the new identity hash."},
	{138000, 138025, "calls", WA_CLASS_NOT_APPLICABLE, 0, 0, false, "Nothing: calls are not used."},
	{139000, 139000, "flow blocked", WA_CLASS_PAUSE_TEMPLATE, 0, 0, false,
	 "Fix the flow in WhatsApp Manager."},
	{139001, 139004, "flow cannot be changed", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{139100, 139103, "block list", WA_CLASS_NOT_APPLICABLE, 0, 0, false, REMEDY_MANAGEMENT},
	{139200, 139200, "direct send withdrawn", WA_CLASS_PERMANENT, 0, 0, false,
	 "Send an approved template instead."},
	{141002, 141002, "template not approved", WA_CLASS_PAUSE_TEMPLATE, 0, 0, false,
	 "Wait until the template is approved, or use another one."},
	{147001, 147005, "user names", WA_CLASS_NOT_APPLICABLE, 0, 0, false, REMEDY_MANAGEMENT},
	{200005, 200007, "template insights not available", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{1752041, 1752041, "repeated onboarding request", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{2388012, 2388012, "number exists already", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Look the number up in WhatsApp Manager: it belongs to another account or is not completely "
	 "removed."},
	{2388019, 2388019, "template limit reached", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{2388039, 2388040, "template part not valid or too long", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{2388047, 2388047, "template header not valid", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{2388072, 2388073, "template body or footer not valid", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{2388091, 2388091, "number cannot get a code now", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Wait, then ask for the registration code again."},
	{2388093, 2388093, "too many registration codes", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "Wait, then ask for the registration code again."},
	{2388103, 2388103, "number cannot be moved", WA_CLASS_PAUSE_NUMBER, 0, 0, false,
	 "See in WhatsApp Manager what keeps the number from being moved to this account."},
	{2388293, 2388293, "template has too many variables for its text", WA_CLASS_NOT_APPLICABLE, 0,
	 0, false, REMEDY_MANAGEMENT},
	{2388299, 2388299, "template begins or ends with a variable", WA_CLASS_NOT_APPLICABLE, 0, 0,
	 false, REMEDY_MANAGEMENT},
	{2388318, 2388318, "direct send refused", WA_CLASS_PERMANENT, 0, 0, false,
	 "Send an approved template instead."},
	{2388330, 2388330, "direct send refused", WA_CLASS_PERMANENT, 0, 0, false,
	 "Send an approved template instead."},
	{2494100, 2494100, "number in maintenance", WA_CLASS_THROTTLE_NUMBER, 300, 0, false,
	 "Nothing: sending resumes in some minutes."},
	{2494164, 2494168, "sign-up of customers", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{2494176, 2494177, "sign-up of customers", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{2494179, 2494179, "sign-up of customers", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
	{2593107, 2593108, "history synchronisation limit", WA_CLASS_NOT_APPLICABLE, 0, 0, false,
	 REMEDY_MANAGEMENT},
};

const int wa_error_codes_count = lengthof(wa_error_codes);

/*
 * Rules for codes that the table does not have.  Meta adds codes at any time:
 * none of these gives a message up unless Meta called it the caller's mistake.
 */
static const WaErrorCode unknown_transient = {
	-1,
	-1,
	"unknown temporary error",
	WA_CLASS_RETRY,
	0,
	0,
	false,
	"Nothing: it is retried. Look the code up in Meta's reference if it stays."};
static const WaErrorCode unknown_throttle = {
	-1,
	-1,
	"unknown limit",
	WA_CLASS_THROTTLE_NUMBER,
	5,
	0,
	false,
	"Nothing: the number is slowed down. Look the code up in Meta's reference if it recurs."};
static const WaErrorCode unknown_token = {
	-1, -1, "unknown authentication error", WA_CLASS_PAUSE_ACCOUNT, 0, 0, false, REMEDY_TOKEN};
static const WaErrorCode unknown_permission = {
	-1,
	-1,
	"unknown permission error",
	WA_CLASS_PAUSE_NUMBER,
	0,
	0,
	false,
	"Look the code up in Meta's reference, fix the number, then call wa_resume('number', "
	"phone_number_id)."};
static const WaErrorCode unknown_permanent = {
	-1,
	-1,
	"unknown error",
	WA_CLASS_PERMANENT,
	0,
	0,
	false,
	"Look the code up in Meta's reference. Once the cause is mended, wa_retry_message() sends the "
	"message again."};

/*
 * http_status 0 stands for a webhook: there, Meta has tried and given up.
 */
static const WaErrorCode *
default_rule(int http_status, bool is_transient)
{
	if (is_transient || http_status >= 500)
		return &unknown_transient;
	switch (http_status)
	{
		case 429:
			return &unknown_throttle;
		case 401:
			return &unknown_token;
		case 403:
			return &unknown_permission;
		default:
			return &unknown_permanent;
	}
}

const WaErrorCode *
wa_error_lookup(int code, int http_status, bool is_transient)
{
	int low = 0;
	int high = wa_error_codes_count - 1;

	while (low <= high)
	{
		int middle = low + (high - low) / 2;
		const WaErrorCode *row = &wa_error_codes[middle];

		if (code < row->first)
			high = middle - 1;
		else if (code > row->last)
			low = middle + 1;
		else
			return row;
	}
	return default_rule(http_status, is_transient);
}

const char *
wa_error_class_name(WaErrorClass error_class)
{
	switch (error_class)
	{
		case WA_CLASS_PERMANENT:
			return "permanent";
		case WA_CLASS_RETRY:
			return "retry";
		case WA_CLASS_THROTTLE_NUMBER:
			return "throttle_number";
		case WA_CLASS_THROTTLE_PAIR:
			return "throttle_pair";
		case WA_CLASS_PAUSE_ACCOUNT_SHORT:
			return "pause_account_short";
		case WA_CLASS_PAUSE_ACCOUNT:
			return "pause_account";
		case WA_CLASS_PAUSE_NUMBER:
			return "pause_number";
		case WA_CLASS_PAUSE_TEMPLATE:
			return "pause_template";
		case WA_CLASS_NOT_APPLICABLE:
			return "not_applicable";
	}
	return "unknown";
}

WaErrorConsequence
wa_error_consequence(const WaErrorCode *error, int retry_after_s)
{
	WaErrorConsequence then = {
		.seconds = error->pause_seconds, .opts_out = error->opts_out, .unknown = error->first < 0};

	/* What lasts until an event is not cut short by the time that Meta names. */
	if (then.seconds > 0 && then.seconds < retry_after_s)
		then.seconds = retry_after_s;
	switch (error->error_class)
	{
		case WA_CLASS_THROTTLE_NUMBER:
			then.action = then.seconds > SHORT_THROTTLE_S ? WA_ACTION_PAUSE_NUMBER
														  : WA_ACTION_THROTTLE_NUMBER;
			break;
		case WA_CLASS_THROTTLE_PAIR:
			then.action = WA_ACTION_THROTTLE_PAIR;
			break;
		case WA_CLASS_PAUSE_ACCOUNT_SHORT:
		case WA_CLASS_PAUSE_ACCOUNT:
			then.action = WA_ACTION_PAUSE_ACCOUNT;
			break;
		case WA_CLASS_PAUSE_NUMBER:
			then.action = WA_ACTION_PAUSE_NUMBER;
			break;
		case WA_CLASS_PAUSE_TEMPLATE:
			then.action = WA_ACTION_PAUSE_TEMPLATE;
			break;
		case WA_CLASS_PERMANENT:
		case WA_CLASS_RETRY:
		case WA_CLASS_NOT_APPLICABLE:
			break;
	}
	return then;
}

const char *
wa_error_action_scope(WaErrorAction action)
{
	switch (action)
	{
		case WA_ACTION_PAUSE_ACCOUNT:
			return "account";
		case WA_ACTION_PAUSE_NUMBER:
			return "number";
		case WA_ACTION_PAUSE_TEMPLATE:
			return "template";
		default:
			return NULL;
	}
}
