/*
 * log_path.h
 *	  A request's path, as it may stand in a log.
 */
#ifndef GW_LOG_PATH_H
#define GW_LOG_PATH_H

#include "bin/gateway/exchange.h"

/*
 * Of a route: its path with these arguments, without phone numbers.  Of none (NULL):
 * the target up to its query, without anything that might be a number or a secret.
 */
extern void gw_log_path(const GwRoute *route, char *const arguments[], const char *target,
						HttpdBuf *out);

#endif
