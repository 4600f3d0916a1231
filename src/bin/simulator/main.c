/*
 * main.c
 *	  wa_simulator: a stand-in for the WhatsApp Cloud API.
 */
#include <sys/resource.h>

#include "bin/simulator/fault.h"
#include "bin/simulator/journal.h"
#include "bin/httpd/listener.h"
#include "bin/httpd/loop.h"
#include "bin/simulator/media.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/settings.h"
#include "bin/httpd/util.h"
#include "bin/simulator/webhook.h"

static json_t *
read_json_file(const char *path)
{
	json_error_t error;
	json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	if (doc == NULL && error.line < 1)
		sim_die("%s", error.text); /* not opened; the text names it */
	if (doc == NULL)
		sim_die("%s, line %d: %s", path, error.line, error.text);
	return doc;
}

static void
read_config(void)
{
	char error[256];
	json_t *doc = read_json_file(sim_settings.config);

	if (!json_is_object(doc) || !sim_settings_from_json(doc, false, error, sizeof(error)))
		sim_die("%s: %s", sim_settings.config, json_is_object(doc) ? error : "not an object");

	/* Who lists numbers wants those, and the built-in ones only if asked for. */
	if (json_is_array(json_object_get(doc, "numbers")))
		sim_settings.numbers = 0;
	json_decref(doc);
}

/* Settings first: they decide how many numbers there are. */
static void
read_config_account(const char *path)
{
	char error[256];
	json_t *doc = read_json_file(path);

	if (!sim_registry_merge(doc, error, sizeof(error)))
		sim_die("%s: %s", path, error);
	json_decref(doc);
}

static void
read_faults(void)
{
	char error[256];
	json_t *rules = read_json_file(sim_settings.faults);

	if (!json_is_array(rules) || !sim_fault_load(rules, error, sizeof(error)))
		sim_die("%s: %s", sim_settings.faults, json_is_array(rules) ? error : "not an array");
	json_decref(rules);
}

/* Thousands of connections need thousands of descriptors. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int
main(int argc, char **argv)
{
	/* The file first, then the arguments again: they have the last word. */
	sim_settings_init();
	sim_settings_from_arguments(argc, argv);
	if (sim_settings.config[0] != '\0')
	{
		read_config();
		sim_settings_from_arguments(argc, argv);
	}
	sim_registry_init();
	if (sim_settings.config[0] != '\0')
		read_config_account(sim_settings.config);
	if (sim_settings.faults[0] != '\0')
		read_faults();
	if (sim_settings.log[0] != '\0')
		sim_journal_open(sim_settings.log);

	raise_descriptor_limit();
	sim_loop_init();
	sim_listener_start();
	sim_loop_run();

	sim_webhook_stop();
	sim_listener_stop();
	sim_journal_close();
	sim_media_reset();
	sim_registry_free();
	return 0;
}
