/*
 * login_limit.h
 *	  How often somebody may present what is not valid.
 *
 * Tokens have at least 32 characters and links 32 random bytes, so nobody guesses
 * one at any speed.  The limit keeps those who try from costing database work, and
 * makes a token that somebody has thought up himself a little less bad.
 *
 * It must not become a weapon, either: many share an address, and whoever fails
 * there on purpose could lock out the others.  So a valid token that a program
 * presents passes at any time, cookies are not counted (nobody guesses a MAC, and a
 * session that has ended is no attempt), and what is held up is a login by hand and
 * the links.  Ten at once and ten a minute: a client that asks four times a minute
 * with a link of yesterday holds up nobody.
 */
#ifndef GW_LOGIN_LIMIT_H
#define GW_LOGIN_LIMIT_H

#include <stdint.h>

#include "bin/gateway/address.h"

/* They do not stand in each other's way. */
typedef enum GwLogin
{
	GW_LOGIN_TOKEN,
	GW_LOGIN_LINK
} GwLogin;

#define GW_LOGIN_BURST 10
#define GW_LOGIN_REFILL_US INT64_C(6000000)

/*
 * The table is of a fixed size.  Each address has eight places where it may stand,
 * which a random key chooses; where all are taken, who has been quiet the longest
 * is forgotten.
 */
extern void gw_login_limit_init(void);

/* Seconds until this address may try again; 0: now. */
extern int gw_login_limit_wait(const GwAddress *client, GwLogin login, int64_t now_us);

/* It has tried in vain. */
extern void gw_login_limit_failed(const GwAddress *client, GwLogin login, int64_t now_us);

#endif
