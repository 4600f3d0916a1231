/*
 * nodes.c
 *	  Reading the account: numbers, templates, the account itself, health.
 */
#include "bin/simulator/nodes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bin/httpd/util.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/text.h"

void
sim_nodes_unknown(SimRequest *request, const SimPath *path)
{
	char title[400];
	char method[16];

	for (size_t i = 0; i < sizeof(method); i++)
	{
		method[i] = (char) tolower((unsigned char) request->http.method[i]);
		if (method[i] == '\0')
			break;
	}
	method[sizeof(method) - 1] = '\0';
	snprintf(title, sizeof(title),
			 "Unsupported %s request. Object with ID '%s' does not exist, cannot be loaded due to "
			 "missing permissions, or does not support this operation. Please read the Graph API "
			 "documentation at https://developers.facebook.com/docs/graph-api",
			 method, path->node);
	sim_reply_error(
		request, &(SimGraphFault){
					 .code = 100, .subcode = 33, .type = "GraphMethodException", .title = title});
}

static void
bad_parameter(SimRequest *request, const char *text)
{
	sim_reply_error(request, &(SimGraphFault){.code = 100, .title = text});
}

/*
 * Fields
 */

static const char number_default_fields[] =
	"id,display_phone_number,verified_name,quality_rating,code_verification_status,platform_type,"
	"throughput,last_onboarded_time";
static const char template_default_fields[] =
	"id,name,language,status,category,parameter_format,components";
static const char account_default_fields[] =
	"id,name,timezone_id,message_template_namespace,currency";

/* {"health_status": ...}: the worst of number, account and portfolio. */
static json_t *
health_of(const char *entity_type, const char *id, const json_t *node)
{
	const char *own = json_string_value(json_object_get(node, "can_send_message"));
	const char *status = json_string_value(json_object_get(node, "status"));

	if (own == NULL)
		own = status == NULL || strcmp(status, "CONNECTED") == 0 || strcmp(status, "APPROVED") == 0
				  ? "AVAILABLE"
				  : "BLOCKED";
	return json_pack("{s:s, s:[{s:s, s:s, s:s}, {s:s, s:s, s:s}, {s:s, s:s, s:s}]}",
					 "can_send_message", own, "entities", "entity_type", entity_type, "id", id,
					 "can_send_message", own, "entity_type", "WABA", "id", sim_settings.waba_id,
					 "can_send_message", "AVAILABLE", "entity_type", "BUSINESS", "id",
					 sim_settings.business_id, "can_send_message", "AVAILABLE");
}

/* The members of node that the client asked for; unknown ones are left out, as Meta does. */
static json_t *
select_fields(const json_t *node, const char *fields, const char *entity_type)
{
	json_t *out = json_object();
	const char *id = json_string_value(json_object_get(node, "id"));
	char name[64];

	while (*fields != '\0')
	{
		size_t len = strcspn(fields, ",");
		json_t *value;

		snprintf(name, sizeof(name), "%.*s", (int) len, fields);
		value = json_object_get(node, name);
		if (value != NULL)
			json_object_set(out, name, value);
		else if (strcmp(name, "health_status") == 0)
			json_object_set_new(out, name, health_of(entity_type, id, node));
		fields += len;
		if (*fields == ',')
			fields++;
	}

	/* The ID is always included. */
	json_object_set(out, "id", json_object_get(node, "id"));
	return out;
}

static const char *
fields_of(const SimRequest *request, const char *defaults)
{
	const char *fields = httpd_request_argument(&request->http, "fields");

	return fields != NULL && fields[0] != '\0' ? fields : defaults;
}

/*
 * Paging
 */

/* A cursor is opaque; ours is the position in the list in base64. */
static void
write_cursor(char *out, int place)
{
	char text[16];

	snprintf(text, sizeof(text), "c%d", place);
	sim_base64(out, text, strlen(text));
}

static bool
read_cursor(const char *cursor, int count, int *place)
{
	char text[32];

	for (int i = 0; i <= count; i++)
	{
		write_cursor(text, i);
		if (strcmp(text, cursor) == 0)
		{
			*place = i;
			return true;
		}
	}
	return false;
}

/*
 * One page of a list of count items.  item(i) is a new reference, or NULL if a
 * filter leaves it out.
 */
static void
list_page(SimRequest *request, const SimPath *path, int count, int default_limit,
		  json_t *(*item)(const SimRequest *request, int i))
{
	const char *limit_text = httpd_request_argument(&request->http, "limit");
	const char *after = httpd_request_argument(&request->http, "after");
	const char *before = httpd_request_argument(&request->http, "before");
	json_t **items = httpd_alloc0((size_t) (count + 1) * sizeof(*items));
	json_t *data = json_array();
	json_t *paging = json_object();
	char cursor_before[32];
	char cursor_after[32];
	int64_t limit = default_limit;
	int found = 0;
	int first = 0;
	int end;

	for (int i = 0; i < count; i++)
	{
		json_t *one = item(request, i);

		if (one != NULL)
			items[found++] = one;
	}
	if (limit_text != NULL && !httpd_parse_int(limit_text, 1, 1000, &limit))
		bad_parameter(request, "(#100) param limit must be a positive integer");
	else if ((after != NULL && !read_cursor(after, found, &first)) ||
			 (before != NULL && !read_cursor(before, found, &end)))
		bad_parameter(request, "(#100) Invalid parameter: the cursor is not valid");
	else
	{
		if (after == NULL && before != NULL)
			first = end > limit ? end - (int) limit : 0;
		else
			end = found;
		if (end - first > limit)
			end = first + (int) limit;
		for (int i = first; i < end; i++)
			json_array_append(data, items[i]);
		if (end > first)
		{
			write_cursor(cursor_before, first);
			write_cursor(cursor_after, end);
			json_object_set_new(
				paging, "cursors",
				json_pack("{s:s, s:s}", "before", cursor_before, "after", cursor_after));
			if (end < found)
			{
				const char *host = httpd_request_header(&request->http, "Host");
				const char *fields = httpd_request_argument(&request->http, "fields");

				json_object_set_new(paging, "next",
									json_sprintf("%s://%s/%s/%s/%s?limit=%d%s%s&after=%s",
												 sim_settings.tls ? "https" : "http",
												 host != NULL ? host : "", path->version,
												 path->node, path->edge, (int) limit,
												 fields != NULL ? "&fields=" : "",
												 fields != NULL ? fields : "", cursor_after));
			}
		}
		sim_reply_json(request, 200, json_pack("{s:O, s:O}", "data", data, "paging", paging));
	}
	for (int i = 0; i < found; i++)
		json_decref(items[i]);
	free(items);
	json_decref(data);
	json_decref(paging);
}

static json_t *
number_item(const SimRequest *request, int i)
{
	return select_fields(sim_registry_number_at(i)->node, fields_of(request, number_default_fields),
						 "PHONE_NUMBER");
}

static json_t *
template_item(const SimRequest *request, int i)
{
	static const char *const filters[] = {"name", "status", "category", "language"};
	const json_t *node = sim_registry_template_at(i)->node;

	for (size_t j = 0; j < sizeof(filters) / sizeof(filters[0]); j++)
	{
		const char *wanted = httpd_request_argument(&request->http, filters[j]);

		if (wanted != NULL &&
			strcasecmp(wanted, json_string_value(json_object_get(node, filters[j]))) != 0)
			return NULL;
	}
	return select_fields(node, fields_of(request, template_default_fields), "MESSAGE_TEMPLATE");
}

/*
 * Nodes
 */

static json_t *
account_node(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", sim_settings.waba_id, "name",
					 "Panaderías Ejemplo", "timezone_id", "313", "message_template_namespace",
					 "a1b2c3d4_0000_4000_8000_000000000001", "currency", "EUR",
					 "account_review_status", "APPROVED", "business_verification_status",
					 "verified", "whatsapp_business_manager_messaging_limit", "TIER_UNLIMITED");
}

static void
get_account(SimRequest *request, const SimPath *path)
{
	if (path->edge[0] == '\0')
	{
		json_t *node = account_node();

		sim_reply_json(request, 200,
					   select_fields(node, fields_of(request, account_default_fields), "WABA"));
		json_decref(node);
	}
	else if (strcmp(path->edge, "phone_numbers") == 0)
		list_page(request, path, sim_registry_number_count(), 25, number_item);
	else if (strcmp(path->edge, "message_templates") == 0)
		list_page(request, path, sim_registry_template_count(), 25, template_item);
	else
		sim_nodes_unknown(request, path);
}

void
sim_nodes_get(SimRequest *request, const SimPath *path)
{
	SimNumber *number;
	SimTemplate *template;

	if (strcmp(path->node, sim_settings.waba_id) == 0)
	{
		get_account(request, path);
		return;
	}
	number = sim_registry_number(path->node);
	template = sim_registry_template_by_id(path->node);
	if (path->edge[0] != '\0' || (number == NULL && template == NULL))
		sim_nodes_unknown(request, path);
	else if (number != NULL)
		sim_reply_json(
			request, 200,
			select_fields(number->node, fields_of(request, number_default_fields), "PHONE_NUMBER"));
	else
		sim_reply_json(request, 200,
					   select_fields(template->node, fields_of(request, template_default_fields),
									 "MESSAGE_TEMPLATE"));
}
