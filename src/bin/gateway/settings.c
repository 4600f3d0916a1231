/*
 * settings.c
 *	  The table of settings, and the three ways to set them.
 *
 * A setting has one name: pool_size in the configuration file is --pool-size as
 * an argument and WA_GATEWAY_POOL_SIZE in the environment.
 */
#include "bin/gateway/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"

static GwSettings settings;
const GwSettings *const gw_settings = &settings;

typedef enum Kind
{
	KIND_HEADING,
	KIND_TEXT,
	KIND_LIST,
	KIND_INT
} Kind;

typedef struct Setting
{
	const char *name;
	Kind kind;
	void *variable;
	const char *text_default;
	int64_t int_default;
	int64_t min;
	int64_t max;
	const char *value_name;
	const char *help;
} Setting;

#define HEADING(text)                                                                              \
	{                                                                                              \
		NULL, KIND_HEADING, NULL, NULL, 0, 0, 0, NULL, text                                        \
	}
#define TEXT(name, initial, value_name, help)                                                      \
	{                                                                                              \
#name, KIND_TEXT, &settings.name, initial, 0, 0, 0, value_name, help                       \
	}
#define LIST(name, value_name, help)                                                               \
	{                                                                                              \
#name, KIND_LIST, &settings.name, NULL, 0, 0, 0, value_name, help                          \
	}
#define INT(name, initial, min, max, help)                                                         \
	{                                                                                              \
#name, KIND_INT, &settings.name, NULL, initial, min, max, "N", help                        \
	}

static const Setting table[] = {
	HEADING("Listening"),
	TEXT(listen, "127.0.0.1:8080", "HOST:PORT",
		 "everything that has no address of its own; port 0: a free one; empty: nothing"),
	TEXT(webhook_listen, "", "HOST:PORT", "/webhook alone, and it nowhere else"),
	TEXT(admin_listen, "", "HOST:PORT", "API and pages alone, and they nowhere else"),
	TEXT(metrics_listen, "", "HOST:PORT", "/metrics without a token; there alone"),
	TEXT(tls_cert, "", "FILE", "PEM certificate (chain); without, a proxy in front does TLS"),
	TEXT(tls_key, "", "FILE", "its PEM private key"),
	INT(max_connections, 20000, 1, 1000000, "connections at a time, for each address"),
	INT(idle_timeout_s, 75, 1, 86400, "seconds until a connection without requests is closed"),
	INT(request_timeout_s, 15, 1, 3600,
		"seconds that a client may take to send a request, or to take a response"),
	INT(stop_timeout_s, 25, 0, 3600,
		"seconds that requests in flight may take after SIGTERM or SIGINT"),

	HEADING("The database"),
	TEXT(database, "", "CONNINFO",
		 "how libpq connects as a role with the privilege admin (or PGHOST and the like)"),
	TEXT(webhook_database, "", "CONNINFO", "and as one with the privilege webhook"),
	INT(status_connections, 2, 1, 100, "connections for statuses and events, which share them"),
	INT(reply_connections, 4, 1, 100,
		"connections for customers' messages, one for each whose handler runs"),
	INT(pool_size, 4, 1, 100, "connections for the API"),
	INT(queue_size, 500, 0, 100000, "requests that may wait for one of them"),
	INT(wait_ms, 3000, 0, 60000, "milliseconds that they may wait, after which they get 503"),
	INT(statement_timeout_ms, 10000, 100, 600000, "milliseconds that a statement may take"),

	HEADING("Who may"),
	TEXT(app_secret_file, "", "FILE",
		 "the Meta app's secret; two lines during a rotation; without it, no webhooks"),
	TEXT(verify_token_file, "", "FILE", "what Meta shows when the webhook is set up"),
	TEXT(admin_token_file, "", "FILE", "tokens of the admin, one a line; two during a rotation"),
	TEXT(viewer_token_file, "", "FILE", "tokens that can look at everything and change nothing"),
	TEXT(trusted_user_header, "", "NAME",
		 "header by which a proxy on this machine says who somebody is (X-Remote-User)"),
	TEXT(trusted_user_role, "viewer", "ROLE", "what he may: admin or viewer"),
	LIST(trusted_proxy, "NETWORK",
		 "whose X-Forwarded-For is believed, instead of this machine's; repeatable"),
	LIST(allow_origin, "ORIGIN",
		 "a site whose pages may call the API (https://shop.example); repeatable"),
	LIST(frame_ancestors, "ORIGIN", "a site that may embed the owner's page; repeatable"),

	HEADING("Pages, metrics and log"),
	TEXT(theme, "", "FILE", "CSS with custom properties, for colours and fonts of one's own"),
	INT(metrics_per_number, 0, 0, 1, "1: /metrics has two for each number, too"),
	TEXT(access_log, "stderr", "FILE", "a JSON line for each request; stderr, stdout, or empty"),

	HEADING("Where from"),
	TEXT(config, "", "FILE", "lines of \"name = value\" with these names"),
};

#define NSETTINGS (sizeof(table) / sizeof(table[0]))

/*
 * One setting
 */

static void
set_text(const Setting *setting, const char *value)
{
	char **variable = setting->variable;

	free(*variable);
	*variable = httpd_strdup(value);
}

static void
add_to_list(const Setting *setting, const char *value)
{
	GwTextList *list = setting->variable;

	list->items = httpd_realloc(list->items, (size_t) (list->n + 1) * sizeof(char *));
	list->items[list->n++] = httpd_strdup(value);
}

static void
set_default(const Setting *setting)
{
	if (setting->kind == KIND_TEXT)
		set_text(setting, setting->text_default);
	else if (setting->kind == KIND_INT)
		*(int64_t *) setting->variable = setting->int_default;
}

/* where is how the user knows it: an option, a variable, or a line of a file. */
static void
set_value(const Setting *setting, const char *value, const char *where)
{
	switch (setting->kind)
	{
		case KIND_HEADING:
			break;
		case KIND_TEXT:
			set_text(setting, value);
			break;
		case KIND_LIST:
			add_to_list(setting, value);
			break;
		case KIND_INT:
			if (!httpd_parse_int(value, setting->min, setting->max, setting->variable))
				httpd_die("%s: \"%s\" is not an integer between %lld and %lld", where, value,
						  (long long) setting->min, (long long) setting->max);
			break;
	}
}

/* pool_size, or pool-size: the file takes both, as people do. */
static const Setting *
find(const char *name, size_t len)
{
	for (size_t i = 0; i < NSETTINGS; i++)
	{
		size_t n = 0;

		if (table[i].name == NULL || strlen(table[i].name) != len)
			continue;
		while (n < len &&
			   (name[n] == table[i].name[n] || (name[n] == '-' && table[i].name[n] == '_')))
			n++;
		if (n == len)
			return &table[i];
	}
	return NULL;
}

/*
 * Arguments
 */

static void
print_left(const Setting *setting)
{
	char left[96];
	int n = snprintf(left, sizeof(left), "--%s %s", setting->name, setting->value_name);

	for (int i = 0; i < n; i++)
	{
		if (left[i] == '_')
			left[i] = '-';
	}
	printf("  %-30s ", left);
}

void
gw_settings_help(void)
{
	puts("wa_gateway serves the HTTP side of whatsapp_shared: Meta's webhooks, the API and pages\n"
		 "for administrators and tenants, metrics.\n\n"
		 "Usage: wa_gateway [OPTION]...\n\n"
		 "Each option can also be set in the environment (WA_GATEWAY_POOL_SIZE=8) or in a file\n"
		 "(pool_size = 8); arguments override the environment, which overrides the file.\n"
		 "When ready it prints \"listening on URL\", a line for each address.");
	for (size_t i = 0; i < NSETTINGS; i++)
	{
		const Setting *setting = &table[i];

		if (setting->kind == KIND_HEADING)
		{
			printf("\n%s:\n", setting->help);
			continue;
		}
		print_left(setting);
		fputs(setting->help, stdout);
		if (setting->kind == KIND_INT)
			printf(" (%lld)", (long long) setting->int_default);
		else if (setting->text_default != NULL && setting->text_default[0] != '\0')
			printf(" (%s)", setting->text_default);
		putchar('\n');
	}
	puts("\n  --check                        tries all of this, says what is wrong, and ends\n"
		 "  --routes                       method, path and least role of each address\n"
		 "  --help                         this text\n"
		 "  --version                      the version");
}

/* --name VALUE or --name=VALUE; returns how many arguments that were. */
static int
read_argument(char **argv, bool is_last, bool config_only)
{
	const char *argument = argv[0];
	const char *value = strchr(argument, '=');
	const Setting *setting = NULL;
	char where[80];

	if (strncmp(argument, "--", 2) == 0)
		setting = find(argument + 2,
					   value != NULL ? (size_t) (value - argument - 2) : strlen(argument + 2));
	if (setting == NULL)
		httpd_die("unknown argument \"%s\" (see --help)", argument);
	if (value == NULL && is_last)
		httpd_die("\"%s\" requires a value: %s", argument, setting->value_name);
	snprintf(where, sizeof(where), "%.*s", (int) strcspn(argument, "="), argument);
	if (!config_only || setting->variable == &settings.config)
		set_value(setting, value != NULL ? value + 1 : argv[1], where);
	return value != NULL ? 1 : 2;
}

static void
read_arguments(int argc, char **argv, bool config_only)
{
	for (int i = 1; i < argc;)
	{
		if (strcmp(argv[i], "--help") == 0)
		{
			gw_settings_help();
			exit(0);
		}
		if (strcmp(argv[i], "--version") == 0)
		{
			puts("wa_gateway (whatsapp_shared) " GW_VERSION);
			exit(0);
		}
		if (strcmp(argv[i], "--check") == 0)
		{
			settings.check = true;
			i++;
			continue;
		}
		i += read_argument(argv + i, i + 1 == argc, config_only);
	}
}

/*
 * Environment
 */

static void
read_environment(bool config_only)
{
	for (size_t i = 0; i < NSETTINGS; i++)
	{
		char name[80];
		char *p = name + strlen("WA_GATEWAY_");
		const char *value;

		if (table[i].name == NULL || (config_only && table[i].variable != &settings.config))
			continue;
		snprintf(name, sizeof(name), "WA_GATEWAY_%s", table[i].name);
		for (; *p != '\0'; p++)
			*p = (char) toupper((unsigned char) *p);
		value = getenv(name);
		if (value == NULL)
			continue;
		if (table[i].kind != KIND_LIST)
			set_value(&table[i], value, name);
		else
		{
			/* A list in one variable is separated by spaces. */
			char *copy = httpd_strdup(value);
			char *rest;

			for (char *item = strtok_r(copy, " ", &rest); item != NULL;
				 item = strtok_r(NULL, " ", &rest))
				add_to_list(&table[i], item);
			free(copy);
		}
	}
}

/*
 * File
 */

static char *
trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		text[--len] = '\0';
	return text;
}

/* name = value; a value may be in single or double quotes, which are taken off. */
static void
read_line(const char *file, int number, char *line)
{
	char *equals = strchr(line, '=');
	const Setting *setting;
	char where[300];
	char *value;
	size_t len;

	line = trim(line);
	if (line[0] == '\0' || line[0] == '#')
		return;
	snprintf(where, sizeof(where), "%s, line %d", file, number);
	if (equals == NULL)
		httpd_die("%s: expected \"name = value\"", where);
	*equals = '\0';
	setting = find(trim(line), strlen(trim(line)));
	if (setting == NULL || setting->variable == &settings.config)
		httpd_die("%s: \"%s\" is not a setting (see --help)", where, trim(line));
	value = trim(equals + 1);
	len = strlen(value);
	if (len >= 2 && (value[0] == '\'' || value[0] == '"') && value[len - 1] == value[0])
	{
		value[len - 1] = '\0';
		value++;
	}
	set_value(setting, value, where);
}

static void
read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	int number = 0;

	if (file == NULL)
		httpd_die("could not open \"%s\": %s", path, strerror(errno));
	while (getline(&line, &size, file) >= 0)
		read_line(path, ++number, line);
	free(line);
	fclose(file);
}

/* First only where the file is, then all in the order in which they override. */
void
gw_settings_read(int argc, char **argv)
{
	for (size_t i = 0; i < NSETTINGS; i++)
		set_default(&table[i]);
	read_environment(true);
	read_arguments(argc, argv, true);
	if (settings.config[0] != '\0')
		read_file(settings.config);
	read_environment(false);
	read_arguments(argc, argv, false);
}
