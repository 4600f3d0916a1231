/*
 * A name server that says nothing holds up nobody.
 *
 * libcurl's way of giving up a request is to wait for the thread that looks up its
 * name.  These threads hang until the test lets them go, so a wait for one of them
 * would last for ever.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "certificate.h"
#include "client.h"
#include "phase.h"

#define SILENT "https://silent.test:1"

static WaHttpConfig
impatient_config(void)
{
	WaHttpConfig config = client_config();

	config.connect_timeout_ms = 200;
	config.max_connections = 50;
	return config;
}

static void
test_silent(void)
{
	WaHttpConfig config = impatient_config();
	WaHttp *http = client_create_with(&config);
	Server *server = server_start(SERVER_TLS, NULL, NULL);
	WaHttpResult *result = client_post(http, SILENT, "/");

	ok(result->finished_us - result->started_us < 2000000, "given up after its 200 ms");
	is_phase(http, result, WA_HTTP_NOT_WRITTEN, "no address");

	config.connect_timeout_ms = 60000;
	ok(wa_http_reconfigure(http, &config), "other settings");
	client_submit(http, SILENT, "/", NULL);
	ok(client_wait_ms(http, 50) == NULL, "the next hangs");
	config.max_connections = 49;
	ok(wa_http_reconfigure(http, &config), "other settings again");
	ok(client_wait_ms(http, 50) == NULL, "it hangs by these");
	wa_http_abort_all(http);
	is_phase(http, client_wait(http), WA_HTTP_NOT_WRITTEN, "given up");
	client_submit(http, SILENT, "/", NULL);
	ok(client_wait_ms(http, 50) == NULL, "one more hangs");
	wa_http_destroy(http);
	ok(true, "nothing waits for it at the end");
	server_stop(server);
}

#define AT_ONCE 40

/*
 * Threads that were left behind are not without number.  libcurl 8.20 and later have a
 * limit of their own, which is reached before ours: more names wait for a thread, until
 * their requests are given up.
 */
static void
test_many(void)
{
	WaHttpConfig config = impatient_config();
	WaHttp *http = client_create_with(&config);
	WaHttpResult *result;
	int before = client_lookups();
	bool ours;

	for (int i = 0; i < AT_ONCE; i++)
		client_submit(http, SILENT, "/", NULL);
	for (int i = 0; i < AT_ONCE; i++)
		wa_http_release(http, client_wait(http));
	ours = client_lookups() == before + AT_ONCE;
	result = client_post(http, SILENT, "/");
	if (ours)
		is_str(result->error, "too many lookups of names are without an answer", "one too many");
	is_phase(http, result, WA_HTTP_NOT_WRITTEN, "is not begun");
	ok(client_lookups() <= before + AT_ONCE, "nor is its name looked up besides");
	before = client_lookups();
	is_phase(http, client_post(http, "https://127.0.0.1:1", "/"), WA_HTTP_NOT_WRITTEN,
			 "an address needs none");

	client_end_lookups();
	do
	{
		result = client_post(http, "https://unknown.test:1", "/");
		wa_http_release(http, result);
	} while (client_lookups() == before);
	ok(true, "when they have ended, names are looked up again");
	wa_http_destroy(http);
}

int
main(void)
{
	alarm(60); /* who waits for a thread, waits for ever */
	test_silent();
	test_many();
	ok(client_longest_turn_ms() < 100, "the longest turn took %d ms", client_longest_turn_ms());
	ok(client_lookups_masked(), "signals were blocked wherever names were looked up");
	certificate_remove_files();
	return done_testing();
}
