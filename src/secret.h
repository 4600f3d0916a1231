/*
 * secret.h
 *	  The master credentials.  Callers must not log, store or copy them
 *	  further than they need to.
 */
#ifndef WA_SECRET_H
#define WA_SECRET_H

/* NULL where none is set.  Valid until the next reload of the settings. */
extern const char *wa_secret_access_token(void);
extern const char *wa_secret_verify_token(void);

/* App secrets: 0 is the current, 1 the previous one (during a rotation). */
#define WA_MAX_APP_SECRETS 2
extern const char *wa_secret_app_secret(int which);

/* Changes whenever any of them has changed. */
extern uint64 wa_secret_generation(void);

#endif
