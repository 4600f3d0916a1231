/*
 * date.h
 *	  The time in a Date header.
 */
#ifndef WA_HTTP_DATE_H
#define WA_HTTP_DATE_H

#include <stdint.h>

/* In seconds since 1970; -1: it is none. */
extern int64_t wa_http_date(const char *text);

#endif
