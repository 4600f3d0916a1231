/*
 * date.c
 *	  The time in a Date header.
 */
#include <curl/curl.h>

#include "http/date.h"

int64_t
wa_http_date(const char *text)
{
	return (int64_t) curl_getdate(text, NULL);
}
