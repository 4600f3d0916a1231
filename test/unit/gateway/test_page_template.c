/*
 * Pages that the program fills in: what stands in them is text, whatever it is.
 */
/* The only test with files of its own: so the module is a part of it. */
#include "bin/gateway/page_template.c"

#include <stdlib.h>
#include <string.h>

#include "bin/gateway/embedded.h"

#include "../tap.h"

#define WORDS "{\"hello\": \"¡Hola & adiós!\", \"a.b\": \"<b>\"}"

static const char *page;

/* Instead of the files of pages/. */
const GwEmbedded *
gw_embedded_find(const char *name)
{
	static GwEmbedded files[2];
	bool is_page = strcmp(name, "words.json") != 0;
	const char *data = is_page ? page : WORDS;

	files[is_page] = (GwEmbedded){name, data, data + strlen(data)};
	return &files[is_page];
}

static void
becomes(const char *template, const char *wanted, const char *name)
{
	static const GwTemplateValue values[] = {{"tenant", "\"><script>alert('x')</script>"},
											 {"on", ""},
											 {"gone", NULL},
											 {"hello2", "{hello}"}};
	HttpdBuf out = {0};

	page = template;
	gw_page_template("page.html", "words.json", values, 4, &out);
	is_str(out.data != NULL ? out.data : "", wanted, "%s", name);
	httpd_buf_free(&out);
}

int
main(void)
{
	becomes("<p>{hello}</p>\n", "<p>¡Hola &amp; adiós!</p>\n", "words of the catalogue");
	becomes("{a.b}{hello}", "&lt;b&gt;¡Hola &amp; adiós!", "are text, not HTML");
	becomes("<a href=\"{tenant}\">",
			"<a href=\"&quot;&gt;&lt;script&gt;alert('x')&lt;/script&gt;\">",
			"so are values, in an attribute, too");
	becomes("{hello2}", "{hello}", "a value is not looked into");
	becomes("a{nobody}b{gone}c", "abc", "what is not known is nothing");
	becomes("?on yes\n?gone no\n!on no\n!gone yes {hello2}\n?nobody no\n", "yes\nyes {hello}\n",
			"lines that are there under a condition");
	becomes("a { b } c {", "a  c {", "a brace that does not close stays");
	becomes("", "", "an empty page");
	becomes("?on", "", "a condition of nothing");
	return done_testing();
}
