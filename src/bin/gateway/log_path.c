/*
 * log_path.c
 *	  A request's path, as it may stand in a log.
 */
#include "bin/gateway/log_path.h"

#include <ctype.h>
#include <string.h>

#include "bin/gateway/route.h"

#define LONGEST_PATH 200
#define LEAST_PHONE_DIGITS 7

/* Of a secret this much may be told, and a word is hardly longer. */
#define LONGEST_WORD 24

#define ELLIPSIS "\xe2\x80\xa6"

/* The last two digits: enough to recognise one's own number, and nobody else's. */
static void
add_number(HttpdBuf *out, const char *digits, size_t len)
{
	httpd_buf_printf(out, ELLIPSIS "%.2s", digits + len - 2);
}

/*
 * Arguments.  A tenant may be named by a number or a uuid, so only one that is a
 * phone number as a whole is masked.
 */

static bool
looks_like_phone(const char *text)
{
	int digits = 0;

	for (; *text != '\0'; text++)
	{
		if (isdigit((unsigned char) *text))
			digits++;
		else if (strchr("+-() .", *text) == NULL)
			return false;
	}
	return digits >= LEAST_PHONE_DIGITS;
}

/* The id of a message is a number, too, and the most useful thing in the line. */
static void
add_argument(HttpdBuf *out, const char *name, const char *value)
{
	if (strcmp(name, "id") == 0 || !looks_like_phone(value))
	{
		httpd_buf_puts(out, value);
		return;
	}
	httpd_buf_puts(out, value[0] == '+' ? "+" : "");
	add_number(out, value, strlen(value));
}

static void
add_route(HttpdBuf *out, const GwRoute *route, char *const arguments[])
{
	const char *p = route->path;

	for (int i = 0;; i++)
	{
		size_t length = strcspn(p, "{");
		char name[40];

		httpd_buf_add(out, p, length);
		p += length;
		if (*p == '\0')
			return;
		gw_route_argument_name(route, i, name, sizeof(name));
		add_argument(out, name, arguments[i]);
		p += strcspn(p, "}") + 1;
	}
}

/*
 * An address that nobody has, which may be anything: no long number anywhere, and no
 * word that is too long to be one.
 */

static void
add_word(HttpdBuf *out, const char *word, size_t len)
{
	size_t cut = len > LONGEST_WORD ? LONGEST_WORD / 3 : len;

	for (size_t i = 0; i < cut;)
	{
		size_t digits = 0;

		while (i + digits < len && isdigit((unsigned char) word[i + digits]))
			digits++;
		if (digits >= LEAST_PHONE_DIGITS)
			add_number(out, word + i, digits);
		else
			httpd_buf_add(out, word + i, digits > 0 ? digits : 1);
		i += digits > 0 ? digits : 1;
	}
	if (cut < len)
		httpd_buf_puts(out, ELLIPSIS);
}

static void
add_unknown(HttpdBuf *out, const char *target)
{
	const char *end = target + strcspn(target, "?#");

	for (const char *p = target; p < end && out->len < LONGEST_PATH;)
	{
		size_t length = strcspn(p, "/?#");

		add_word(out, p, length);
		p += length;
		if (p < end)
			httpd_buf_add(out, p++, 1);
	}
}

void
gw_log_path(const GwRoute *route, char *const arguments[], const char *target, HttpdBuf *out)
{
	httpd_buf_puts(out, "");
	if (route != NULL)
		add_route(out, route, arguments);
	else
		add_unknown(out, target);
	if (out->len > LONGEST_PATH)
	{
		out->len = LONGEST_PATH;
		out->data[LONGEST_PATH] = '\0';
	}
}
