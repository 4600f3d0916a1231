/*
 * url.h
 *	  Addresses that libcurl has parsed already.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_URL_H
#define WA_HTTP_URL_H

#include <curl/curl.h>

typedef struct WaHttpUrls WaHttpUrls;

/* One address; libcurl reads it until the last request to it has ended. */
typedef struct WaHttpUrl
{
	int refcount;
	CURLU *parsed;
	char text[];
} WaHttpUrl;

/* NULL if out of memory. */
extern WaHttpUrls *wa_http_urls_create(void);

/* Addresses that are in use stay until they are released.  Accepts NULL. */
extern void wa_http_urls_destroy(WaHttpUrls *urls);

/* With a reference for the caller; NULL if out of memory or if it is no address. */
extern WaHttpUrl *wa_http_urls_get(WaHttpUrls *urls, const char *text);

/* Accepts NULL. */
extern void wa_http_url_release(WaHttpUrl *url);

#endif
