/*
 * main.c
 *	  wa_simulator: a stand-in for the WhatsApp Cloud API.
 *
 * One thread, one loop: HTTP, timers and signals take turns.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fault.h"
#include "journal.h"
#include "listener.h"
#include "registry.h"
#include "settings.h"
#include "timer.h"
#include "util.h"

static json_t *
read_json_file(const char *path)
{
	json_error_t error;
	json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

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

static int
open_signals(void)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		sim_die("could not watch for signals: %s", strerror(errno));
	return fd;
}

static void
watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		sim_die("could not watch a descriptor: %s", strerror(errno));
}

/* The sooner of two times to wait, -1 being for ever. */
static int
sooner(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static void
run(int epoll_fd, int signal_fd)
{
	for (;;)
	{
		struct epoll_event events[8];
		int n =
			epoll_wait(epoll_fd, events, 8, sooner(sim_listener_wait_ms(), sim_timer_wait_ms()));

		if (n < 0 && errno != EINTR)
			sim_die("could not wait: %s", strerror(errno));
		for (int i = 0; i < n; i++)
		{
			if (events[i].data.fd == signal_fd)
				return;
		}
		sim_timer_run();
		sim_listener_run();
		sim_journal_flush();
	}
}

int
main(int argc, char **argv)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int signal_fd;

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
	signal_fd = open_signals();
	sim_listener_start();
	watch(epoll_fd, signal_fd);
	for (int i = 0; i < SIM_LISTENERS; i++)
		watch(epoll_fd, sim_listener_fd(i));
	run(epoll_fd, signal_fd);

	sim_listener_stop();
	sim_journal_close();
	sim_registry_free();
	return 0;
}
