/*
 * target.h
 *	  Request targets: which ones mean the same to everybody.
 */
#ifndef GW_TARGET_H
#define GW_TARGET_H

#define GW_TARGET_MAX 4096
#define GW_TARGET_MAX_ARGUMENTS 32

/*
 * Checks a target as it came, host being the header Host or NULL: its length, its
 * authority, its query.  The path is path.h's.  Returns 0, or the status to refuse
 * it with, and why.
 *
 * The library decodes the arguments of the query.  What passes here it decodes
 * to text that has neither NUL nor other control characters.
 */
extern int gw_target_check(const char *target, const char *host, const char **reason);

/*
 * The path of a target, and the query behind it.  Clients send the absolute form
 * (http://host/path) to proxies only, but a server must understand it.
 */
extern const char *gw_target_path(const char *target);

#endif
