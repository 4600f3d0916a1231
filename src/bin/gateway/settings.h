/*
 * settings.h
 *	  Everything that can be set at start.
 */
#ifndef GW_SETTINGS_H
#define GW_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

/* Texts are never NULL: "" is one that is not set. */
typedef struct GwTextList
{
	char **items;
	int n;
} GwTextList;

typedef struct GwSettings
{
	/* Listening */
	char *listen;
	char *webhook_listen;
	char *admin_listen;
	char *metrics_listen;
	char *tls_cert;
	char *tls_key;
	int64_t max_connections;
	int64_t idle_timeout_s;
	int64_t request_timeout_s;
	int64_t stop_timeout_s;

	/* The database */
	char *database;
	char *webhook_database;
	int64_t status_connections;
	int64_t reply_connections;
	int64_t pool_size;
	int64_t queue_size;
	int64_t wait_ms;
	int64_t statement_timeout_ms;

	/* Who may */
	char *app_secret_file;
	char *verify_token_file;
	char *admin_token_file;
	char *viewer_token_file;
	char *trusted_user_header;
	char *trusted_user_role;
	GwTextList trusted_proxy;
	GwTextList allow_origin;
	GwTextList frame_ancestors;

	/* Pages and log */
	char *theme;
	char *access_log;
	int64_t metrics_per_number;

	char *config;
	bool check; /* --check: only an argument */
} GwSettings;

/* Set once, at start. */
extern const GwSettings *const gw_settings;

/*
 * From the defaults, the configuration file, the environment and the arguments,
 * the later ones overriding.  --help and --version end the program, as does what
 * is wrong.
 */
extern void gw_settings_read(int argc, char **argv);

/* Prints them as wa_gateway --help does. */
extern void gw_settings_help(void);

#endif
