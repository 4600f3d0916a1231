/*
 * url.c
 *	  Addresses that libcurl has parsed already.
 *
 * A sender posts to one address for each phone number, over and over.  Given as
 * text, libcurl would take it apart and put it together again for each request,
 * which is a tenth of all that it does for one.
 *
 * The table is a cache with one place for each hash value: two addresses that
 * fall on the same place take turns, which is slower and not wrong.
 *
 * One of the http files: libcurl is known here, PostgreSQL is not.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/url.h"

/* Several times the numbers of a large account; a power of two. */
#define PLACES 4096

struct WaHttpUrls
{
	WaHttpUrl *places[PLACES];
};

/* FNV-1a: short texts that differ in a few digits. */
static uint32_t
hash_text(const char *text)
{
	uint32_t hash = 2166136261u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char) *text) * 16777619u;
	return hash ^ (hash >> 16);
}

static WaHttpUrl *
parse(const char *text)
{
	size_t size = strlen(text) + 1;
	WaHttpUrl *url = malloc(sizeof(WaHttpUrl) + size);

	if (url == NULL)
		return NULL;
	url->refcount = 1;
	memcpy(url->text, text, size);
	url->parsed = curl_url();
	if (url->parsed == NULL || curl_url_set(url->parsed, CURLUPART_URL, text, 0) != CURLUE_OK)
	{
		wa_http_url_release(url);
		return NULL;
	}
	return url;
}

WaHttpUrls *
wa_http_urls_create(void)
{
	return calloc(1, sizeof(WaHttpUrls));
}

void
wa_http_urls_destroy(WaHttpUrls *urls)
{
	if (urls == NULL)
		return;
	for (int i = 0; i < PLACES; i++)
		wa_http_url_release(urls->places[i]);
	free(urls);
}

WaHttpUrl *
wa_http_urls_get(WaHttpUrls *urls, const char *text)
{
	WaHttpUrl **place = &urls->places[hash_text(text) % PLACES];

	if (*place == NULL || strcmp((*place)->text, text) != 0)
	{
		WaHttpUrl *url = parse(text);

		if (url == NULL)
			return NULL;
		wa_http_url_release(*place);
		*place = url;
	}
	(*place)->refcount++;
	return *place;
}

void
wa_http_url_release(WaHttpUrl *url)
{
	if (url == NULL || --url->refcount > 0)
		return;
	curl_url_cleanup(url->parsed);
	free(url);
}
