/*
 * settings.h
 *	  Everything that can be set: by an option, in the configuration file, or
 *	  at run time.  One table serves all three, and --help.
 */
#ifndef SIM_SETTINGS_H
#define SIM_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct SimSettings
{
	/* read at start only */
	char *listen;
	char *control;
	bool tls;
	char *cert;
	char *key;
	char *ca_out;
	char *config;
	char *faults;
	char *log;
	int64_t numbers;
	int64_t max_connections;
	int64_t idle_timeout_s;

	/* changeable at any time */
	char *token;
	char *expired_token;
	int64_t token_expires_at;
	char *app_secret;
	char *verify_token;
	char *waba_id;
	char *business_id;
	char *app_id;
	char *verification_code;
	bool unsubscribed;
	char *calling_code;
	char *served_version;
	bool accept_any_number;
	bool accept_any_template;
	bool marketing_by_its_edge;
	bool free_window;
	char *international_codes;
	int64_t connect_delay_ms;
	int64_t delay_ms;
	int64_t delay_jitter_ms;
	int64_t log_memory;
	bool log_bodies;
	int64_t seed;

	char *webhook_url;
	char *webhook_spool;
	bool webhook_pull;
	int64_t webhook_sent_ms;
	int64_t webhook_delivered_ms;
	int64_t webhook_read_ms;
	int64_t webhook_batch;
	int64_t webhook_batch_ms;
	int64_t webhook_fail_percent;
	int64_t webhook_fail_code;
	bool webhook_fail_after_sent;
	int64_t webhook_skip_delivered_percent;
	int64_t webhook_no_read_percent;
	int64_t webhook_lose_percent;
	int64_t webhook_reorder_percent;
	int64_t webhook_repeat_percent;
	int64_t webhook_repeat_post_percent;
	int64_t webhook_late_percent;
	int64_t webhook_late_ms;
	bool webhook_conversations;
	int64_t webhook_connections;
	int64_t webhook_timeout_ms;
	int64_t webhook_retry_ms;
	int64_t webhook_retry_max_ms;
	int64_t webhook_give_up_ms;

	bool enforce_limits;
	int64_t number_rate;
	int64_t pair_interval_ms;
	int64_t pair_burst;
	int64_t recipient_limit;
	int64_t recipient_limit_code;
	bool enforce_window;
	bool check_media;
	int64_t usage_percent;
} SimSettings;

extern SimSettings sim_settings;

/* Gives every setting its default. */
extern void sim_settings_init(void);

/* Reads the command line; ends the program after --help, and with a message if an argument is
 * invalid. */
extern void sim_settings_from_arguments(int argc, char **argv);

/*
 * Applies the settings in doc, an object, leaving "numbers", "templates" and
 * "users" to the registry.  If a value is invalid or, while running, the setting is fixed
 * at start, returns false with the reason in error, and changes nothing.
 */
extern bool sim_settings_from_json(const json_t *doc, bool running, char *error, size_t size);

/* All settings with their values.  The caller owns the reference. */
extern json_t *sim_settings_to_json(void);

#endif
