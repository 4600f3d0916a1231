/*
 * page_template.c
 *	  HTML from an embedded file, with words and values in their places.
 *
 * The words are those of the pages' own catalogues, so that each stands once.
 */
#include "bin/gateway/page_template.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "bin/gateway/embedded.h"
#include "bin/httpd/util.h"

typedef struct Template
{
	json_t *words;
	const GwTemplateValue *values;
	int nvalues;
	HttpdBuf *out;
} Template;

static void
add_escaped(HttpdBuf *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
	{
		switch (*p)
		{
			case '&':
				httpd_buf_puts(out, "&amp;");
				break;
			case '<':
				httpd_buf_puts(out, "&lt;");
				break;
			case '>':
				httpd_buf_puts(out, "&gt;");
				break;
			case '"':
				httpd_buf_puts(out, "&quot;");
				break;
			default:
				httpd_buf_add(out, p, 1);
		}
	}
}

/* NULL: there is none of this name. */
static const char *
value_of(const Template *t, const char *name, size_t len)
{
	for (int i = 0; i < t->nvalues; i++)
	{
		if (strlen(t->values[i].name) == len && memcmp(t->values[i].name, name, len) == 0)
			return t->values[i].value;
	}
	return NULL;
}

static void
add_place(Template *t, const char *name, size_t len)
{
	const char *text = value_of(t, name, len);
	char key[64];

	if (text == NULL && len < sizeof(key))
	{
		memcpy(key, name, len);
		key[len] = '\0';
		text = json_string_value(json_object_get(t->words, key));
	}
	add_escaped(t->out, text != NULL ? text : "");
}

static void
add_line(Template *t, const char *line, const char *end)
{
	while (line < end)
	{
		const char *open = memchr(line, '{', (size_t) (end - line));
		const char *close = open != NULL ? memchr(open, '}', (size_t) (end - open)) : NULL;

		if (close == NULL)
			break;
		httpd_buf_add(t->out, line, (size_t) (open - line));
		add_place(t, open + 1, (size_t) (close - open - 1));
		line = close + 1;
	}
	httpd_buf_add(t->out, line, (size_t) (end - line));
}

/* Where a line that is there begins behind its condition; NULL: it is not there. */
static const char *
admitted(const Template *t, const char *line, const char *end)
{
	const char *space;

	if (*line != '?' && *line != '!')
		return line;
	space = memchr(line, ' ', (size_t) (end - line));
	if (space == NULL)
		return NULL;
	return (value_of(t, line + 1, (size_t) (space - line - 1)) != NULL) == (*line == '?')
			   ? space + 1
			   : NULL;
}

void
gw_page_template(const char *file, const char *catalogue, const GwTemplateValue *values,
				 int nvalues, HttpdBuf *out)
{
	const GwEmbedded *page = gw_embedded_find(file);
	const GwEmbedded *words = gw_embedded_find(catalogue);
	Template t = {.values = values, .nvalues = nvalues, .out = out};

	if (page == NULL || words == NULL)
		httpd_die("\"%s\" or \"%s\" is not part of the program", file, catalogue);
	t.words = json_loadb(words->data, (size_t) (words->end - words->data), 0, NULL);
	for (const char *line = page->data; line < page->end;)
	{
		const char *newline = memchr(line, '\n', (size_t) (page->end - line));
		const char *end = newline != NULL ? newline + 1 : page->end;
		const char *start = admitted(&t, line, end);

		if (start != NULL)
			add_line(&t, start, end);
		line = end;
	}
	json_decref(t.words);
}
