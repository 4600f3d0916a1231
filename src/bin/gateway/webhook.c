/*
 * webhook.c
 *	  The address that Meta knows: its handshake, and its webhooks.
 *
 * Everybody can send something here.  What has no valid signature is refused before
 * anything looks into it and before the database hears of it, and makes no line in the
 * log: a flood of it costs a hash each, and is one line a minute.
 */
#include "bin/gateway/webhook.h"

#include <string.h>

#include "bin/gateway/complain.h"
#include "bin/gateway/counters.h"
#include "bin/gateway/delivery.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/secrets.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/timer.h"

#define SUMMARY_US INT64_C(60000000)
#define MAX_CHALLENGE 1024

/*
 * Strangers
 */

static uint64_t strangers;
static HttpdTimer summary;

static void
summarize(void *arg)
{
	gw_complain("%llu requests to /webhook with a wrong signature or token",
				(unsigned long long) strangers);
	strangers = 0;
}

/* The first one begins a minute, at whose end it is said how many there were. */
static void
refuse_stranger(GwExchange *exchange, int status, const char *why)
{
	exchange->quiet = true;
	gw_problem(exchange, status, "%s", why);
	if (strangers++ == 0)
		httpd_timer_set(&summary, httpd_now_us() + SUMMARY_US, summarize, NULL);
}

static bool
is_unset(GwExchange *exchange, bool set, const char *option)
{
	if (!set)
		gw_problem(exchange, 503, "This gateway has no %s.", option);
	return !set;
}

/*
 * The handshake
 */

/*
 * By the file and not by wa_webhook_challenge(): Meta asks once in the life of
 * an app, and anybody else as often as he likes.
 */
void
gw_webhook_handshake(GwExchange *exchange)
{
	const char *mode = httpd_request_argument(&exchange->http, "hub.mode");
	const char *token = httpd_request_argument(&exchange->http, "hub.verify_token");
	const char *challenge = httpd_request_argument(&exchange->http, "hub.challenge");

	if (is_unset(exchange, gw_secrets_have_verify_token(), "--verify-token-file"))
		return;
	if (token == NULL || !gw_verify_token_matches(token))
		refuse_stranger(exchange, 403, "This is not the verify token.");
	else if (mode == NULL || strcmp(mode, "subscribe") != 0)
		gw_problem_field(exchange, 400, "hub.mode", "The mode must be \"subscribe\".");
	else if (challenge == NULL || strlen(challenge) > MAX_CHALLENGE)
		gw_problem_field(exchange, 400, "hub.challenge",
						 "There must be a challenge of at most %d bytes.", MAX_CHALLENGE);
	else
		httpd_reply_text(&exchange->http.reply, 200, "text/plain", challenge);
}

/*
 * Webhooks
 */

static const char *
signature_of(const GwExchange *exchange)
{
	return httpd_request_header(&exchange->http, "X-Hub-Signature-256");
}

static void
refuse_signature(GwExchange *exchange)
{
	gw_count_webhook(GW_WEBHOOK_INVALID_SIGNATURE, httpd_now_us() - exchange->began_us);
	refuse_stranger(exchange, 401, "There is no valid X-Hub-Signature-256.");
}

void
gw_webhook_head(GwExchange *exchange)
{
	if (is_unset(exchange, gw_secrets_have_app_secret(), "--app-secret-file"))
		return;
	if (!gw_signature_is_well_formed(signature_of(exchange)))
		refuse_signature(exchange);
}

void
gw_webhook_receive(GwExchange *exchange)
{
	const HttpdBuf *body = &exchange->http.body;
	const char *signature = signature_of(exchange);

	if (!gw_signature_matches(signature, body->data != NULL ? body->data : "", body->len))
		refuse_signature(exchange);
	else
		gw_delivery_begin(exchange, signature);
}
