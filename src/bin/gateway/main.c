/*
 * main.c
 *	  wa_gateway: the HTTP side of whatsapp_shared.
 */
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bin/gateway/access_log.h"
#include "bin/gateway/assets.h"
#include "bin/gateway/auth.h"
#include "bin/gateway/check.h"
#include "bin/gateway/cors.h"
#include "bin/gateway/database.h"
#include "bin/gateway/delivery.h"
#include "bin/gateway/health.h"
#include "bin/gateway/keyring.h"
#include "bin/gateway/routes.h"
#include "bin/gateway/secrets.h"
#include "bin/gateway/server.h"
#include "bin/gateway/settings.h"
#include "bin/gateway/systemd.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/listener.h"
#include "bin/httpd/loop.h"
#include "bin/httpd/util.h"

/* What systemctl status shows. */
#define READY "serving"

static GwPoolSettings admin_pool;

/*
 * A body of 3 MB goes back to the system when it is freed: glibc raises its
 * threshold for that after the first one, unless it is set.
 */
static void
limit_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

/* For the pauses before connecting again, which no two gateways should share. */
static void
seed_random(void)
{
	unsigned int seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (unsigned int) httpd_wall_us();
	srandom(seed);
}

/*
 * Signals
 */

static void
stop_now(void *arg)
{
	httpd_loop_stop();
}

/* The first one lets requests in flight be completed; a second one does not. */
static void
stop_on_signal(int signo, void *arg)
{
	static HttpdTimer bound;
	static bool stopping;

	if (stopping)
	{
		httpd_loop_stop();
		return;
	}
	stopping = true;
	gw_health_stopping();
	gw_systemd_stopping("completing the requests in flight");
	httpd_timer_set(&bound, httpd_now_us() + gw_settings->stop_timeout_s * 1000000, stop_now, NULL);
	httpd_listener_drain(stop_now, NULL);
}

/* What lies in files is read again; settings are not. */
static void
reload_on_signal(int signo, void *arg)
{
	gw_systemd_reloading();
	gw_access_log_open();
	gw_assets_load();
	gw_keyring_reload();
	gw_secrets_reload();
	gw_systemd_ready(READY);
}

static void
start_loop(void)
{
	static HttpdTurn turn = {.run = gw_access_log_flush};

	httpd_loop_init();
	httpd_loop_on_signal(SIGTERM, stop_on_signal, NULL);
	httpd_loop_on_signal(SIGINT, stop_on_signal, NULL);
	httpd_loop_on_signal(SIGHUP, reload_on_signal, NULL);
	admin_pool = (GwPoolSettings){
		.conninfo = gw_settings->database,
		.name = "admin",
		.size = (int) gw_settings->pool_size,
		.statement_timeout_ms = (int) gw_settings->statement_timeout_ms,
		.queue_size = (int) gw_settings->queue_size,
		.wait_ms = (int) gw_settings->wait_ms,
	};
	gw_admin_pool = gw_pool_create(&admin_pool);
	gw_server_open();
	gw_delivery_open();
	httpd_loop_add_turn(&turn); /* after the listeners, whose turn fills the log */
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--routes") == 0)
	{
		gw_routes_print();
		return 0;
	}
	/* Or a document would not be JSON because memory has run out, and a client be told so. */
	json_set_alloc_funcs(httpd_alloc, free);
	gw_settings_read(argc, argv);
	gw_cors_check_settings();
	gw_auth_check_settings();
	gw_pool_check_conninfo("--database", gw_settings->database);
	gw_pool_check_conninfo("--webhook-database", gw_settings->webhook_database);
	if (gw_settings->check)
		return gw_check();
	gw_access_log_open();
	gw_assets_load();
	gw_auth_open();
	gw_secrets_open();
	limit_memory();
	seed_random();
	httpd_raise_descriptor_limit();
	start_loop();
	gw_systemd_ready(READY);
	gw_systemd_start_watchdog();
	httpd_loop_run();

	httpd_listener_stop();
	gw_delivery_close();
	gw_pool_destroy(gw_admin_pool);
	gw_access_log_flush(NULL);
	return 0;
}
