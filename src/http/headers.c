/*
 * headers.c
 *	  Request headers, kept for as long as a request needs them.
 *
 * One of the http files: libcurl is known here, PostgreSQL is not.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/headers.h"

#define BEARER "Authorization: Bearer "

/*
 * A control character would end the header line, and begin one of somebody
 * else's choice.
 */
static bool
is_header_text(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

/*
 * Overwrites text: memory that is given back should not keep a token.
 */
static void
forget(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
}

void
wa_http_headers_free_list(struct curl_slist *list)
{
	for (struct curl_slist *item = list; item != NULL; item = item->next)
		forget(item->data);
	curl_slist_free_all(list);
}

/*
 * On failure the list is gone.
 */
static struct curl_slist *
append(struct curl_slist *list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(list, line);

	if (longer == NULL)
		wa_http_headers_free_list(list);
	return longer;
}

struct curl_slist *
wa_http_headers_list(const WaHttpHeaders *h, const char *content_type, const char *more)
{
	struct curl_slist *list;
	char line[256] = "";

	if ((content_type != NULL &&
		 snprintf(line, sizeof(line), "Content-Type: %s", content_type) >= (int) sizeof(line)) ||
		!is_header_text(line) || (more != NULL && !is_header_text(more)))
		return NULL;
	/* an empty "Expect" keeps libcurl from asking before it sends a large body */
	list = append(NULL, "Expect:");
	if (list != NULL && h->authorization != NULL)
		list = append(list, h->authorization);
	if (list != NULL && content_type != NULL)
		list = append(list, line);
	if (list != NULL && more != NULL)
		list = append(list, more);
	return list;
}

WaHttpHeaders *
wa_http_headers_create(const char *token)
{
	WaHttpHeaders *h;

	if (token != NULL && !is_header_text(token))
		return NULL;
	h = calloc(1, sizeof(WaHttpHeaders));
	if (h == NULL)
		return NULL;
	h->refcount = 1;

	if (token != NULL && token[0] != '\0')
	{
		size_t size = sizeof(BEARER) + strlen(token);

		h->authorization = malloc(size);
		if (h->authorization == NULL)
		{
			wa_http_headers_release(h);
			return NULL;
		}
		snprintf(h->authorization, size, BEARER "%s", token);
	}

	h->json = wa_http_headers_list(h, "application/json", NULL);
	h->get = wa_http_headers_list(h, NULL, NULL);
	if (h->json == NULL || h->get == NULL)
	{
		wa_http_headers_release(h);
		return NULL;
	}
	return h;
}

void
wa_http_headers_release(WaHttpHeaders *h)
{
	if (h == NULL || --h->refcount > 0)
		return;
	wa_http_headers_free_list(h->json);
	wa_http_headers_free_list(h->get);
	forget(h->authorization);
	free(h->authorization);
	free(h);
}
