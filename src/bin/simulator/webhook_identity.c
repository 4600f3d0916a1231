/*
 * webhook_identity.c
 *	  Users who become known by another number or ID, in every form in which
 *	  that has been seen to be reported; what they want; who talks to them.
 */
#include <stdio.h>
#include <string.h>

#include "bin/simulator/control.h"
#include "bin/simulator/json.h"
#include "bin/simulator/message.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/webhook.h"

static const char *
text_member(const json_t *doc, const char *name)
{
	return json_string_value(json_object_get(doc, name));
}

static void
set_text(json_t *object, const char *member, const char *text)
{
	if (text != NULL)
		json_object_set_new(object, member, json_string(text));
}

/*
 * Another number, another ID
 */

/* How a change is told. */
typedef struct Telling
{
	const char *shape; /* number, user_id, user_id_update */
	bool sender;	   /* from and from_user_id are there */
	bool previous;	   /* the old ID is a member */
	const char *place; /* where the new ID is: system, contact, body */
	long long at_s;
} Telling;

/* A member that is true unless it is false. */
static bool
unless_false(const json_t *doc, const char *name)
{
	return !json_is_false(json_object_get(doc, name));
}

static bool
one_of(const char *text, const char *const *words, size_t nwords)
{
	for (size_t i = 0; text != NULL && i < nwords; i++)
	{
		if (strcmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

static bool
telling_is_wrong(SimRequest *request, const json_t *doc, Telling *telling)
{
	static const char *const shapes[] = {"number", "user_id", "user_id_update"};
	static const char *const places[] = {"system", "contact", "body"};
	const char *place = text_member(doc, "place");
	const char *phone = text_member(doc, "phone");
	char digits[32];
	const char *problem = NULL;

	*telling = (Telling){.shape = text_member(doc, "shape"),
						 .sender = unless_false(doc, "sender"),
						 .previous = unless_false(doc, "previous"),
						 .place = place != NULL ? place : "system",
						 .at_s = sim_webhook_time(doc)};
	if (!one_of(telling->shape, shapes, 3))
		problem = "\"shape\" is \"number\", \"user_id\" or \"user_id_update\"";
	else if (!one_of(telling->place, places, 3))
		problem = "\"place\" is \"system\", \"contact\" or \"body\"";
	else if (phone != NULL && !sim_user_digits(phone, digits, sizeof(digits)))
		problem = "\"phone\" is not a phone number";
	else if (phone == NULL && text_member(doc, "user_id") == NULL)
		problem = "\"phone\" or \"user_id\", what it is from now on, is required";
	if (problem != NULL)
		sim_reply_control_error(request, 400, problem);
	return problem != NULL;
}

static json_t *
system_object(const Telling *telling, const SimFace *before, const SimFace *after)
{
	bool number = strcmp(telling->shape, "number") == 0;
	json_t *system =
		json_pack("{s:s}", "type", number ? "user_changed_number" : "user_changed_user_id");
	char body[512];

	snprintf(body, sizeof(body), "User %s changed from %s to %s", after->name,
			 number && before->wa_id != NULL ? before->wa_id : before->user_id,
			 number && after->wa_id != NULL ? after->wa_id : after->user_id);
	json_object_set_new(system, "body", json_string(body));
	if (number)
		set_text(system, "wa_id", after->wa_id);
	if (strcmp(telling->place, "system") == 0)
	{
		set_text(system, "user_id", after->user_id);
		set_text(system, "parent_user_id", after->parent_user_id);
	}
	if (telling->previous && !number)
	{
		set_text(system, "previous_user_id", before->user_id);
		set_text(system, "previous_parent_user_id", before->parent_user_id);
	}
	return system;
}

/*
 * A message of type system.  A number is changed by who had the old one, an
 * ID by who has the new one: that is what from and from_user_id say.
 */
static void
tell_by_message(const SimNumber *number, const Telling *telling, const SimFace *before,
				const SimFace *after)
{
	bool by_number = strcmp(telling->shape, "number") == 0;
	const SimFace *sender = by_number ? before : after;
	SimItem item = {.field = "messages", .number = number, .list = "messages"};
	char wamid[SIM_WAMID_SIZE];
	char timestamp[24];
	json_t *message;

	sim_message_make_wamid(wamid, after->user_id);
	snprintf(timestamp, sizeof(timestamp), "%lld", telling->at_s);
	message = json_pack("{s:s, s:s, s:s, s:o}", "id", wamid, "timestamp", timestamp, "type",
						"system", "system", system_object(telling, before, after));
	if (telling->sender)
	{
		set_text(message, "from", sender->wa_id);
		set_text(message, "from_user_id", sender->user_id);
		set_text(message, "from_parent_user_id", sender->parent_user_id);
	}
	if (strcmp(telling->place, "contact") == 0)
		sim_json_write(&item.contact, sim_webhook_contact(after));
	sim_json_write(&item.item, message);
	sim_outbox_add(&item);
}

/* The field user_id_update, whose contact has a name and perhaps a number. */
static void
tell_by_field(const SimNumber *number, const Telling *telling, const SimFace *before,
			  const SimFace *after)
{
	SimItem item = {.field = "user_id_update", .number = number, .list = "user_id_update"};
	char timestamp[24];
	json_t *contact = json_pack("{s:{s:s}}", "profile", "name", after->name);
	json_t *update;

	snprintf(timestamp, sizeof(timestamp), "%lld", telling->at_s);
	set_text(contact, "wa_id", after->wa_id);
	update =
		json_pack("{s:s, s:s, s:{s:s, s:s}}", "detail", "User id has been updated.", "timestamp",
				  timestamp, "user_id", "previous", before->user_id, "current", after->user_id);
	set_text(update, "wa_id", after->wa_id);
	if (before->parent_user_id != NULL && after->parent_user_id != NULL)
		json_object_set_new(update, "parent_user_id",
							json_pack("{s:s, s:s}", "previous", before->parent_user_id, "current",
									  after->parent_user_id));
	sim_json_write(&item.contact, contact);
	sim_json_write(&item.item, update);
	sim_outbox_add(&item);
}

/*
 * {"number":, "user":, "shape":, "phone": and/or "user_id":, "parent_user_id":,
 * "sender":, "previous":, "place":, "timestamp":}: the user is from now on who
 * the second part says, and it is told as the third part says.
 */
void
sim_control_identity(SimRequest *request)
{
	static const char *const names[] = {"phone", "user_id", "parent_user_id", "username", "name"};
	json_t *doc = sim_control_body(request);
	SimNumber *number;
	char key[SIM_USER_ID_SIZE];
	char digits[32];
	Telling telling;

	if (doc == NULL)
		return;
	number = sim_webhook_number(request, doc);
	if (number != NULL && sim_webhook_user(request, doc, "user", key) &&
		!telling_is_wrong(request, doc, &telling))
	{
		json_t *changes = json_object();
		SimFace before;
		SimFace after;

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			set_text(changes, names[i], text_member(doc, names[i]));
		sim_user_face(key, &before);
		sim_user_change(key, changes);
		if (sim_user_digits(text_member(doc, "phone"), digits, sizeof(digits)))
			sim_user_face(digits, &after);
		else
			sim_user_face(text_member(doc, "user_id"), &after);
		json_decref(changes);
		if (strcmp(telling.shape, "user_id_update") == 0)
			tell_by_field(number, &telling, &before, &after);
		else
			tell_by_message(number, &telling, &before, &after);
		sim_reply_json(
			request, 200,
			json_pack("{s:s, s:s}", "previous", before.user_id, "current", after.user_id));
	}
	json_decref(doc);
}

/*
 * What a user wants
 */

/* {"number":, "user":, "value": "stop" or "resume", "timestamp":} */
void
sim_control_preference(SimRequest *request)
{
	json_t *doc = sim_control_body(request);
	const char *value = text_member(doc, "value");
	SimItem item = {.field = "user_preferences", .list = "user_preferences"};
	SimNumber *number;
	char key[SIM_USER_ID_SIZE];

	if (doc == NULL)
		return;
	number = sim_webhook_number(request, doc);
	if (number == NULL || !sim_webhook_user(request, doc, "user", key))
		;
	else if (value == NULL)
		sim_reply_control_error(request, 400, "\"value\" is required");
	else
	{
		SimFace face;
		json_t *preference;

		sim_user_face(key, &face);
		preference = json_pack("{s:s, s:s, s:s, s:s, s:I}", "user_id", face.user_id, "detail",
							   "User requested a change of marketing messages", "category",
							   "marketing_messages", "value", value, "timestamp",
							   (json_int_t) sim_webhook_time(doc));
		set_text(preference, "wa_id", face.wa_id);
		set_text(preference, "parent_user_id", face.parent_user_id);
		item.number = number;
		sim_json_write(&item.contact, sim_webhook_contact(&face));
		sim_json_write(&item.item, preference);
		sim_outbox_add(&item);
		sim_control_ok(request);
	}
	json_decref(doc);
}

/*
 * Who talks to a user
 */

/* {"number":, "user":, "control": "control_taken", "owner": "ai_agent", "timestamp":} */
void
sim_control_handover(SimRequest *request)
{
	json_t *doc = sim_control_body(request);
	const char *control = text_member(doc, "control");
	const char *owner = text_member(doc, "owner");
	SimNumber *number;
	char key[SIM_USER_ID_SIZE];
	HttpdBuf text = {0};

	if (doc == NULL)
		return;
	number = sim_webhook_number(request, doc);
	if (number == NULL || !sim_webhook_user(request, doc, "user", key))
		;
	else if (control == NULL || owner == NULL)
		sim_reply_control_error(request, 400, "\"control\" and \"owner\" are required");
	else
	{
		SimFace face;
		char timestamp[24];
		json_t *sender;

		sim_user_face(key, &face);
		snprintf(timestamp, sizeof(timestamp), "%lld", sim_webhook_time(doc));
		sender = json_pack("{s:s}", "user_id", face.user_id);
		set_text(sender, "phone_number", face.wa_id);
		sim_json_write(&text,
					   json_pack("{s:s, s:{s:s, s:s}, s:o, s:s, s:s, s:{s:s}}", "messaging_product",
								 "whatsapp", "recipient", "display_phone_number", number->digits,
								 "phone_number_id", number->id, "sender", sender, "timestamp",
								 timestamp, "type", control, control, "new_owner_role", owner));
		sim_outbox_add_value("messaging_handovers", false, &text);
		sim_control_ok(request);
	}
	json_decref(doc);
}
