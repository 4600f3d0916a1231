/*
 * secret.h
 *	  The master credentials.  Callers must not log, store or copy them
 *	  further than they need to.
 */
#ifndef WA_BASE_SECRET_H
#define WA_BASE_SECRET_H

#include "utils/guc.h"

#include "base/secret_limits.h"

/*
 * What is in force, after a look at its file if that is some time ago; NULL where
 * there is none.  Valid until the next call of a function here.  The two for
 * sessions wait for a file that is being written, up to a second, rather than do
 * without.
 */
extern const char *wa_secret_access_token(void);
extern const char *wa_secret_verify_token(void);

/* App secrets: 0 is the current, 1 the previous one (during a rotation). */
extern const char *wa_secret_app_secret(int which);

/* Looks at the token's file; changes when any of the credentials is seen to have. */
extern uint64 wa_secret_token_generation(void);

/* By the setting's name without prefix; an ERROR for another one. */
extern bool wa_secret_present(const char *setting);

/*
 * Why its file cannot be used, as sentences, or NULL.  With the path if whoever is
 * at the other end of the session may see it.
 */
extern char *wa_secret_problem(const char *setting);

/* Looks at all files, so that what they hold, or lack, is known everywhere. */
extern void wa_secret_refresh(void);

/*
 * Which of them have another value than when this process last asked; room for
 * WA_CREDENTIALS.  Returns how many, none the first time.
 */
#define WA_CREDENTIALS 3
extern int wa_secret_changes(const char **settings);

/* Milliseconds until it is worth another look; -1: nothing is amiss. */
extern long wa_secret_wait_ms(void);

/*
 * What has been read is shared by all processes where there is shared memory, of
 * this size; fresh: it has to be initialized.
 */
struct LWLock;
extern Size wa_secret_shared_size(void);
extern void wa_secret_share(void *memory, struct LWLock *lock, bool fresh);

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
