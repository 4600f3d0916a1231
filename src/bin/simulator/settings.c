/*
 * settings.c
 *	  The table of settings, and the three ways to set them.
 */
#include "bin/simulator/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"

SimSettings sim_settings;

typedef enum Kind
{
	KIND_TEXT,
	KIND_INT,
	KIND_BOOL
} Kind;

typedef struct Setting
{
	const char *name; /* as in JSON; the option has - for _ */
	Kind kind;
	void *variable;
	const char *text_default;
	int64_t int_default;
	int64_t min;
	int64_t max;
	bool fixed; /* at start */
	const char *value_name;
	const char *help;
} Setting;

#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)

#define TEXT(name, initial, fixed, value_name, help)                                               \
	{                                                                                              \
#name, KIND_TEXT, &sim_settings.name, initial, 0, 0, 0, fixed, value_name, help            \
	}
#define INT(name, initial, min, max, fixed, help)                                                  \
	{                                                                                              \
#name, KIND_INT, &sim_settings.name, NULL, initial, min, max, fixed, "N", help             \
	}
#define BOOL(name, fixed, help)                                                                    \
	{                                                                                              \
#name, KIND_BOOL, &sim_settings.name, NULL, 0, 0, 1, fixed, NULL, help                     \
	}
#define BOOL_ON(name, fixed, help)                                                                 \
	{                                                                                              \
#name, KIND_BOOL, &sim_settings.name, NULL, 1, 0, 1, fixed, "no", help                     \
	}
#define PERCENT(name, help) INT(name, 0, 0, 100, false, help)
#define HEADING(text)                                                                              \
	{                                                                                              \
		NULL, KIND_TEXT, NULL, NULL, 0, 0, 0, false, NULL, text                                    \
	}

static const Setting table[] = {
	HEADING("Listening"),
	TEXT(listen, "127.0.0.1:0", true, "HOST:PORT", "address to listen on; port 0 takes a free one"),
	TEXT(control, "127.0.0.1:0", true, "HOST:PORT",
		 "plain HTTP for /_control/ alone, free of fault rules; the other address serves it, too"),
	BOOL(tls, true, "serve HTTPS, with a certificate made at start unless given"),
	TEXT(cert, "", true, "FILE", "PEM certificate (chain) for --tls"),
	TEXT(key, "", true, "FILE", "PEM private key for --tls"),
	TEXT(ca_out, "", true, "FILE",
		 "where to write the CA certificate that clients must trust (default: a temporary file)"),
	INT(max_connections, 20000, 1, 1000000, true, "connections served at a time"),

	INT(idle_timeout_s, 75, 0, 86400, true,
		"seconds after which a connection without requests is closed; 0: never"),

	INT(connect_delay_ms, 0, 0, HOUR_MS, true,
		"how long a new connection waits before it is served, as that of a distant host does"),

	HEADING("The simulated account"),
	TEXT(config, "", true, "FILE",
		 "JSON object with any of these settings, and \"numbers\", \"templates\" and \"users\""),
	INT(numbers, 12, 0, 100000, true, "business phone numbers, 100000000000001 and up"),
	TEXT(token, "SIMULATOR_TOKEN", false, "TEXT", "the valid access token"),
	TEXT(expired_token, "", false, "TEXT", "a token that is refused with 190, subcode 463"),
	INT(token_expires_at, 0, 0, INT64_MAX, false,
		"what debug_token reports for the valid one, epoch seconds; 0: never"),
	TEXT(app_secret, "SIMULATOR_APP_SECRET", false, "TEXT", "key of the webhook signatures"),
	TEXT(verify_token, "SIMULATOR_VERIFY_TOKEN", false, "TEXT", "token of the webhook handshake"),
	TEXT(waba_id, "300000000000001", false, "ID", "the WhatsApp Business account"),
	TEXT(business_id, "400000000000001", false, "ID", "its business portfolio"),
	TEXT(app_id, "500000000000001", false, "ID", "the app that owns the token"),
	TEXT(verification_code, "123456", false, "DIGITS",
		 "what request_code sends to the number, for verify_code"),
	BOOL(unsubscribed, false, "no webhooks until POST .../subscribed_apps, as in a new account"),
	TEXT(calling_code, "34", false, "DIGITS",
		 "country calling code of the numbers, put before recipients written without +"),
	TEXT(served_version, "", false, "vN.N",
		 "version named in facebook-api-version (default: the one asked for, v21.0 at least)"),
	BOOL(accept_any_number, false, "serve sending numbers that are not in the list"),
	BOOL(accept_any_template, false, "accept templates that are not in the list"),
	BOOL(marketing_by_its_edge, false,
		 "refuse marketing templates (131063) unless sent to marketing_messages"),
	BOOL(free_window, false,
		 "service messages, and utility templates within a service window, are free, as until "
		 "September 2026"),
	TEXT(international_codes, "", false, "DIGITS,...",
		 "calling codes to which authentication is charged as authentication-international"),
	BOOL(check_media, false, "refuse media ids that were not uploaded here"),

	HEADING("Responses"),
	INT(delay_ms, 0, 0, HOUR_MS, false, "delay from the request to the response"),
	INT(delay_jitter_ms, 0, 0, HOUR_MS, false, "random addition to the delay, at most"),
	TEXT(faults, "", true, "FILE", "JSON array of fault rules (see README.md)"),
	INT(seed, 1, 0, INT64_MAX, false, "seed of every random choice"),

	HEADING("Limits"),
	BOOL(enforce_limits, false, "enforce the limits below"),
	INT(number_rate, 0, 0, 1000000, false,
		"messages in any second per number; 0: by its throughput level (80 or 1000)"),
	INT(pair_interval_ms, 6000, 0, 24 * HOUR_MS, false,
		"sustained gap between messages to one recipient"),
	INT(pair_burst, 45, 1, 100000, false, "messages to one recipient that may come at once"),
	INT(recipient_limit, 0, 0, INT64_MAX, false,
		"recipients outside a service window in 24 hours, whole portfolio; 0: no limit"),
	INT(recipient_limit_code, 131048, 1, 10000000, false, "error code beyond that"),
	BOOL(enforce_window, false, "refuse free-form messages outside the 24-hour window (131047)"),
	INT(usage_percent, -1, -1, 100, false,
		"shown in x-business-use-case-usage; -1: what was used, from 75 on, under "
		"--enforce-limits"),

	HEADING("Webhooks (off unless one of the first three is given)"),
	TEXT(webhook_url, "", false, "URL", "POST them there, until the response is 200"),
	TEXT(webhook_spool, "", false, "DIR",
		 "write each as DIR/NNNNNNNNN.body and then .signature instead"),
	BOOL(webhook_pull, false, "keep them for GET /_control/webhooks instead"),
	INT(webhook_sent_ms, 10, 0, DAY_MS, false, "from acceptance to \"sent\" (or \"failed\")"),
	INT(webhook_delivered_ms, 10, 0, DAY_MS, false, "from there to \"delivered\""),
	INT(webhook_read_ms, 10, 0, DAY_MS, false, "from there to \"read\""),
	INT(webhook_batch, 1, 1, 1000, false, "statuses and messages in one POST, at most"),
	INT(webhook_batch_ms, 0, 0, HOUR_MS, false, "how long a POST may wait to become full"),
	PERCENT(webhook_fail_percent, "messages that end as \"failed\""),
	INT(webhook_fail_code, 131026, 1, 10000000, false, "their error code"),
	BOOL(webhook_fail_after_sent, false, "they are \"sent\" first"),
	PERCENT(webhook_skip_delivered_percent, "messages that are \"read\" but never \"delivered\""),
	PERCENT(webhook_no_read_percent, "messages never reported as \"read\""),
	PERCENT(webhook_lose_percent, "statuses that are never reported"),
	PERCENT(webhook_reorder_percent, "messages whose statuses come in random order"),
	PERCENT(webhook_repeat_percent, "statuses reported twice"),
	PERCENT(webhook_repeat_post_percent, "POSTs made twice"),
	PERCENT(webhook_late_percent, "statuses that come late"),
	INT(webhook_late_ms, 1000, 0, DAY_MS, false, "how late; also the gap before a repetition"),
	BOOL(webhook_conversations, false, "statuses name a conversation, as webhooks up to v23 do"),
	INT(webhook_connections, 8, 1, 1000, false, "POSTs under way at a time"),
	INT(webhook_timeout_ms, 10000, 1, HOUR_MS, false, "how long a response may take"),
	INT(webhook_retry_ms, 1000, 1, DAY_MS, false, "gap before the first retry; doubles each time"),
	INT(webhook_retry_max_ms, 60000, 1, DAY_MS, false, "the longest gap"),
	INT(webhook_give_up_ms, 7 * DAY_MS, 0, 30 * DAY_MS, false, "no retries after that"),

	HEADING("Log"),
	TEXT(log, "", true, "FILE", "append a JSON line for every send request"),
	INT(log_memory, 250000, 0, 100000000, false,
		"send requests kept in memory for GET /_control/log"),
	BOOL_ON(log_bodies, false, "leave request bodies out of the log"),
};

#define NSETTINGS (sizeof(table) / sizeof(table[0]))

static void
set_text(const Setting *setting, const char *value)
{
	char **variable = setting->variable;

	free(*variable);
	*variable = httpd_strdup(value);
}

static void
set_number(const Setting *setting, int64_t value)
{
	if (setting->kind == KIND_BOOL)
		*(bool *) setting->variable = value != 0;
	else
		*(int64_t *) setting->variable = value;
}

void
sim_settings_init(void)
{
	for (size_t i = 0; i < NSETTINGS; i++)
	{
		if (table[i].name == NULL)
			continue;
		if (table[i].kind == KIND_TEXT)
			set_text(&table[i], table[i].text_default);
		else
			set_number(&table[i], table[i].int_default);
	}
}

/* The option's name without the dashes: "log-memory", or "no-log-bodies". */
static void
option_name(const Setting *setting, char *out, size_t size)
{
	snprintf(out, size, "%s%s",
			 setting->kind == KIND_BOOL && setting->int_default != 0 ? "no-" : "", setting->name);
	for (; *out != '\0'; out++)
	{
		if (*out == '_')
			*out = '-';
	}
}

static void
print_help(void)
{
	puts("wa_simulator simulates the WhatsApp Cloud API for tests: it checks, accepts, limits and\n"
		 "refuses messages as Meta does, fails in every way a rule asks for, logs what it "
		 "accepted,\n"
		 "and sends signed webhooks.  Nothing leaves the machine.\n\n"
		 "Usage: wa_simulator [OPTION]...\n\n"
		 "When ready it prints \"control on URL\" (after \"ca file PATH\" with --tls) and then\n"
		 "\"listening on URL\", a line each.");
	for (size_t i = 0; i < NSETTINGS; i++)
	{
		const Setting *setting = &table[i];
		char name[64];
		char left[96];

		if (setting->name == NULL)
		{
			printf("\n%s:\n", setting->help);
			continue;
		}
		option_name(setting, name, sizeof(name));
		snprintf(left, sizeof(left), "--%s%s%s", name, setting->kind == KIND_BOOL ? "" : " ",
				 setting->kind == KIND_BOOL ? "" : setting->value_name);
		printf("  %-32s %s", left, setting->help);
		if (setting->kind == KIND_TEXT && setting->text_default[0] != '\0')
			printf(" (%s)", setting->text_default);
		else if (setting->kind == KIND_INT)
			printf(" (%lld)", (long long) setting->int_default);
		putchar('\n');
	}
	puts("\n  --help                           this text\n\n"
		 "While it runs, URL/_control/ serves loopback clients:\n"
		 "  GET  log?since=N&limit=N&all=1   accepted messages (all=1: every send request)\n"
		 "  GET  stats                       counters\n"
		 "  POST reset                       clear log, counters, limits and faults\n"
		 "  GET, POST, DELETE faults         the rules; POST replaces them\n"
		 "  GET, POST config                 settings, numbers and templates; POST merges\n"
		 "  POST clock                       {\"advance_ms\": N} or {\"stopped\": true}\n"
		 "  POST release                     cut connections that a rule left without a response\n"
		 "  POST inbound                     a user writes: {\"number\":, \"from\":, \"type\":, "
		 "...}\n"
		 "  POST press                       a user presses: {\"wamid\":, \"button\": 0}\n"
		 "  POST event                       any webhook: {\"field\":, \"value\": {...}}\n"
		 "  POST handshake                   verify webhook_url by GET, as Meta does\n"
		 "  GET  webhooks?max=N&wait_ms=N    fetch webhooks (pull mode)\n"
		 "See src/bin/simulator/README.md for more.");
}

static const Setting *
find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < NSETTINGS; i++)
	{
		char option[64];

		if (table[i].name == NULL)
			continue;
		option_name(&table[i], option, sizeof(option));
		if (strlen(option) == len && memcmp(option, name, len) == 0)
			return &table[i];
	}
	return NULL;
}

void
sim_settings_from_arguments(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		const char *argument = argv[i];
		const char *value = strchr(argument, '=');
		const Setting *setting = NULL;
		int64_t number;

		if (strcmp(argument, "--help") == 0)
		{
			print_help();
			exit(0);
		}
		if (strncmp(argument, "--", 2) == 0)
			setting = find_option(argument + 2, value != NULL ? (size_t) (value - argument - 2)
															  : strlen(argument + 2));
		if (setting == NULL)
			httpd_die("unknown argument \"%s\" (see --help)", argument);
		if (setting->kind == KIND_BOOL)
		{
			if (value != NULL)
				httpd_die("\"%.*s\" takes no value", (int) (value - argument), argument);
			set_number(setting, setting->int_default == 0);
			continue;
		}
		if (value != NULL)
			value++;
		else if (++i < argc)
			value = argv[i];
		else
			httpd_die("\"%s\" requires a value", argument);
		if (setting->kind == KIND_TEXT)
			set_text(setting, value);
		else if (httpd_parse_int(value, setting->min, setting->max, &number))
			set_number(setting, number);
		else
			httpd_die("\"%s\" for %s is not an integer between %lld and %lld", value, setting->name,
					  (long long) setting->min, (long long) setting->max);
	}
}

static const Setting *
find_member(const char *name)
{
	for (size_t i = 0; i < NSETTINGS; i++)
	{
		if (table[i].name != NULL && strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

/* "numbers" is also the list of numbers itself: there, it is no setting. */
static const Setting *
setting_of(const char *name, const json_t *value)
{
	const Setting *setting = find_member(name);

	return setting != NULL && json_is_array(value) ? NULL : setting;
}

static bool
value_fits(const Setting *setting, const json_t *value)
{
	switch (setting->kind)
	{
		case KIND_TEXT:
			return json_is_string(value);
		case KIND_BOOL:
			return json_is_boolean(value);
		case KIND_INT:
			return json_is_integer(value) && json_integer_value(value) >= setting->min &&
				   json_integer_value(value) <= setting->max;
	}
	return false;
}

bool
sim_settings_from_json(const json_t *doc, bool running, char *error, size_t size)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *) doc, name, value)
	{
		const Setting *setting = setting_of(name, value);

		if (setting == NULL && strcmp(name, "numbers") != 0 && strcmp(name, "templates") != 0 &&
			strcmp(name, "users") != 0)
		{
			snprintf(error, size, "\"%.60s\" is not a setting", name);
			return false;
		}
		if (setting == NULL)
			continue;
		if (running && setting->fixed)
		{
			snprintf(error, size, "\"%s\" cannot be changed while running", name);
			return false;
		}
		if (!value_fits(setting, value))
		{
			if (setting->kind == KIND_INT)
				snprintf(error, size, "\"%s\" must be an integer between %lld and %lld", name,
						 (long long) setting->min, (long long) setting->max);
			else
				snprintf(error, size, "\"%s\" must be a %s", name,
						 setting->kind == KIND_BOOL ? "boolean" : "string");
			return false;
		}
	}
	json_object_foreach((json_t *) doc, name, value)
	{
		const Setting *setting = setting_of(name, value);

		if (setting == NULL)
			continue;
		if (setting->kind == KIND_TEXT)
			set_text(setting, json_string_value(value));
		else if (setting->kind == KIND_BOOL)
			set_number(setting, json_is_true(value));
		else
			set_number(setting, json_integer_value(value));
	}
	return true;
}

json_t *
sim_settings_to_json(void)
{
	json_t *doc = json_object();

	for (size_t i = 0; i < NSETTINGS; i++)
	{
		const Setting *setting = &table[i];
		json_t *value;

		if (setting->name == NULL)
			continue;
		if (setting->kind == KIND_TEXT)
			value = json_string(*(char **) setting->variable);
		else if (setting->kind == KIND_BOOL)
			value = json_boolean(*(bool *) setting->variable);
		else
			value = json_integer(*(int64_t *) setting->variable);
		json_object_set_new(doc, setting->name, value);
	}
	return doc;
}
