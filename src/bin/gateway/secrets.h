/*
 * secrets.h
 *	  What Meta shows that it is Meta: the app secret's signature, the verify token.
 *
 * Both lie in files, which may be those of whatsapp_shared.app_secret_file and
 * whatsapp_shared.webhook_verify_token_file.  They are read at start, on SIGHUP, and
 * when they have changed, which is looked at once a second.
 */
#ifndef GW_SECRETS_H
#define GW_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

/* At start.  A file that is set and cannot be used ends the program. */
extern void gw_secrets_open(void);

/* A file that cannot be used is complained of, and what it had stays in force. */
extern void gw_secrets_reload(void);

extern bool gw_secrets_have_app_secret(void);
extern bool gw_secrets_have_verify_token(void);

/* True if this may be the header X-Hub-Signature-256 of something; NULL may not. */
extern bool gw_signature_is_well_formed(const char *header);

/*
 * True if a well-formed header is the body's with one of the app secrets.  The time
 * that it takes depends on the body's length alone.
 */
extern bool gw_signature_matches(const char *header, const void *body, size_t len);

/* The same of the verify token, depending on the given one's length. */
extern bool gw_verify_token_matches(const char *token);

#endif
