/*
 * ports.c
 *	  The ports: one that simulates Meta, and one for control, which no fault rule
 *	  disturbs.
 */
#include "bin/simulator/ports.h"

#include <stdio.h>

#include "bin/httpd/listener.h"
#include "bin/httpd/tls.h"
#include "bin/httpd/util.h"
#include "bin/simulator/server.h"
#include "bin/simulator/settings.h"

static HttpdTls tls;

/* A file that was not named is "" in the settings. */
static const char *
or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

static void
prepare_tls(void)
{
	const char *cert = or_null(sim_settings.cert);
	const char *key = or_null(sim_settings.key);
	const char *ca_out = or_null(sim_settings.ca_out);

	if ((cert == NULL) != (key == NULL))
		httpd_die("--cert and --key must be given together");
	if (cert != NULL)
		httpd_tls_read(&tls, cert, key, ca_out);
	else
		httpd_tls_make(&tls, ca_out);
}

static const char *
open_port(const char *address, const HttpdService *service, const HttpdTls *with_tls,
		  int64_t lag_ms)
{
	HttpdListenerSettings settings = {
		.address = address,
		.certificate = with_tls != NULL ? with_tls->certificate : NULL,
		.key = with_tls != NULL ? with_tls->key : NULL,
		.max_connections = (unsigned int) sim_settings.max_connections,
		.idle_timeout_s = (unsigned int) sim_settings.idle_timeout_s,
		.lag_us = lag_ms * 1000,
		.service = service,
	};

	return httpd_listener_address(httpd_listener_open(&settings));
}

void
sim_ports_open(void)
{
	const char *address;

	if (sim_settings.tls)
		prepare_tls();
	address = open_port(sim_settings.listen, &sim_server_service, sim_settings.tls ? &tls : NULL,
						sim_settings.connect_delay_ms);
	if (sim_settings.tls)
		printf("ca file %s\n", tls.ca_file);
	printf("control on http://%s\n",
		   open_port(sim_settings.control, &sim_server_control_service, NULL, 0));
	printf("listening on %s://%s\n", sim_settings.tls ? "https" : "http", address);
	fflush(stdout);
}

void
sim_ports_close(void)
{
	httpd_listener_stop();
	httpd_tls_free(&tls);
}
