/*
 * negotiate.h
 *	  What a client will take: encodings, and what it has already.
 */
#ifndef GW_NEGOTIATE_H
#define GW_NEGOTIATE_H

#include <stdbool.h>

/* Whether Accept-Encoding (NULL: absent) allows gzip. */
extern bool gw_accepts_gzip(const char *accept_encoding);

/* Whether If-None-Match (NULL: absent) names this entity tag, weakly compared. */
extern bool gw_etag_matches(const char *if_none_match, const char *etag);

#endif
