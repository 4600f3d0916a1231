/*
 * assets.c
 *	  The pages: files that are part of the program.
 *
 * A page gets nothing from anywhere but here, runs no script that stands in it,
 * and is not framed, but for the owner's page where a site says so.
 */
#include "bin/gateway/assets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/embedded.h"
#include "bin/gateway/gzip.h"
#include "bin/gateway/negotiate.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/respond.h"
#include "bin/gateway/settings.h"
#include "bin/httpd/util.h"

#define LONGEST_THEME (256 * 1024)

#define PERMISSIONS                                                                                \
	"accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "              \
	"magnetometer=(), microphone=(), midi=(), payment=(), usb=()"

/* A file as it is sent. */
typedef struct Asset
{
	const char *data;
	size_t len;
	HttpdBuf compressed; /* empty: that does not pay */
	char etag[GW_ETAG_SIZE];
} Asset;

static Asset *assets; /* in the order of the embedded files */
static size_t nassets;
static Asset theme;
static HttpdBuf theme_text;

static const char *
type_of(const char *name)
{
	static const struct
	{
		const char *ending;
		const char *type;
	} types[] = {
		{".html", "text/html; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".json", "application/json"},
		{".svg", "image/svg+xml"},
		{".png", "image/png"},
		{".ico", "image/x-icon"},
		{".woff2", "font/woff2"},
		{".txt", "text/plain; charset=utf-8"},
	};
	const char *ending = strrchr(name, '.');

	for (size_t i = 0; ending != NULL && i < sizeof(types) / sizeof(types[0]); i++)
	{
		if (strcmp(types[i].ending, ending) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

static void
prepare(Asset *asset, const char *data, size_t len)
{
	asset->data = data;
	asset->len = len;
	httpd_buf_free(&asset->compressed);
	gw_gzip(data, len, GW_WELL, &asset->compressed);
	gw_etag(data, len, asset->etag);
}

static void
prepare_embedded(void)
{
	const GwEmbedded *file;

	while (gw_embedded_at(nassets) != NULL)
		nassets++;
	assets = httpd_alloc0((nassets + 1) * sizeof(Asset));
	for (size_t i = 0; (file = gw_embedded_at(i)) != NULL; i++)
		prepare(&assets[i], file->data, (size_t) (file->end - file->data));
}

static bool
read_theme(HttpdBuf *out)
{
	FILE *file = fopen(gw_settings->theme, "r");
	char piece[4096];
	size_t n;

	if (file == NULL)
		return false;
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0 && out->len <= LONGEST_THEME)
		httpd_buf_add(out, piece, n);
	fclose(file);
	return out->len <= LONGEST_THEME;
}

void
gw_assets_load(void)
{
	bool first = assets == NULL;
	HttpdBuf text = {0};

	if (first)
		prepare_embedded();
	httpd_buf_puts(&text, "");
	if (gw_settings->theme[0] != '\0' && !read_theme(&text))
	{
		if (first)
			httpd_die("--theme: could not read \"%s\", or it has more than %d bytes",
					  gw_settings->theme, LONGEST_THEME);
		httpd_buf_free(&text);
		return;
	}
	httpd_buf_free(&theme_text);
	theme_text = text;
	prepare(&theme, theme_text.data, theme_text.len);
}

/*
 * Sending
 */

static void
send_asset(GwExchange *exchange, const Asset *asset, const char *type)
{
	HttpdReply *reply = &exchange->http.reply;

	httpd_reply_text(reply, 200, type, "");
	httpd_reply_header(reply, "ETag", asset->etag);
	httpd_reply_header(reply, "Cache-Control", "no-cache"); /* kept, but asked about */
	httpd_reply_header(reply, "Cross-Origin-Resource-Policy", "same-origin");
	if (asset->compressed.len == 0)
	{
		httpd_buf_add(&reply->body, asset->data, asset->len);
		return;
	}
	gw_respond_vary(exchange, "Accept-Encoding");
	if (gw_accepts_gzip(httpd_request_header(&exchange->http, "Accept-Encoding")))
	{
		httpd_buf_add(&reply->body, asset->compressed.data, asset->compressed.len);
		httpd_reply_header(reply, "Content-Encoding", "gzip");
	}
	else
		httpd_buf_add(&reply->body, asset->data, asset->len);
}

/* 404 where the file is not part of the program. */
static bool
send_embedded(GwExchange *exchange, const char *name)
{
	const GwEmbedded *file = gw_embedded_find(name);

	if (file == NULL)
	{
		gw_problem(exchange, 404, "There is nothing at this address.");
		return false;
	}
	send_asset(exchange, &assets[file - gw_embedded_at(0)], type_of(name));
	return true;
}

void
gw_assets_page_headers(GwExchange *exchange, const GwTextList *framed_by)
{
	HttpdReply *reply = &exchange->http.reply;
	HttpdBuf policy = {0};

	httpd_buf_puts(
		&policy,
		"default-src 'none'; script-src 'self'; style-src 'self'; "
		"img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; "
		"form-action 'self'; base-uri 'none'; frame-ancestors");
	for (int i = 0; framed_by != NULL && i < framed_by->n; i++)
		httpd_buf_printf(&policy, " %s", framed_by->items[i]);
	if (framed_by == NULL || framed_by->n == 0)
		httpd_buf_puts(&policy, " 'none'");
	httpd_reply_header(reply, "Content-Security-Policy", policy.data);
	httpd_reply_header(reply, "Permissions-Policy", PERMISSIONS);
	httpd_reply_header(reply, "Cross-Origin-Opener-Policy", "same-origin");
	httpd_buf_free(&policy);
}

void
gw_assets_admin_page(GwExchange *exchange)
{
	if (send_embedded(exchange, "admin/index.html"))
		gw_assets_page_headers(exchange, NULL);
}

void
gw_assets_owner_page(GwExchange *exchange)
{
	if (send_embedded(exchange, "owner/index.html"))
		gw_assets_page_headers(exchange, &gw_settings->frame_ancestors);
}

void
gw_assets_file(GwExchange *exchange)
{
	char name[128];
	int n = snprintf(name, sizeof(name), "%s/%s", exchange->arguments[0], exchange->arguments[1]);

	send_embedded(exchange, n < (int) sizeof(name) ? name : "");
}

void
gw_assets_theme(GwExchange *exchange)
{
	send_asset(exchange, &theme, "text/css; charset=utf-8");
}
