/*
 * registry.c
 *	  The account being played: its phone numbers and message templates.
 */
#include "bin/simulator/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"
#include "bin/simulator/map.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/template_form.h"
#include "bin/simulator/user.h"

typedef struct List
{
	void **items;
	int count;
	int size;
} List;

static List numbers;
static SimMap number_by_id; /* also those that are not listed */
static List templates;
static SimMap template_by_key; /* "name\nlanguage" */

static void
list_add(List *list, void *item)
{
	if (list->count == list->size)
	{
		list->size = list->size == 0 ? 16 : list->size * 2;
		list->items = httpd_realloc(list->items, (size_t) list->size * sizeof(void *));
	}
	list->items[list->count++] = item;
}

static void
list_remove(List *list, const void *item)
{
	int kept = 0;

	for (int i = 0; i < list->count; i++)
	{
		if (list->items[i] != item)
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

/*
 * Numbers
 */

static void
number_free(void *arg)
{
	SimNumber *number = arg;

	free(number->id);
	free(number->digits);
	json_decref(number->node);
	free(number->sends);
	free(number);
}

static void
number_read_digits(SimNumber *number)
{
	const char *display = json_string_value(json_object_get(number->node, "display_phone_number"));
	char *out;

	free(number->digits);
	number->digits = out = httpd_strdup(display != NULL ? display : "");
	for (const char *p = number->digits; *p != '\0'; p++)
	{
		if (*p >= '0' && *p <= '9')
			*out++ = *p;
	}
	*out = '\0';
}

/* A number in good standing, as a listing shows it. */
static SimNumber *
number_add(const char *id, const char *display, const char *name, bool listed)
{
	SimNumber *number = httpd_alloc0(sizeof(SimNumber));

	number->id = httpd_strdup(id);
	number->listed = listed;
	number->node =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s}, s:s, s:s}", "id", id,
				  "display_phone_number", display, "verified_name", name, "status", "CONNECTED",
				  "quality_rating", "GREEN", "code_verification_status", "VERIFIED", "name_status",
				  "APPROVED", "platform_type", "CLOUD_API", "account_mode", "LIVE", "throughput",
				  "level", "STANDARD", "whatsapp_business_manager_messaging_limit",
				  "TIER_UNLIMITED", "last_onboarded_time", "2026-03-02T09:12:44+0000");
	if (number->node == NULL)
		httpd_die("could not describe number \"%s\"", id);
	number_read_digits(number);
	*sim_map_put(&number_by_id, id) = number;
	if (listed)
		list_add(&numbers, number);
	return number;
}

static void
number_remove(const char *id)
{
	SimNumber *number = sim_map_get(&number_by_id, id);

	if (number == NULL)
		return;
	list_remove(&numbers, number);
	number->listed = false;
	number->removed = true;
}

static bool
merge_number(const json_t *element, char *error, size_t size)
{
	const char *id = json_string_value(json_object_get(element, "id"));
	SimNumber *number;

	if (id == NULL || id[0] == '\0')
	{
		snprintf(error, size, "each of \"numbers\" must be an object with an \"id\"");
		return false;
	}
	if (json_is_true(json_object_get(element, "removed")))
	{
		number_remove(id);
		return true;
	}
	number = sim_map_get(&number_by_id, id);
	if (number == NULL)
		number = number_add(id, "", "Panadería Ejemplo", true);
	else if (!number->listed)
	{
		number->listed = true;
		number->removed = false;
		list_add(&numbers, number);
	}
	json_object_update(number->node, (json_t *) element);
	number_read_digits(number);
	return true;
}

SimNumber *
sim_registry_number(const char *id)
{
	SimNumber *number = sim_map_get(&number_by_id, id);
	char display[48];

	if (number != NULL)
		return !number->removed && (number->listed || sim_settings.accept_any_number) ? number
																					  : NULL;
	if (!sim_settings.accept_any_number || id[0] == '\0' || strlen(id) > 32 ||
		strspn(id, "0123456789") != strlen(id) || strcmp(id, sim_settings.waba_id) == 0)
		return NULL;
	snprintf(display, sizeof(display), "+%s %s", sim_settings.calling_code, id);
	return number_add(id, display, "Panadería Ejemplo", false);
}

int
sim_registry_number_count(void)
{
	return numbers.count;
}

SimNumber *
sim_registry_number_at(int i)
{
	return numbers.items[i];
}

/*
 * Templates
 */

static void
template_key(char *out, size_t size, const char *name, const char *language)
{
	snprintf(out, size, "%s\n%s", name, language);
}

static bool
merge_template(const json_t *element, char *error, size_t size)
{
	const char *name = json_string_value(json_object_get(element, "name"));
	const char *language = json_string_value(json_object_get(element, "language"));
	char key[600];
	SimTemplate *old;
	SimTemplate *new;
	json_t *node;

	if (name == NULL || language == NULL || strlen(name) > 512 || strlen(language) > 16)
	{
		snprintf(error, size,
				 "each of \"templates\" must be an object with a \"name\" and a \"language\"");
		return false;
	}
	template_key(key, sizeof(key), name, language);
	old = sim_map_get(&template_by_key, key);
	if (json_is_true(json_object_get(element, "removed")))
	{
		if (old != NULL)
		{
			sim_map_remove(&template_by_key, key);
			list_remove(&templates, old);
			sim_template_free(old);
		}
		return true;
	}

	/* Defaults for members that a new template does not have. */
	node = old != NULL ? json_deep_copy(old->node) : json_object();
	json_object_update(node, (json_t *) element);
	if (json_object_get(node, "id") == NULL)
	{
		static int64_t last_id = INT64_C(200000000000000);
		char id[24];

		snprintf(id, sizeof(id), "%lld", (long long) ++last_id);
		json_object_set_new(node, "id", json_string(id));
	}
	if (json_object_get(node, "status") == NULL)
		json_object_set_new(node, "status", json_string("APPROVED"));
	if (json_object_get(node, "category") == NULL)
		json_object_set_new(node, "category", json_string("UTILITY"));
	if (json_object_get(node, "parameter_format") == NULL)
		json_object_set_new(node, "parameter_format", json_string("POSITIONAL"));
	if (json_object_get(node, "quality_score") == NULL)
		json_object_set_new(node, "quality_score",
							json_pack("{s:s, s:i}", "score", "UNKNOWN", "date", 1764000000));

	new = sim_template_read(node, error, size);
	json_decref(node);
	if (new == NULL)
		return false;
	*sim_map_put(&template_by_key, key) = new;
	if (old == NULL)
		list_add(&templates, new);
	else
	{
		for (int i = 0; i < templates.count; i++)
		{
			if (templates.items[i] == old)
				templates.items[i] = new;
		}
		sim_template_free(old);
	}
	return true;
}

SimTemplate *
sim_registry_template(const char *name, const char *language, bool *name_known)
{
	char key[600];
	SimTemplate *found;

	*name_known = false;
	if (strlen(name) > 512 || strlen(language) > 16)
		return NULL;
	template_key(key, sizeof(key), name, language);
	found = sim_map_get(&template_by_key, key);
	if (found != NULL)
	{
		*name_known = true;
		return found;
	}
	for (int i = 0; i < templates.count; i++)
	{
		if (strcmp(sim_registry_template_at(i)->name, name) == 0)
			*name_known = true;
	}
	return NULL;
}

SimTemplate *
sim_registry_template_by_id(const char *id)
{
	for (int i = 0; i < templates.count; i++)
	{
		SimTemplate *template = templates.items[i];

		if (strcmp(json_string_value(json_object_get(template->node, "id")), id) == 0)
			return template;
	}
	return NULL;
}

int
sim_registry_template_count(void)
{
	return templates.count;
}

SimTemplate *
sim_registry_template_at(int i)
{
	return templates.items[i];
}

/*
 * Both
 */

static bool
merge_list(const json_t *list, const char *name,
		   bool (*merge)(const json_t *element, char *error, size_t size), char *error, size_t size)
{
	size_t i;
	json_t *element;

	if (list == NULL || json_is_integer(list)) /* "numbers": 12 is a setting */
		return true;
	if (!json_is_array(list))
	{
		snprintf(error, size, "\"%s\" must be an array", name);
		return false;
	}
	json_array_foreach((json_t *) list, i, element)
	{
		if (!merge(element, error, size))
			return false;
	}
	return true;
}

bool
sim_registry_merge(const json_t *doc, char *error, size_t size)
{
	return merge_list(json_object_get(doc, "numbers"), "numbers", merge_number, error, size) &&
		   merge_list(json_object_get(doc, "templates"), "templates", merge_template, error,
					  size) &&
		   merge_list(json_object_get(doc, "users"), "users", sim_user_merge, error, size);
}

void
sim_registry_init(void)
{
	char error[256];
	json_t *doc;

	for (int64_t i = 1; i <= sim_settings.numbers; i++)
	{
		char id[24];
		char display[32];
		char name[64];

		snprintf(id, sizeof(id), "%lld", 100000000000000 + (long long) i);
		snprintf(display, sizeof(display), "+%s 600 %02lld %02lld %02lld",
				 sim_settings.calling_code, (long long) (i / 10000), (long long) (i / 100 % 100),
				 (long long) (i % 100));
		snprintf(name, sizeof(name), "Panadería Ejemplo %lld", (long long) i);
		number_add(id, display, name, true);
	}
	doc = sim_template_defaults();
	if (!sim_registry_merge(doc, error, sizeof(error)))
		httpd_die("built-in templates: %s", error);
	json_decref(doc);
}

static void
free_template(void *arg)
{
	sim_template_free(arg);
}

void
sim_registry_free(void)
{
	sim_map_clear(&number_by_id, number_free);
	sim_map_clear(&template_by_key, free_template);
	sim_user_free_all();
	free(numbers.items);
	free(templates.items);
	numbers = (List){0};
	templates = (List){0};
}
