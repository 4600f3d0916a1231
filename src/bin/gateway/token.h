/*
 * token.h
 *	  Tokens of the platform's people: the files they come from, and comparing them.
 */
#ifndef GW_TOKEN_H
#define GW_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#define GW_TOKEN_MIN 32
#define GW_TOKEN_DIGEST 32

/* Two are valid while one replaces the other. */
#define GW_TOKENS_A_FILE 2

/* Of a token nothing is kept but what it takes to know it again. */
typedef struct GwToken
{
	unsigned char digest[GW_TOKEN_DIGEST];		/* SHA-256 */
	unsigned char session_key[GW_TOKEN_DIGEST]; /* for the sessions that it begins */
} GwToken;

typedef struct GwTokens
{
	GwToken tokens[GW_TOKENS_A_FILE];
	int n;
} GwTokens;

/*
 * Reads a file with a token on each line; empty lines, and lines that begin with
 * a number sign, do not count.  The file must belong to root or to us, and others
 * must not be able to read it, nor its group to write it.  False, with out unchanged
 * and what is wrong in error: a file that somebody is just writing must not lock
 * everybody out.
 */
extern bool gw_tokens_read(const char *path, GwTokens *out, char *error, size_t error_size);

/* The one that this is, or NULL.  The time that it takes does not tell how much was right. */
extern const GwToken *gw_tokens_find(const GwTokens *tokens, const char *token);

#endif
