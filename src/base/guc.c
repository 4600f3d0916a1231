/*
 * guc.c
 *	  Every setting, in alphabetical order, and the checks that refuse a bad
 *	  value when it is set instead of when it is used.
 *
 * None needs a restart: the launcher and the senders follow a reload.  Where
 * the library is not preloaded, the first function called in a session defines
 * them there, so that enqueueing works on such a server too.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "base/guc.h"
#include "base/secret.h"
#include "base/web_address.h"
#include "common/language.h"
#include "common/media_types.h"
#include "common/uncertain_policy.h"

bool wa_guc_enabled;
char *wa_guc_databases;
char *wa_guc_business_account_id;
char *wa_guc_phone_number_id;
char *wa_guc_api_version;
char *wa_guc_graph_url;
char *wa_guc_ca_file;
int wa_guc_fetch_media_max_size;
int wa_guc_senders;
int wa_guc_max_in_flight;
int wa_guc_max_connections;
int wa_guc_connect_timeout;
int wa_guc_request_timeout;
double wa_guc_messages_per_second;
double wa_guc_messaging_limit_share;
int wa_guc_pair_interval;
int wa_guc_pair_burst;
int wa_guc_max_attempts;
int wa_guc_retry_delay;
int wa_guc_retry_max_delay;
int wa_guc_takeover_grace;
int wa_guc_uncertain_grace;
int wa_guc_uncertain_policy;
char *wa_guc_default_language;
int wa_guc_retention;
int wa_guc_sync_interval;
static bool fetch_media; /* SQL reads these two, by their names */
static char *fetch_media_types;
static char *tenant;	  /* policies of the tables read it, by its name */
static char *gateway_url; /* wa_tenant_link() reads it, by its name */

/* What the server keeps of the secrets: nothing, and the paths of their files. */
static char *access_token;
static char *access_token_file;
static char *app_secret;
static char *app_secret_file;
static char *webhook_verify_token;
static char *webhook_verify_token_file;

/* Ends with an empty entry. */
static struct config_enum_entry uncertain_policies[WA_UNCERTAIN_POLICIES + 1];

/* Read by the functions in SQL, by the setting's name. */
static int opt_out_scope;

enum
{
	WA_OPT_OUT_MARKETING,
	WA_OPT_OUT_ALL
};

static const struct config_enum_entry opt_out_scopes[] = {
	{"marketing", WA_OPT_OUT_MARKETING, false}, {"all", WA_OPT_OUT_ALL, false}, {NULL, 0, false}};

/* v25.0 */
static bool
check_api_version(char **newval, void **extra, GucSource source)
{
	const char *v = *newval;

	if (strlen(v) == 5 && v[0] == 'v' && isdigit((unsigned char) v[1]) &&
		isdigit((unsigned char) v[2]) && v[3] == '.' && isdigit((unsigned char) v[4]))
		return true;

	GUC_check_errdetail("A version of the Graph API is written like \"v25.0\".");
	return false;
}

static bool
check_id(char **newval, void **extra, GucSource source)
{
	size_t len = strlen(*newval);

	if (len == 0)
		return true;
	if (len >= WA_MIN_NUMBER_ID_DIGITS && len <= WA_MAX_NUMBER_ID_DIGITS &&
		strspn(*newval, "0123456789") == len)
		return true;

	GUC_check_errdetail("An id of Meta's has %d to %d digits and nothing else.",
						WA_MIN_NUMBER_ID_DIGITS, WA_MAX_NUMBER_ID_DIGITS);
	GUC_check_errhint("This is the id that Meta shows in the WhatsApp Manager, not the telephone "
					  "number.");
	return false;
}

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char *copy = pstrdup(*newval);
	List *names = NIL;
	ListCell *lc;
	bool good = SplitIdentifierString(copy, ',', &names);

	if (!good)
		GUC_check_errdetail("List syntax is invalid.");
	foreach (lc, names)
	{
		const char *name = lfirst(lc);

		if (good && strlen(name) >= NAMEDATALEN)
		{
			GUC_check_errdetail("A name of a database has at most %d bytes.", NAMEDATALEN - 1);
			good = false;
		}
	}
	list_free(names);
	pfree(copy);
	return good;
}

static bool
check_media_types(char **newval, void **extra, GucSource source)
{
	if (wa_media_types_are_valid(*newval))
		return true;
	GUC_check_errdetail("Media types are written like \"image/*, application/pdf\", "
						"separated by commas.");
	GUC_check_errhint("\"*/*\" means all.");
	return false;
}

static bool
check_language(char **newval, void **extra, GucSource source)
{
	if (wa_language_is_code(*newval))
		return true;

	GUC_check_errdetail("A language is written as Meta does: \"es\" or \"es_ES\".");
	return false;
}

/* secret: what is sent there, for the hint.  A slash at the end is taken off. */
static bool
check_url(char *v, const char *secret)
{
	bool is_plain;
	const char *problem = wa_web_address_problem(v, &is_plain);
	size_t len = strlen(v);

	if (problem != NULL)
	{
		GUC_check_errdetail("%s", problem);
		if (is_plain)
			GUC_check_errhint("The requests carry %s. Use https.", secret);
		return false;
	}
	while (len > 0 && v[len - 1] == '/')
		v[--len] = '\0';
	return true;
}

static bool
check_gateway_url(char **newval, void **extra, GucSource source)
{
	return **newval == '\0' || check_url(*newval, "the keys of tenants' links");
}

static bool
check_graph_url(char **newval, void **extra, GucSource source)
{
	return check_url(*newval, "the master access token");
}

/*
 * A number without a unit is taken in the setting's own, which people do not know by
 * heart: '90' as a retention would be 90 minutes.  So what nobody means is refused, by
 * floors that a test can live with.  The limits of the definitions are wider, because
 * the server's own words for those do not say what to write.
 */
static bool
check_floor(int value, int floor, bool zero_means_something, const char *unit, const char *shortest,
			const char *example)
{
	if (value >= floor || (value == 0 && zero_means_something))
		return true;
	GUC_check_errdetail("%d %s is less than %s, the shortest.", value, unit, shortest);
	GUC_check_errhint("Give the unit along with the number, as in '%s'.", example);
	return false;
}

static bool
check_pair_interval(int *newval, void **extra, GucSource source)
{
	return check_floor(*newval, WA_MIN_PAIR_INTERVAL, true, "ms", "100 ms", "6s");
}

static bool
check_retention(int *newval, void **extra, GucSource source)
{
	return check_floor(*newval, WA_MIN_RETENTION, true, "min", "1 day", "90d");
}

static bool
check_retry_delay(int *newval, void **extra, GucSource source)
{
	return check_floor(*newval, WA_MIN_RETRY_DELAY, false, "ms", "50 ms", "2s");
}

static bool
check_retry_max_delay(int *newval, void **extra, GucSource source)
{
	return check_floor(*newval, WA_MIN_RETRY_MAX_DELAY, false, "ms", "1 s", "1h");
}

static bool
check_sync_interval(int *newval, void **extra, GucSource source)
{
	return check_floor(*newval, WA_MIN_SYNC_INTERVAL, true, "s", "1 min", "1h");
}

static bool
check_takeover_grace(int *newval, void **extra, GucSource source)
{
	return check_floor(*newval, WA_MIN_GRACE, false, "ms", "1 s", "2min");
}

static bool
check_uncertain_grace(int *newval, void **extra, GucSource source)
{
	return check_floor(*newval, WA_MIN_GRACE, false, "ms", "1 s", "10min");
}

/* The settings of the credentials differ in their names only. */
static void
define_secret(const char *name, const char *description, char **variable, GucStringCheckHook check,
			  GucStringAssignHook assign, GucShowHook show)
{
	DefineCustomStringVariable(name, description,
							   "Its value is never shown. A file is the better place for it: see "
							   "the setting of the same name that ends in _file.",
							   variable, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, check,
							   assign, show);
}

static void
define_secret_file(const char *name, const char *description, char **variable,
				   GucStringCheckHook check, GucStringAssignHook assign)
{
	DefineCustomStringVariable(
		name, description,
		"The file is read again whenever it has changed. Where it is set, it "
		"goes before the setting without _file.",
		variable, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE, check, assign, NULL);
}

static void
define_sending(void)
{
	define_secret("whatsapp_shared.access_token", "Access token of the WhatsApp Business account.",
				  &access_token, wa_secret_check_access_token, wa_secret_assign_access_token,
				  wa_secret_show_access_token);
	define_secret_file("whatsapp_shared.access_token_file", "File that holds the access token.",
					   &access_token_file, wa_secret_check_access_token_file,
					   wa_secret_assign_access_token_file);
	DefineCustomStringVariable("whatsapp_shared.api_version", "Version of the Graph API to call.",
							   NULL, &wa_guc_api_version, "v25.0", PGC_SIGHUP, 0, check_api_version,
							   NULL, NULL);
	define_secret("whatsapp_shared.app_secret", "App secret that signs Meta's webhooks.",
				  &app_secret, wa_secret_check_app_secret, wa_secret_assign_app_secret,
				  wa_secret_show_app_secret);
	define_secret_file("whatsapp_shared.app_secret_file",
					   "File that holds the app secret, and during a rotation the previous one.",
					   &app_secret_file, wa_secret_check_app_secret_file,
					   wa_secret_assign_app_secret_file);
	DefineCustomStringVariable(
		"whatsapp_shared.business_account_id", "Id of the WhatsApp Business account (WABA).",
		"Webhooks about other accounts change nothing.", &wa_guc_business_account_id, "",
		PGC_SIGHUP, 0, check_id, NULL, NULL);
	DefineCustomStringVariable("whatsapp_shared.ca_file",
							   "File with certificate authorities to trust besides the system's.",
							   "For endpoints of your own; empty for Meta.", &wa_guc_ca_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("whatsapp_shared.connect_timeout",
							"Longest time to wait for a connection to the Graph API.", NULL,
							&wa_guc_connect_timeout, 5000, WA_MIN_CONNECT_TIMEOUT,
							WA_MAX_CONNECT_TIMEOUT, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"whatsapp_shared.databases", "Databases whose messages are sent, separated by commas.",
		"Names of databases that do not exist, or that lack the extension, "
		"are tolerated.",
		&wa_guc_databases, "postgres", PGC_SIGHUP, GUC_LIST_INPUT, check_databases, NULL, NULL);
	DefineCustomStringVariable("whatsapp_shared.default_language",
							   "Language of templates where neither the message nor the tenant "
							   "names one.",
							   NULL, &wa_guc_default_language, "es", PGC_SIGHUP, 0, check_language,
							   NULL, NULL);
	DefineCustomBoolVariable(
		"whatsapp_shared.enabled", "Sends messages.",
		"While it is off, nothing is sent to Meta or read from it; messages can "
		"be enqueued and wait.",
		&wa_guc_enabled, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("whatsapp_shared.fetch_media",
							 "Fetches the files that customers send, before Meta forgets them.",
							 "wa_fetch_media() fetches one in any case.", &fetch_media, false,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"whatsapp_shared.fetch_media_max_size", "Largest file of a customer that is fetched.",
		"A sender has one file or two in its memory at a time.", &wa_guc_fetch_media_max_size,
		16 * 1024, 1, WA_MAX_FETCH_SIZE, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"whatsapp_shared.fetch_media_types", "Media types that are fetched, separated by commas.",
		"image/* means all images, */* all files.", &fetch_media_types,
		"image/*, audio/*, video/*, application/pdf", PGC_SUSET, 0, check_media_types, NULL, NULL);
	DefineCustomStringVariable("whatsapp_shared.gateway_url",
							   "Address at which people reach wa_gateway.",
							   "Links that wa_tenant_link() makes begin with it; empty: with the "
							   "path.",
							   &gateway_url, "", PGC_SIGHUP, 0, check_gateway_url, NULL, NULL);
	DefineCustomStringVariable("whatsapp_shared.graph_url", "Address of the Graph API.",
							   "https, or http to a loopback address.", &wa_guc_graph_url,
							   "https://graph.facebook.com", PGC_SIGHUP, 0, check_graph_url, NULL,
							   NULL);
}

static void
define_limits(void)
{
	DefineCustomIntVariable(
		"whatsapp_shared.max_attempts", "Requests made for a message before it fails.",
		"Waiting for a rate limit or a pause is not an attempt.", &wa_guc_max_attempts, 8, 1,
		WA_MAX_ATTEMPTS, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("whatsapp_shared.max_connections",
							"Most connections that one sender opens to the Graph API.",
							"Zero chooses by the protocol that the server speaks.",
							&wa_guc_max_connections, 0, 0, WA_MAX_CONNECTIONS, PGC_SIGHUP, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable(
		"whatsapp_shared.max_in_flight", "Most requests that one sender has on the wire.",
		"Over HTTP/1.1 each needs a connection, and so a file descriptor.", &wa_guc_max_in_flight,
		1000, WA_MIN_IN_FLIGHT, WA_MAX_IN_FLIGHT, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("whatsapp_shared.messages_per_second",
							 "Rate of a phone number for which no other is known.",
							 "A number's own rate and its synchronised throughput level go before.",
							 &wa_guc_messages_per_second, 80.0, WA_MIN_RATE, WA_MAX_RATE,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomRealVariable(
		"whatsapp_shared.messaging_limit_share",
		"Share of the account's messaging limit that this installation may use.",
		"Less than 1 where others send through the same account: the limit is that of all of them.",
		&wa_guc_messaging_limit_share, 1.0, 0.001, 1.0, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("whatsapp_shared.opt_out_scope",
							 "What a customer opts out of by a word such as BAJA or STOP.",
							 "marketing: templates of that category; all: every message.",
							 &opt_out_scope, WA_OPT_OUT_MARKETING, opt_out_scopes, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("whatsapp_shared.pair_burst",
							"Messages that one recipient may get in a row from one number.", NULL,
							&wa_guc_pair_burst, 45, 1, WA_MAX_PAIR_BURST, PGC_SIGHUP, 0, NULL, NULL,
							NULL);
	DefineCustomIntVariable("whatsapp_shared.pair_interval",
							"Time between messages from one number to one recipient, in the long "
							"run.",
							"Zero sets no limit.", &wa_guc_pair_interval, 6000, 0,
							WA_MAX_PAIR_INTERVAL, PGC_SIGHUP, GUC_UNIT_MS, check_pair_interval,
							NULL, NULL);
	DefineCustomStringVariable("whatsapp_shared.phone_number_id",
							   "Id of the phone number that sends for tenants without their own.",
							   "Empty, or a number that a tenant has: their messages wait.",
							   &wa_guc_phone_number_id, "", PGC_SIGHUP, 0, check_id, NULL, NULL);
	DefineCustomIntVariable(
		"whatsapp_shared.request_timeout", "Longest time to wait for the answer to a request.",
		"A request that was written and not answered is uncertain. Uploads get more time, "
		"according to their size.",
		&wa_guc_request_timeout, 30000, WA_MIN_REQUEST_TIMEOUT, WA_MAX_REQUEST_TIMEOUT, PGC_SIGHUP,
		GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("whatsapp_shared.retention",
							"Time for which finished messages, events and attempts are kept.",
							"A day at least; zero keeps all. What names a message goes with it.",
							&wa_guc_retention, 90 * 24 * 60, 0, WA_MAX_RETENTION, PGC_SIGHUP,
							GUC_UNIT_MIN, check_retention, NULL, NULL);
	DefineCustomIntVariable("whatsapp_shared.retry_delay",
							"Time before the second attempt; it doubles with each further one.",
							NULL, &wa_guc_retry_delay, 2000, 0, WA_MAX_RETRY_DELAY, PGC_SIGHUP,
							GUC_UNIT_MS, check_retry_delay, NULL, NULL);
	DefineCustomIntVariable("whatsapp_shared.retry_max_delay", "Longest time between two attempts.",
							NULL, &wa_guc_retry_max_delay, 3600000, 0, WA_MAX_RETRY_DELAY,
							PGC_SIGHUP, GUC_UNIT_MS, check_retry_max_delay, NULL, NULL);
	DefineCustomIntVariable("whatsapp_shared.senders", "Processes that send, for each database.",
							"The phone numbers are shared out over them. Fewer run if "
							"max_worker_processes leaves no room.",
							&wa_guc_senders, 1, 1, WA_MAX_SENDERS_PER_DATABASE, PGC_SIGHUP, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable("whatsapp_shared.sync_interval",
							"Time between synchronisations of numbers, templates and the token's "
							"state with Meta.",
							"Zero synchronises on request only.", &wa_guc_sync_interval, 3600, 0,
							WA_MAX_SYNC_INTERVAL, PGC_SIGHUP, GUC_UNIT_S, check_sync_interval, NULL,
							NULL);
	DefineCustomIntVariable("whatsapp_shared.takeover_grace",
							"Time that a message waits for a webhook if the former primary of a "
							"promoted server may have sent it.",
							NULL, &wa_guc_takeover_grace, 120000, 0, WA_MAX_GRACE, PGC_SIGHUP,
							GUC_UNIT_MS, check_takeover_grace, NULL, NULL);
	DefineCustomStringVariable("whatsapp_shared.tenant",
							   "Tenant that the row-level-security policies let this session see.",
							   NULL, &tenant, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("whatsapp_shared.uncertain_grace",
							"Time that an uncertain message waits for a webhook to settle it.",
							NULL, &wa_guc_uncertain_grace, 600000, 0, WA_MAX_GRACE, PGC_SIGHUP,
							GUC_UNIT_MS, check_uncertain_grace, NULL, NULL);
	DefineCustomEnumVariable(
		"whatsapp_shared.uncertain_policy",
		"What happens to a message that is still uncertain after that.",
		"auto: resend, if the reports of the number's other messages show that "
		"its own would be here, else park; resend; park: wait for a person; "
		"fail.",
		&wa_guc_uncertain_policy, WA_UNCERTAIN_AUTO, uncertain_policies, PGC_SIGHUP, 0, NULL, NULL,
		NULL);
	define_secret("whatsapp_shared.webhook_verify_token",
				  "Token that Meta presents when a webhook is set up.", &webhook_verify_token,
				  wa_secret_check_webhook_verify_token, wa_secret_assign_webhook_verify_token,
				  wa_secret_show_webhook_verify_token);
	define_secret_file("whatsapp_shared.webhook_verify_token_file",
					   "File that holds the webhook's verify token.", &webhook_verify_token_file,
					   wa_secret_check_webhook_verify_token_file,
					   wa_secret_assign_webhook_verify_token_file);
}

/*
 * Defines all settings and reserves the prefix, so that a misspelt name is
 * refused instead of kept as a placeholder.
 */
void
wa_guc_define(void)
{
	for (int i = 0; i < WA_UNCERTAIN_POLICIES; i++)
		uncertain_policies[i] = (struct config_enum_entry){wa_uncertain_policy_names[i], i, false};
	define_sending();
	define_limits();
	MarkGUCPrefixReserved("whatsapp_shared");
}
