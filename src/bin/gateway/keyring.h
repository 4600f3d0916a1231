/*
 * keyring.h
 *	  The tokens that are valid now, by the roles that they give.
 *
 * The files are read again on SIGHUP, and when they have changed, which is looked
 * at once a second: replacing a token must not depend on somebody remembering the
 * signal.
 */
#ifndef GW_KEYRING_H
#define GW_KEYRING_H

#include "bin/gateway/exchange.h"
#include "bin/gateway/token.h"

/* At start.  A file that is set and cannot be used ends the program. */
extern void gw_keyring_open(void);

/* A file that cannot be used is complained of, and its tokens stay as they were. */
extern void gw_keyring_reload(void);

/* Whose token it is; GW_NOBODY: nobody's.  Where both files have it, the lesser role. */
extern GwRole gw_keyring_role_of(const char *token);

/* The tokens of GW_ADMIN or GW_VIEWER. */
extern const GwTokens *gw_keyring_tokens(GwRole role);

#endif
