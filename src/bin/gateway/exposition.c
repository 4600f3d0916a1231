/*
 * exposition.c
 *	  The text in which Prometheus reads metrics, format 0.0.4.
 */
#include "bin/gateway/exposition.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {
	[GW_COUNTER] = "counter", [GW_GAUGE] = "gauge", [GW_HISTOGRAM] = "histogram"};

/* What a name of a histogram's sample belongs to. */
static size_t
family_length(const char *name, GwMetricType type)
{
	static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
	size_t length = strlen(name);

	for (int i = 0; type == GW_HISTOGRAM && i < 3; i++)
	{
		size_t suffix = strlen(suffixes[i]);

		if (length > suffix && strcmp(name + length - suffix, suffixes[i]) == 0)
			return length - suffix;
	}
	return length;
}

/* Backslashes and ends of lines; in a label quotes, too. */
static void
add_escaped(HttpdBuf *out, const char *text, bool quoted)
{
	for (; *text != '\0'; text++)
	{
		if (*text == '\n')
			httpd_buf_puts(out, "\\n");
		else
		{
			if (*text == '\\' || (quoted && *text == '"'))
				httpd_buf_puts(out, "\\");
			httpd_buf_add(out, text, 1);
		}
	}
}

static void
begin_family(GwExposition *exposition, const char *name, GwMetricType type, const char *help)
{
	char family[sizeof(exposition->family)];

	snprintf(family, sizeof(family), "%.*s", (int) family_length(name, type), name);
	if (strcmp(family, exposition->family) == 0)
		return;
	memcpy(exposition->family, family, sizeof(family));
	httpd_buf_printf(&exposition->text, "# HELP %s ", family);
	add_escaped(&exposition->text, help, false);
	httpd_buf_printf(&exposition->text, "\n# TYPE %s %s\n", family, type_names[type]);
}

void
gw_exposition_add(GwExposition *exposition, const char *name, GwMetricType type, const char *help,
				  const char *labels, double value)
{
	HttpdBuf *out = &exposition->text;

	begin_family(exposition, name, type, help);
	httpd_buf_puts(out, name);
	if (labels[0] != '\0')
		httpd_buf_printf(out, "{%s}", labels);
	if (isinf(value))
		httpd_buf_puts(out, value > 0 ? " +Inf\n" : " -Inf\n");
	else
		httpd_buf_printf(out, " %.17g\n", value);
}

void
gw_exposition_label(HttpdBuf *labels, const char *name, const char *value)
{
	httpd_buf_printf(labels, "%s%s=\"", labels->len > 0 ? "," : "", name);
	add_escaped(labels, value, true);
	httpd_buf_puts(labels, "\"");
}
