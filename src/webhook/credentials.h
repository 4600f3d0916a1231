/*
 * credentials.h
 *	  Who is at the other end: the signature of a webhook, the token of the handshake.
 */
#ifndef WA_WEBHOOK_CREDENTIALS_H
#define WA_WEBHOOK_CREDENTIALS_H

/*
 * Puts on the error stack that neither the statement nor its parameters may be
 * logged.  The caller takes it off: error_context_stack = hide->previous.
 */
extern void wa_webhook_hide_arguments(ErrorContextCallback *hide);

/* Raises unless there is an app secret. */
extern void wa_webhook_require_secret(void);

/*
 * Whether the header X-Hub-Signature-256 is the body's, with the current app secret or
 * the previous one.
 */
extern bool wa_webhook_is_signed(const text *signature, const bytea *body);

#endif
