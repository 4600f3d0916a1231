/*
 * credentials.c
 *	  Who is at the other end: the signature of a webhook, the token of the handshake.
 *
 * A webhook is a request from the internet whose only credential is the
 * signature over its bytes, so that is checked before anything looks into it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/secret.h"
#include "common/signature.h"
#include "compat.h"
#include "webhook/credentials.h"

#define MAX_CHALLENGE 1024

PG_FUNCTION_INFO_V1(wa_webhook_challenge);

/*
 * While this is on the error stack, neither the statement, which may hold the
 * arguments, nor its parameters go to the log along with an error.  Anybody can make
 * a request that fails; what it holds, a guess at a token or a body of megabytes, is
 * not for the log, and a valid token still less.
 */
static void
hide_arguments(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

void
wa_webhook_hide_arguments(ErrorContextCallback *hide)
{
	hide->callback = hide_arguments;
	hide->arg = NULL;
	hide->previous = error_context_stack;
	error_context_stack = hide;
}

void
wa_webhook_require_secret(void)
{
	if (wa_secret_app_secret(0) == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("parameter \"%s\" is not set", "whatsapp_shared.app_secret"),
			 errdetail("Without it, there is no way to tell whether a webhook comes from Meta."),
			 errhint("Put the app secret of the Meta app into a file, name it in "
					 "whatsapp_shared.app_secret_file, and reload the server.")));
}

/* Both are always tried, so that the time does not tell which one it was. */
bool
wa_webhook_is_signed(const text *signature, const bytea *body)
{
	bool matches = false;

	for (int i = 0; i < WA_MAX_APP_SECRETS; i++)
	{
		const char *secret = wa_secret_app_secret(i);
		WaSignature answer = WA_SIGNATURE_DIFFERS;

		if (secret != NULL)
			answer = wa_signature_matches(VARDATA_ANY(signature), VARSIZE_ANY_EXHDR(signature),
										  (const uint8_t *) VARDATA_ANY(body),
										  VARSIZE_ANY_EXHDR(body), secret);
		if (answer == WA_SIGNATURE_UNKNOWN)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
							errdetail("The signature of a webhook could not be computed.")));
		matches |= answer == WA_SIGNATURE_MATCHES;
	}
	return matches;
}

/*
 * True if they are equal; the time taken depends on the length of "given" only.
 */
static bool
same_token(const char *given, size_t given_len, const char *expected)
{
	size_t expected_len = strlen(expected);
	volatile unsigned char difference = given_len != expected_len;

	for (size_t i = 0; i < given_len; i++)
		difference |= (unsigned char) given[i] ^ (unsigned char) expected[i % (expected_len + 1)];
	return difference == 0;
}

static text *
answer_challenge(FunctionCallInfo fcinfo)
{
	text *mode = wa_arg_text(fcinfo, 0, "mode");
	text *token = wa_arg_text(fcinfo, 1, "token");
	text *challenge = wa_arg_text(fcinfo, 2, "challenge");
	const char *expected = wa_secret_verify_token();

	if (expected == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("parameter \"%s\" is not set", "whatsapp_shared.webhook_verify_token"),
				 errhint("Choose a random word, and set it here and in the webhook settings "
						 "of the Meta app.")));
	if (!same_token(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), expected))
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("invalid webhook verify token")));
	if (strcmp(text_to_cstring(mode), "subscribe") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid mode in webhook handshake"),
						errdetail("The only mode that Meta uses is \"subscribe\".")));
	if (VARSIZE_ANY_EXHDR(challenge) > MAX_CHALLENGE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("challenge is longer than %d bytes", MAX_CHALLENGE)));
	return challenge;
}

Datum
wa_webhook_challenge(PG_FUNCTION_ARGS)
{
	ErrorContextCallback hide;
	text *challenge;

	wa_webhook_hide_arguments(&hide);
	challenge = answer_challenge(fcinfo);
	error_context_stack = hide.previous;
	PG_RETURN_TEXT_P(challenge);
}
