/*
 * main.c
 *	  wa_simulator: a stand-in for the WhatsApp Cloud API.
 */
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>

#include "bin/httpd/loop.h"
#include "bin/httpd/util.h"
#include "bin/simulator/fault.h"
#include "bin/simulator/journal.h"
#include "bin/simulator/media.h"
#include "bin/simulator/ports.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/webhook.h"

static json_t *
read_json_file(const char *path)
{
	json_error_t error;
	json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	if (doc == NULL && error.line < 1)
		httpd_die("%s", error.text); /* it could not be opened; the text names it */
	if (doc == NULL)
		httpd_die("%s, line %d: %s", path, error.line, error.text);
	return doc;
}

static void
read_config(void)
{
	char error[256];
	json_t *doc = read_json_file(sim_settings.config);

	if (!json_is_object(doc) || !sim_settings_from_json(doc, false, error, sizeof(error)))
		httpd_die("%s: %s", sim_settings.config, json_is_object(doc) ? error : "not an object");

	/* A list of numbers replaces the built-in ones, unless those are asked for, too. */
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
		httpd_die("%s: %s", path, error);
	json_decref(doc);
}

static void
read_faults(void)
{
	char error[256];
	json_t *rules = read_json_file(sim_settings.faults);

	if (!json_is_array(rules) || !sim_fault_load(rules, error, sizeof(error)))
		httpd_die("%s: %s", sim_settings.faults, json_is_array(rules) ? error : "not an array");
	json_decref(rules);
}

static void
stop_on_signal(int signo, void *arg)
{
	httpd_loop_stop();
}

/* A record is in the file soon after its response was sent. */
static void
flush_journal(void *arg)
{
	sim_journal_flush();
}

static void
start_loop(void)
{
	static HttpdTurn turn = {.run = flush_journal};

	httpd_loop_init();
	httpd_loop_on_signal(SIGTERM, stop_on_signal, NULL);
	httpd_loop_on_signal(SIGINT, stop_on_signal, NULL);
	httpd_loop_on_signal(SIGHUP, stop_on_signal, NULL);
	sim_ports_open();
	httpd_loop_add_turn(&turn); /* after the ports, whose turn fills the log */
}

int
main(int argc, char **argv)
{
	json_set_alloc_funcs(httpd_alloc, free); /* or what it could not hold would be called no JSON */

	/* The file first, then the arguments again: they override it. */
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

	httpd_raise_descriptor_limit();
	start_loop();
	httpd_loop_run();

	sim_webhook_stop();
	sim_ports_close();
	sim_journal_close();
	sim_media_reset();
	sim_registry_free();
	return 0;
}
