/*
 * webhook_inbound.c
 *	  What users write, and what the business writes in its phone app.
 */
#include <stdio.h>
#include <string.h>

#include "bin/httpd/clock.h"
#include "bin/simulator/control.h"
#include "bin/simulator/json.h"
#include "bin/simulator/message.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/send_limits.h"
#include "bin/simulator/webhook.h"

static const char *
text_member(const json_t *doc, const char *name)
{
	return json_string_value(json_object_get(doc, name));
}

/*
 * What the control commands about users share
 */

SimNumber *
sim_webhook_number(SimRequest *request, const json_t *doc)
{
	const char *id = text_member(doc, "number");
	SimNumber *number = id != NULL ? sim_registry_number(id) : NULL;

	if (!sim_webhook_enabled())
		sim_reply_control_error(request, 400,
								"webhooks are off: subscribe the app, and set webhook_url, "
								"webhook_spool or webhook_pull");
	else if (number == NULL)
		sim_reply_control_error(request, 400, "\"number\" is not a number of the account");
	else
		return number;
	return NULL;
}

bool
sim_webhook_user(SimRequest *request, const json_t *doc, const char *member, char *key)
{
	const char *text = text_member(doc, member);
	char problem[80];

	if (sim_user_digits(text, key, SIM_USER_ID_SIZE))
		return true;
	if (text != NULL && strchr(text, '.') != NULL && strlen(text) < SIM_USER_ID_SIZE)
	{
		snprintf(key, SIM_USER_ID_SIZE, "%s", text);
		return true;
	}
	snprintf(problem, sizeof(problem), "\"%s\" is not a phone number or a user id", member);
	sim_reply_control_error(request, 400, problem);
	return false;
}

long long
sim_webhook_time(const json_t *doc)
{
	const json_t *given = json_object_get(doc, "timestamp");

	return given != NULL ? (long long) json_integer_value(given)
						 : (long long) (httpd_wall_us() / 1000000);
}

json_t *
sim_webhook_contact(const SimFace *face)
{
	json_t *contact =
		json_pack("{s:{s:s}, s:s}", "profile", "name", face->name, "user_id", face->user_id);

	if (face->username != NULL)
		json_object_set_new(json_object_get(contact, "profile"), "username",
							json_string(face->username));
	if (face->parent_user_id != NULL)
		json_object_set_new(contact, "parent_user_id", json_string(face->parent_user_id));
	if (face->wa_id != NULL)
		json_object_set_new(contact, "wa_id", json_string(face->wa_id));
	return contact;
}

/*
 * Messages from users
 */

static void
set_time(json_t *message, long long at_s)
{
	char timestamp[24];

	snprintf(timestamp, sizeof(timestamp), "%lld", at_s);
	json_object_set_new(message, "timestamp", json_string(timestamp));
}

void
sim_inbound_deliver(SimRequest *request, const char *field, SimNumber *number, const SimFace *face,
					json_t *message)
{
	SimItem item = {.field = field, .number = number, .list = "messages"};
	bool to_group = json_object_get(message, "group_id") != NULL;
	bool referral = json_object_get(message, "referral") != NULL;
	char wamid[SIM_WAMID_SIZE];

	sim_message_make_wamid(wamid, face->number != NULL ? face->number : face->user_id);
	json_object_set_new(message, "id", json_string(wamid));
	set_time(message, sim_webhook_time(message));
	if (face->wa_id != NULL)
		json_object_set_new(message, "from", json_string(face->wa_id));
	json_object_set_new(message, "from_user_id", json_string(face->user_id));
	if (face->parent_user_id != NULL)
		json_object_set_new(message, "from_parent_user_id", json_string(face->parent_user_id));
	sim_json_write(&item.contact, sim_webhook_contact(face));
	sim_json_write(&item.item, message);
	sim_outbox_add(&item);

	/* A group's message opens nobody's window. */
	if (to_group)
		sim_limits_traffic(number);
	else
		sim_limits_inbound(number, face->user_id, referral);
	sim_reply_json(request, 200, json_pack("{s:s}", "id", wamid));
}

static bool
inbound_is_wrong(SimRequest *request, const json_t *doc)
{
	const char *type = text_member(doc, "type");
	const char *field = text_member(doc, "field");
	const char *from = text_member(doc, "from");
	char digits[32];
	const char *problem = NULL;

	if (json_object_get(doc, "from") != NULL && !sim_user_digits(from, digits, sizeof(digits)))
		problem = "\"from\" is not a phone number";
	else if (from == NULL && text_member(doc, "from_user_id") == NULL)
		problem = "\"from\" or \"from_user_id\" is required";
	else if (type == NULL)
		problem = "\"type\" is required";
	else if (strcmp(type, "unsupported") != 0 && json_object_get(doc, type) == NULL)
		problem = "the member named after the type is required";
	else if (field != NULL && strcmp(field, "messages") != 0 && strcmp(field, "standby") != 0)
		problem = "\"field\" is \"messages\" or \"standby\"";
	if (problem != NULL)
		sim_reply_control_error(request, 400, problem);
	return problem != NULL;
}

/*
 * {"number":, "from": and/or "from_user_id":, "name":, "field":, "type":, <type>: ...}
 * and any further member of the message, such as "context", "group_id",
 * "referral" and "timestamp".
 */
void
sim_control_inbound(SimRequest *request)
{
	static const char *const ours[] = {"number", "from", "from_user_id", "name", "field"};
	json_t *doc = sim_control_body(request);
	const char *user_id = text_member(doc, "from_user_id");
	const char *name = text_member(doc, "name");
	const char *field = text_member(doc, "field");
	SimNumber *number;
	char digits[32];
	bool by_number = sim_user_digits(text_member(doc, "from"), digits, sizeof(digits));
	SimFace face;
	json_t *message;

	if (doc == NULL)
		return;
	number = sim_webhook_number(request, doc);
	if (number != NULL && !inbound_is_wrong(request, doc))
	{
		sim_user_face(by_number ? digits : user_id, &face);

		/* Both together are told as they are, whoever has them. */
		if (by_number && user_id != NULL)
		{
			face.number = face.wa_id = digits;
			snprintf(face.user_id, sizeof(face.user_id), "%s", user_id);
		}
		if (name != NULL)
			face.name = name;
		message = json_copy(doc);
		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			json_object_del(message, ours[i]);
		sim_inbound_deliver(request, field != NULL ? field : "messages", number, &face, message);
	}
	json_decref(doc);
}

/*
 * Messages of the business that it wrote elsewhere
 */

/* {"number":, "to":, "type":, <type>: ...}: the owner writes in the phone app. */
void
sim_control_echo(SimRequest *request)
{
	json_t *doc = sim_control_body(request);
	const char *type = text_member(doc, "type");
	SimItem item = {.field = "smb_message_echoes", .list = "message_echoes"};
	SimNumber *number;
	char key[SIM_USER_ID_SIZE];
	char wamid[SIM_WAMID_SIZE];
	SimFace face;
	json_t *message;

	if (doc == NULL)
		return;
	number = sim_webhook_number(request, doc);
	if (number == NULL || !sim_webhook_user(request, doc, "to", key))
		;
	else if (type == NULL || json_object_get(doc, type) == NULL)
		sim_reply_control_error(request, 400,
								"\"type\" and the member named after it are required");
	else
	{
		sim_user_face(key, &face);
		sim_message_make_wamid(wamid, key);
		message = json_copy(doc);
		json_object_del(message, "number");
		json_object_del(message, "to");
		json_object_set_new(message, "from", json_string(number->digits));
		if (face.wa_id != NULL)
			json_object_set_new(message, "to", json_string(face.wa_id));
		json_object_set_new(message, "to_user_id", json_string(face.user_id));
		json_object_set_new(message, "id", json_string(wamid));
		set_time(message, sim_webhook_time(doc));
		item.number = number;
		sim_json_write(&item.item, message);
		sim_outbox_add(&item);
		sim_limits_traffic(number);
		sim_reply_json(request, 200, json_pack("{s:s}", "id", wamid));
	}
	json_decref(doc);
}
