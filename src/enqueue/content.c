/*
 * content.c
 *	  The content of messages other than templates, held against Meta's limits.
 *
 * One set of rules, on the JSON that Meta will receive, whichever function
 * wrote it.  The limits are those of the Cloud API's message reference; what it
 * does not limit is left alone.
 */
#include "postgres.h"

#include <ctype.h>

#include "utils/builtins.h"
#include "utils/varlena.h"

#include "base/jsonb.h"
#include "base/quote.h"
#include "compat.h"
#include "enqueue/content.h"
#include "enqueue/options.h"
#include "template/text_limits.h"

#define MAX_TEXT_BODY 4096
#define MAX_CAPTION 1024
#define MAX_FILENAME 240
#define MAX_PLACE_TEXT 1024
#define MAX_CONTACTS 257
#define MAX_CONTACT_NAME 1024
#define MAX_EMOJI_BYTES 64

/* Bytes; far above what any type can hold, and far below what would hurt. */
#define MAX_PAYLOAD (128 * 1024)

static char *
required_string(const JsonbValue *object, const char *key, const char *what)
{
	const JsonbValue *value = wa_jsonb_get(object, key);
	char *text = wa_jsonb_string(value);

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						wa_jsonb_is_null(value) ? errmsg("%s is missing", what)
												: errmsg("%s must be a string", what)));
	return text;
}

/*
 * A member that may be absent; if present, a string within the limit.
 */
static void
check_optional(const JsonbValue *object, const char *key, const char *what, int max)
{
	const JsonbValue *value = wa_jsonb_get(object, key);
	char *text = wa_jsonb_string(value);

	if (value == NULL)
		return;
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be a string", what)));
	wa_check_text(what, text, max);
}

static void
check_text(const char *type, const JsonbValue *text)
{
	char *body = required_string(text, "body", "body of the text");

	wa_check_text("body of the text", body, MAX_TEXT_BODY);
}

static void
check_absent(const char *type, const JsonbValue *object, const char *key)
{
	if (wa_jsonb_get(object, key) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a message of type \"%s\" cannot have a %s", type, key)));
}

static void
check_media(const char *type, const JsonbValue *media)
{
	bool has_caption = strcmp(type, "audio") != 0 && strcmp(type, "sticker") != 0;
	char *link = wa_jsonb_get_string(media, "link");
	char *id = wa_jsonb_get_string(media, "id");

	if ((link == NULL) == (id == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a message of type \"%s\" needs either a link or a media id", type)));
	if (link != NULL)
		wa_check_link("link of the medium", link);
	if (id != NULL && (id[0] == '\0' || strspn(id, "0123456789") != strlen(id)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("media id must consist of digits")));
	if (has_caption)
		check_optional(media, "caption", "caption", MAX_CAPTION);
	else
		check_absent(type, media, "caption");
	if (strcmp(type, "document") == 0)
		check_optional(media, "filename", "filename", MAX_FILENAME);
	else
		check_absent(type, media, "filename");
	if (strcmp(type, "audio") != 0)
		check_absent(type, media, "voice");
}

static void
check_location(const char *type, const JsonbValue *location)
{
	wa_check_coordinates(wa_jsonb_get(location, "latitude"), wa_jsonb_get(location, "longitude"));
	check_optional(location, "name", "name of the location", MAX_PLACE_TEXT);
	check_optional(location, "address", "address of the location", MAX_PLACE_TEXT);
}

/* YYYY-MM-DD, as Meta wants it. */
static void
check_birthday(const JsonbValue *contact, int i)
{
	static const char form[] = "dddd-dd-dd";
	const JsonbValue *value = wa_jsonb_get(contact, "birthday");
	char *day = wa_jsonb_string(value);
	bool good = day != NULL && strlen(day) == strlen(form);

	if (value == NULL)
		return;
	for (int c = 0; good && form[c] != '\0'; c++)
		good = form[c] == 'd' ? isdigit((unsigned char) day[c]) != 0 : day[c] == form[c];
	if (!good)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("birthday of contact %d must have the form YYYY-MM-DD", i)));
}

/*
 * Meta wants the whole name and at least one of its parts.
 */
static void
check_contact(const JsonbValue *contact, int i)
{
	static const char *const parts[] = {"first_name", "last_name", "middle_name", "prefix",
										"suffix"};
	const JsonbValue *name = wa_jsonb_get(contact, "name");
	char *whole = wa_jsonb_get_string(name, "formatted_name");

	if (whole == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("contact %d has no name.formatted_name", i)));
	wa_check_text("name of the contact", whole, MAX_CONTACT_NAME);
	check_birthday(contact, i);
	for (int p = 0; p < lengthof(parts); p++)
	{
		char *part = wa_jsonb_get_string(name, parts[p]);

		if (part != NULL && part[0] != '\0')
			return;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("contact %d has no part of its name", i),
					errhint("Give first_name, last_name, middle_name, prefix or suffix beside "
							"formatted_name.")));
}

static void
check_contacts(const JsonbValue *contacts)
{
	int count = wa_jsonb_count(contacts);

	if (!wa_jsonb_is_array(contacts))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("contacts must be an array")));
	if (count < 1 || count > MAX_CONTACTS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a message must have 1 to %d contacts", MAX_CONTACTS)));
	for (int i = 0; i < count; i++)
		check_contact(wa_jsonb_element(contacts, i), i);
}

/*
 * Which of the many characters are emojis is for Meta to say; none of them is
 * a word.
 */
static bool
may_be_emoji(const char *text)
{
	bool exotic = false;

	for (const char *p = text; *p != '\0'; p++)
	{
		if (isascii((unsigned char) *p) &&
			(isalpha((unsigned char) *p) || isspace((unsigned char) *p)))
			return false;
		exotic = exotic || IS_HIGHBIT_SET(*p);
	}
	return exotic && strlen(text) <= MAX_EMOJI_BYTES && !wa_shows_nothing(text);
}

/*
 * An empty emoji takes the reaction back.
 */
static void
check_reaction(const char *type, const JsonbValue *reaction)
{
	char *wamid = required_string(reaction, "message_id", "message id of the reaction");
	char *emoji = required_string(reaction, "emoji", "emoji of the reaction");

	if (wamid[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("message id of the reaction must not be empty")));
	wa_options_check_wamid("message id of the reaction", wamid);
	if (emoji[0] != '\0' && !may_be_emoji(emoji))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("emoji of the reaction must be a single emoji")));
}

static void
check_interactive(const char *type, const JsonbValue *interactive)
{
	wa_interactive_check(interactive);
}

/*
 * Its values are not looked at: whoever gives a template whole knows why.
 */
static void
check_template(const char *type, const JsonbValue *template)
{
	const JsonbValue *components = wa_jsonb_get(template, "components");

	(void) required_string(template, "name", "name of the template");
	(void) required_string(wa_jsonb_get(template, "language"), "code",
						   "language.code of the template");
	if (components != NULL && !wa_jsonb_is_array(components))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("components of the template must be an array")));
}

static const struct
{
	const char *type;
	void (*check)(const char *type, const JsonbValue *object);
} known_types[] = {{"text", check_text},
				   {"image", check_media},
				   {"video", check_media},
				   {"audio", check_media},
				   {"document", check_media},
				   {"sticker", check_media},
				   {"location", check_location},
				   {"reaction", check_reaction},
				   {"interactive", check_interactive},
				   {"template", check_template},
				   {"contacts", NULL}};

/* A type that we do not know may be one of Meta's; but not if it is a slip of the pen. */
static void
check_not_misspelt(const char *type)
{
	int len = (int) strlen(type);

	for (int i = 0; i < lengthof(known_types); i++)
	{
		const char *known = known_types[i].type;

		if (varstr_levenshtein_less_equal(type, len, known, (int) strlen(known), 1, 1, 1, 1,
										  true) == 1)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid message type \"%s\"", type),
							errhint("Did you mean \"%s\"?", known)));
	}
}

/*
 * The content stands under its type beside these members of the request; a name
 * twice in an object means one of the two.
 */
static const char *const reserved_names[] = {"messaging_product",
											 "recipient_type",
											 "to",
											 "recipient",
											 "type",
											 "context",
											 "status",
											 "category",
											 "biz_opaque_callback_data",
											 "recipient_identity_key_hash",
											 "message_send_ttl_seconds",
											 "typing_indicator"};

static void
check_type_name(const char *type)
{
	for (int i = 0; i < lengthof(reserved_names); i++)
	{
		if (strcmp(type, reserved_names[i]) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid message type \"%s\"", wa_quote(type)),
							errdetail("This is another member of every message."),
							errhint("Use the words of Meta's API: text, image, interactive …")));
	}
	if (type[0] == '\0' || strlen(type) > NAMEDATALEN ||
		strspn(type, "abcdefghijklmnopqrstuvwxyz_") != strlen(type))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid message type \"%s\"", wa_quote(type)),
						errhint("Use the words of Meta's API: text, image, interactive …")));
}

void
wa_content_check_size(const Jsonb *payload)
{
	if (VARSIZE(payload) > MAX_PAYLOAD)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("content of the message is larger than %d bytes", MAX_PAYLOAD)));
}

void
wa_content_check(const char *type, Jsonb *payload)
{
	JsonbValue *root = wa_jsonb_root(payload);

	check_type_name(type);
	check_not_misspelt(type);
	wa_content_check_size(payload);
	if (strcmp(type, "contacts") == 0)
	{
		check_contacts(root);
		return;
	}
	if (!wa_jsonb_is_object(root))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("content of the message is %s; it must be an object", wa_jsonb_kind(root)),
				 errdetail("It is what stands under the key \"%s\" in Meta's API.", type)));
	for (int i = 0; i < lengthof(known_types); i++)
	{
		if (strcmp(type, known_types[i].type) == 0)
			known_types[i].check(type, root);
	}
}
