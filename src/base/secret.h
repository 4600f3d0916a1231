/*
 * secret.h
 *	  The master credentials.  Callers must not log, store or copy them
 *	  further than they need to.
 */
#ifndef WA_BASE_SECRET_H
#define WA_BASE_SECRET_H

#include "utils/guc.h"

/* NULL where none is set.  Valid until the next reload of the settings. */
extern const char *wa_secret_access_token(void);
extern const char *wa_secret_verify_token(void);

/* App secrets: 0 is the current, 1 the previous one (during a rotation). */
#define WA_MAX_APP_SECRETS 2
extern const char *wa_secret_app_secret(int which);

/* Changes whenever any of them has changed. */
extern uint64 wa_secret_generation(void);

/* Longest credential, and longest file holding some. */
#define WA_MAX_SECRET_LENGTH 4096
#define WA_MAX_SECRET_FILE (3 * WA_MAX_SECRET_LENGTH)

/* The settings' hooks, for base/guc.c. */
#define WA_DECLARE_SECRET_HOOKS(name)                                                              \
	extern bool wa_secret_check_##name(char **newval, void **extra, GucSource source);             \
	extern void wa_secret_assign_##name(const char *newval, void *extra);                          \
	extern const char *wa_secret_show_##name(void);                                                \
	extern bool wa_secret_check_##name##_file(char **newval, void **extra, GucSource source);      \
	extern void wa_secret_assign_##name##_file(const char *newval, void *extra)

WA_DECLARE_SECRET_HOOKS(access_token);
WA_DECLARE_SECRET_HOOKS(app_secret);
WA_DECLARE_SECRET_HOOKS(webhook_verify_token);

#endif
