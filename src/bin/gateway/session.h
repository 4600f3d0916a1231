/*
 * session.h
 *	  Sessions of the admin page: what the cookie says, and whether we said it.
 *
 * Nothing is stored: the cookie is ROLE.EXPIRY.RANDOM.MAC, made with a key that is
 * derived from the token that began the session.  So every gateway with that token
 * takes it, a restart ends no session, and removing the token ends all that it
 * began.  Ending one alone removes its cookie from the browser; a copy of the cookie
 * lives until it expires.
 */
#ifndef GW_SESSION_H
#define GW_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bin/gateway/token.h"

#define GW_SESSION_SECONDS (12 * 3600)
#define GW_SESSION_MAX 160

/* Writes the value of a cookie for the role of this name. */
extern void gw_session_make(const GwToken *token, const char *role, int64_t now_s, char *out,
							size_t size);

/* True if one of the tokens has begun this session, and it has not expired. */
extern bool gw_session_is_valid(const GwTokens *tokens, const char *role, const char *value,
								int64_t now_s);

#endif
