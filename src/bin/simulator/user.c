/*
 * user.c
 *	  The people at the other end.
 *
 * A user is a JSON object as configured.  Every form of the number and every
 * ID leads to it; a change of identity makes a new object, so that reports
 * about what went to the old number still show the old one.
 */
#include "bin/simulator/user.h"

#include <stdio.h>
#include <string.h>

#include "bin/simulator/map.h"
#include "bin/simulator/random.h"

static SimMap users;	/* by digits and by ID; each holds a reference */
static json_t *retired; /* who they were before: a face may still show it */

bool
sim_user_digits(const char *text, char *out, size_t size)
{
	if (text == NULL)
		return false;
	if (*text == '+')
		text++;
	if (strspn(text, "0123456789") != strlen(text) || strlen(text) < 7 || strlen(text) > 15)
		return false;
	snprintf(out, size, "%s", text);
	return true;
}

static const char *
member(const json_t *user, const char *name)
{
	return json_string_value(json_object_get(user, name));
}

/* Made from the number, and the same whenever it is asked for. */
static void
make_user_id(char *out, const char *digits)
{
	snprintf(out, SIM_USER_ID_SIZE, "ES.7%015llu",
			 (unsigned long long) (sim_hash(digits, strlen(digits)) % UINT64_C(1000000000000000)));
}

static void
drop_reference(void *user)
{
	json_decref(user);
}

static void
put(const char *key, json_t *user)
{
	void **place;

	if (key == NULL)
		return;
	place = sim_map_put(&users, key);
	json_incref(user);
	json_decref(*place);
	*place = user;
}

/* Every number and ID of the user leads to it from now on. */
static void
put_all(json_t *user)
{
	char digits[32];
	size_t i;
	json_t *form;

	if (sim_user_digits(member(user, "phone"), digits, sizeof(digits)))
		put(digits, user);
	if (sim_user_digits(member(user, "wa_id"), digits, sizeof(digits)))
		put(digits, user);
	json_array_foreach(json_object_get(user, "forms"), i, form)
	{
		if (sim_user_digits(json_string_value(form), digits, sizeof(digits)))
			put(digits, user);
	}
	put(member(user, "user_id"), user);
	put(member(user, "parent_user_id"), user);
}

static json_t *
find(const json_t *element)
{
	static const char *const names[] = {"phone", "wa_id", "user_id"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		const char *key = member(element, names[i]);
		json_t *user = NULL;

		if (key != NULL)
			user = sim_map_get(&users, key[0] == '+' ? key + 1 : key);
		if (user != NULL)
			return user;
	}
	return NULL;
}

static bool
is_valid(const json_t *element, char *error, size_t size)
{
	static const char *const texts[] = {"wa_id", "user_id", "parent_user_id", "username", "name"};
	const json_t *hidden = json_object_get(element, "hidden");
	const char *how = json_string_value(hidden);
	char digits[32];
	size_t i;
	json_t *form;

	if (json_object_get(element, "phone") == NULL && json_object_get(element, "user_id") == NULL)
		snprintf(error, size, "each of \"users\" needs a \"phone\" or a \"user_id\"");
	else if (json_object_get(element, "phone") != NULL &&
			 !sim_user_digits(member(element, "phone"), digits, sizeof(digits)))
		snprintf(error, size, "\"phone\" of a user is not a phone number");
	else if (hidden != NULL && !json_is_boolean(hidden) &&
			 (how == NULL || (strcmp(how, "empty") != 0 && strcmp(how, "user_id") != 0)))
		snprintf(error, size, "\"hidden\" must be true, false, \"empty\" or \"user_id\"");
	else
	{
		for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		{
			const json_t *value = json_object_get(element, texts[i]);

			if (value != NULL && (!json_is_string(value) || json_string_length(value) > 150))
			{
				snprintf(error, size, "\"%s\" of a user must be a short string", texts[i]);
				return false;
			}
		}
		json_array_foreach(json_object_get(element, "forms"), i, form)
		{
			if (!sim_user_digits(json_string_value(form), digits, sizeof(digits)))
			{
				snprintf(error, size, "\"forms\" of a user must be phone numbers");
				return false;
			}
		}
		return true;
	}
	return false;
}

bool
sim_user_merge(const json_t *element, char *error, size_t size)
{
	json_t *user;

	if (!is_valid(element, error, size))
		return false;
	user = find(element);
	user = user != NULL ? json_incref(user) : json_object();
	json_object_update(user, (json_t *) element);
	put_all(user);
	json_decref(user);
	return true;
}

void
sim_user_change(const char *key, const json_t *changes)
{
	json_t *before = sim_map_get(&users, key);
	json_t *after = before != NULL ? json_copy(before) : json_object();
	char digits[32];

	if (before == NULL && sim_user_digits(key, digits, sizeof(digits)))
		json_object_set_new(after, "phone", json_string(digits));
	else if (before == NULL)
		json_object_set_new(after, "user_id", json_string(key));

	/* Another number has other forms, and other IDs. */
	if (json_object_get(changes, "phone") != NULL)
	{
		json_object_del(after, "forms");
		json_object_del(after, "wa_id");
		json_object_del(after, "user_id");
		json_object_del(after, "parent_user_id");
	}
	json_object_update(after, (json_t *) changes);
	if (retired == NULL)
		retired = json_array();
	if (before != NULL)
		json_array_append(retired, before);
	put_all(after);
	json_decref(after);
}

/* The digits that a configured user is known by. */
static const char *
number_of(const json_t *user)
{
	const char *phone = member(user, "wa_id");

	if (phone == NULL)
		phone = member(user, "phone");
	return phone != NULL && phone[0] == '+' ? phone + 1 : phone;
}

void
sim_user_face(const char *key, SimFace *face)
{
	const json_t *user = sim_map_get(&users, key);
	const json_t *hidden = json_object_get(user, "hidden");
	const char *how = json_string_value(hidden);
	bool by_number = strspn(key, "0123456789") == strlen(key);

	*face = (SimFace){.name = "Cliente Ejemplo"};
	face->number = user != NULL ? number_of(user) : by_number ? key : NULL;
	if (member(user, "user_id") != NULL)
		snprintf(face->user_id, sizeof(face->user_id), "%s", member(user, "user_id"));
	else if (face->number != NULL)
		make_user_id(face->user_id, face->number);
	else
		snprintf(face->user_id, sizeof(face->user_id), "%s", key);
	face->parent_user_id = member(user, "parent_user_id");
	face->username = member(user, "username");
	if (member(user, "name") != NULL)
		face->name = member(user, "name");
	if (json_is_true(hidden))
		face->wa_id = NULL;
	else if (how != NULL)
		face->wa_id = strcmp(how, "empty") == 0 ? "" : face->user_id;
	else
		face->wa_id = face->number;
}

json_t *
sim_user_list(void)
{
	json_t *list = json_array();
	size_t pos = 0;
	SimMapEntry *entry;

	while ((entry = sim_map_next(&users, &pos)) != NULL)
	{
		size_t i;
		json_t *known;
		bool found = false;

		json_array_foreach(list, i, known) found = found || known == entry->value;
		if (!found)
			json_array_append(list, entry->value);
	}
	return list;
}

void
sim_user_free_all(void)
{
	sim_map_clear(&users, drop_reference);
	json_decref(retired);
	retired = NULL;
}
