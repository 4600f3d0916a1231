/*
 * arguments.c
 *	  The arguments of a call that changes the account: of its query, of a form or of
 *	  a JSON object, all of which Meta takes.
 */
#include "bin/simulator/arguments.h"

#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"
#include "bin/simulator/json.h"
#include "bin/simulator/reply.h"

/* A name or a value of a form, decoded where it stands. */
static char *
decode(char *text)
{
	for (char *p = text; *p != '\0'; p++)
	{
		if (*p == '+')
			*p = ' ';
	}
	MHD_http_unescape(text);
	return text;
}

/* False if a name or a value is not UTF-8. */
static bool
read_form(json_t *arguments, const HttpdBuf *body)
{
	char *form = httpd_alloc(body->len + 1);
	char *rest = form;
	char *field;
	bool good = true;

	memcpy(form, body->data, body->len);
	form[body->len] = '\0';
	while (good && (field = strsep(&rest, "&")) != NULL)
	{
		char *value = strchr(field, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		good = json_object_set_new(arguments, decode(field), json_string(decode(value))) == 0;
	}
	free(form);
	return good;
}

static bool
is_form(const SimRequest *request)
{
	static const char type[] = "application/x-www-form-urlencoded";
	const char *given = httpd_request_header(&request->http, MHD_HTTP_HEADER_CONTENT_TYPE);

	return given != NULL && strncmp(given, type, sizeof(type) - 1) == 0;
}

static enum MHD_Result
take_argument(void *arguments, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void) kind;
	if (value != NULL && json_object_get(arguments, name) == NULL)
		json_object_set_new(arguments, name, json_string(value));
	return MHD_YES;
}

json_t *
sim_arguments_read(SimRequest *request)
{
	json_t *arguments = NULL;

	if (request->http.body.len == 0)
		arguments = json_object();
	else if (is_form(request))
	{
		arguments = json_object();
		if (!read_form(arguments, &request->http.body))
		{
			json_decref(arguments);
			arguments = NULL;
		}
	}
	else
		arguments = sim_json_read(&request->http.body, NULL);
	if (!json_is_object(arguments))
	{
		json_decref(arguments);
		sim_reply_error(
			request,
			&(SimGraphFault){.code = 100,
							 .title = "(#100) The body is neither a form nor a JSON object."});
		return NULL;
	}
	MHD_get_connection_values(request->http.connection->mhd, MHD_GET_ARGUMENT_KIND, take_argument,
							  arguments);
	return arguments;
}

const char *
sim_arguments_text(const json_t *arguments, const char *name)
{
	return json_string_value(json_object_get(arguments, name));
}
