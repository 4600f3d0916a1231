/*
 * message_functions.c
 *	  The SQL functions that write one message each.
 *
 * Each puts its own arguments into the JSON that Meta knows, and leaves the
 * rest to what they have in common: the rules of the content (enqueue/content.c,
 * template/check.c), the 24-hour window, and the writing (enqueue/enqueue.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/schema.h"
#include "base/tenant_role.h"
#include "base/quote.h"
#include "base/rows.h"
#include "base/statement.h"
#include "enqueue/content.h"
#include "enqueue/media_use.h"
#include "enqueue/service_window.h"
#include "enqueue/template_message.h"

PG_FUNCTION_INFO_V1(wa_enqueue_message);
PG_FUNCTION_INFO_V1(wa_enqueue_reply);
PG_FUNCTION_INFO_V1(wa_enqueue_payload);
PG_FUNCTION_INFO_V1(wa_enqueue_text);
PG_FUNCTION_INFO_V1(wa_enqueue_media);
PG_FUNCTION_INFO_V1(wa_enqueue_interactive);
PG_FUNCTION_INFO_V1(wa_enqueue_location);
PG_FUNCTION_INFO_V1(wa_enqueue_contacts);
PG_FUNCTION_INFO_V1(wa_enqueue_reaction);

/* The first arguments of all functions. */
enum
{
	ARG_TENANT_ID,
	ARG_RECIPIENT_PHONE,
	ARG_OWN /* where those of the kind of message begin */
};

static void
read_addresses(WaEnqueue *e, FunctionCallInfo fcinfo)
{
	memset(e, 0, sizeof(*e));
	e->tenant_id = wa_arg_tenant_id(fcinfo, ARG_TENANT_ID);
	/* A notification sends by the right of the role that has made it. */
	if (!CALLED_AS_TRIGGER(fcinfo))
		wa_tenant_role_check(wa_schema_of_call(fcinfo), e->tenant_id);
	if (get_fn_expr_argtype(fcinfo->flinfo, ARG_OWN) == TEXTOID)
		e->beside = wa_arg_text_or_null(fcinfo, ARG_OWN);
	wa_enqueue_recipient(e, wa_arg_text(fcinfo, ARG_RECIPIENT_PHONE, "recipient_phone"));
}

/*
 * Writes the message, unless there is one with its key; "complete" makes the
 * content once it is known who sends it and when.
 */
static int64
write_once(WaEnqueue *e, FunctionCallInfo fcinfo, void (*complete)(WaEnqueue *e, Jsonb *given),
		   Jsonb *given)
{
	WaOwner owner;
	int64 id;

	wa_owner_begin(&owner, fcinfo);
	e->schema = owner.schema;
	wa_enqueue_look_up(e);
	id = e->existing_id;
	if (id == 0)
	{
		complete(e, given);
		id = wa_enqueue_write(e);
	}
	wa_owner_end(&owner);
	return id;
}

/*
 * wa_enqueue_message(tenant_id, recipient_phone, template_name, parameters,
 * language, …)
 */
Datum
wa_enqueue_message(PG_FUNCTION_ARGS)
{
	WaEnqueue e;
	Jsonb *parameters;

	read_addresses(&e, fcinfo);
	e.template_name = wa_arg_text(fcinfo, ARG_OWN, "template_name");
	parameters = wa_arg_jsonb_or_null(fcinfo, ARG_OWN + 1);
	e.template_language = wa_arg_text_or_null(fcinfo, ARG_OWN + 2);
	wa_options_read(&e.options, fcinfo, ARG_OWN + 3);
	PG_RETURN_INT64(write_once(&e, fcinfo, wa_template_message_fill, parameters));
}

/*
 * Whom the customer's message makes the reply's tenant and recipient; and its wamid.
 */
static void
read_inbound(WaEnqueue *e, FunctionCallInfo fcinfo)
{
	static WaStatement statement = {
		.sql =
			"SELECT i.tenant_id, COALESCE(i.sender_phone, i.sender_user_id), i.whatsapp_message_id"
			" FROM @extschema@.wa_internal_own_inbound($1) AS i",
		.nargs = 1,
		.argtypes = {INT8OID},
		.expected = SPI_OK_SELECT};
	MemoryContext context = CurrentMemoryContext;
	Datum values[1] = {PG_GETARG_DATUM(0)};
	char nulls[1] = {PG_ARGISNULL(0) ? 'n' : ' '};
	text *words[3] = {NULL};
	WaOwner owner;
	WaRows rows;

	wa_owner_begin_restricted(&owner, fcinfo);
	rows = wa_statement_run_latest(&statement, owner.schema, values, nulls);
	context = MemoryContextSwitchTo(context);
	for (int i = 0; i < lengthof(words); i++)
	{
		char *word = wa_rows_text(&rows, 0, i + 1);

		words[i] = word == NULL ? NULL : cstring_to_text(word);
	}
	MemoryContextSwitchTo(context);
	wa_owner_end(&owner);
	if (words[0] == NULL || words[1] == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("inbound message " INT64_FORMAT " cannot be replied to", PG_GETARG_INT64(0)),
			 errdetail("%s", words[0] == NULL ? "No tenant had the number when it was sent."
											  : "Its sender is not known.")));
	memset(e, 0, sizeof(*e));
	e->tenant_id = words[0];
	wa_enqueue_recipient(e, words[1]);
	e->options.context_message_id = words[2];
}

/*
 * wa_enqueue_reply(inbound_id, template_name, parameters, language, …)
 */
Datum
wa_enqueue_reply(PG_FUNCTION_ARGS)
{
	WaEnqueue e;
	text *context;
	Jsonb *parameters;

	read_inbound(&e, fcinfo);
	context = e.options.context_message_id;
	e.template_name = wa_arg_text(fcinfo, 1, "template_name");
	parameters = wa_arg_jsonb_or_null(fcinfo, 2);
	e.template_language = wa_arg_text_or_null(fcinfo, 3);
	wa_options_read(&e.options, fcinfo, 4);
	e.options.context_message_id = context;
	PG_RETURN_INT64(write_once(&e, fcinfo, wa_template_message_fill, parameters));
}

static void
complete_free_form(WaEnqueue *e, Jsonb *payload)
{
	wa_service_window_check(e, false);
	/* A fallback template that is sent in its place has a file of its own. */
	if (e->media != 0 && e->template_name == NULL)
		wa_media_use(e, text_to_cstring(e->message_type));
}

static void
complete_payload(WaEnqueue *e, Jsonb *payload)
{
	wa_service_window_check(e, true);
}

/*
 * What all kinds but templates have in common.  "first" is the position of
 * scheduled_at.
 */
static int64
enqueue_free_form(WaEnqueue *e, FunctionCallInfo fcinfo, const char *type, Jsonb *payload,
				  int first, bool lenient)
{
	wa_content_check(type, payload);
	e->message_type = cstring_to_text(type);
	e->payload = payload;
	wa_options_read(&e->options, fcinfo, first);
	return write_once(e, fcinfo, lenient ? complete_payload : complete_free_form, payload);
}

static void
complete_raw_template(WaEnqueue *e, Jsonb *payload)
{
	e->message_type = cstring_to_text("template");
	e->payload = payload;
	(void) wa_template_message_find(e);
}

/*
 * A template given whole: it must exist, and is sent as given.
 */
static int64
enqueue_raw_template(WaEnqueue *e, FunctionCallInfo fcinfo, Jsonb *payload, int first)
{
	JsonbValue *root = wa_jsonb_root(payload);
	JsonbValue *language = wa_jsonb_get(root, "language");

	wa_content_check("template", payload);
	e->template_name = cstring_to_text(wa_jsonb_get_string(root, "name"));
	e->template_language = cstring_to_text(wa_jsonb_get_string(language, "code"));
	wa_options_read(&e->options, fcinfo, first);
	if (e->options.fallback_template != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a template needs no fallback_template")));
	return write_once(e, fcinfo, complete_raw_template, payload);
}

/*
 * wa_enqueue_payload(tenant_id, recipient_phone, type, payload, …)
 */
Datum
wa_enqueue_payload(PG_FUNCTION_ARGS)
{
	WaEnqueue e;
	char *type;
	Jsonb *payload;

	read_addresses(&e, fcinfo);
	type = text_to_cstring(wa_arg_text(fcinfo, ARG_OWN, "type"));
	payload = wa_arg_jsonb(fcinfo, ARG_OWN + 1, "payload");
	if (strcmp(type, "template") == 0)
		PG_RETURN_INT64(enqueue_raw_template(&e, fcinfo, payload, ARG_OWN + 2));
	PG_RETURN_INT64(enqueue_free_form(&e, fcinfo, type, payload, ARG_OWN + 2, true));
}

static void
put_argument(WaJsonbWriter *w, const char *key, FunctionCallInfo fcinfo, int argno)
{
	if (!PG_ARGISNULL(argno))
		wa_jsonb_put_string(w, key, text_to_cstring(PG_GETARG_TEXT_PP(argno)));
}

static void
put_number(WaJsonbWriter *w, const char *key, FunctionCallInfo fcinfo, int argno)
{
	JsonbValue value;

	if (PG_ARGISNULL(argno))
		wa_raise_null_argument(key);
	value.type = jbvNumeric;
	value.val.numeric =
		DatumGetNumeric(DirectFunctionCall1(float8_numeric, PG_GETARG_DATUM(argno)));
	wa_jsonb_put_value(w, key, &value);
}

/*
 * wa_enqueue_text(tenant_id, recipient_phone, body, preview_url, …)
 */
Datum
wa_enqueue_text(PG_FUNCTION_ARGS)
{
	WaEnqueue e;
	WaJsonbWriter w = {0};

	read_addresses(&e, fcinfo);
	wa_jsonb_begin_object(&w, NULL);
	wa_jsonb_put_string(&w, "body", text_to_cstring(wa_arg_text(fcinfo, ARG_OWN, "body")));
	if (!PG_ARGISNULL(ARG_OWN + 1) && PG_GETARG_BOOL(ARG_OWN + 1))
		wa_jsonb_put_bool(&w, "preview_url", true);
	wa_jsonb_end_object(&w);
	PG_RETURN_INT64(enqueue_free_form(&e, fcinfo, "text", wa_jsonb_finish(&w), ARG_OWN + 2, false));
}

/*
 * The file given by its row of whatsapp_media.
 */
static void
put_file(WaJsonbWriter *w, WaEnqueue *e, FunctionCallInfo fcinfo, int argno, const char *type)
{
	if (PG_ARGISNULL(argno))
		return;
	if (!PG_ARGISNULL(ARG_OWN + 1) || !PG_ARGISNULL(ARG_OWN + 2))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a message of type \"%s\" needs a link, a media id or a file, and "
							   "only one of them",
							   type)));
	e->media = PG_GETARG_INT64(argno);
	if (e->media <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"media\" must be what wa_upload_media() returned")));
	wa_jsonb_put_string(w, "id", "0");
}

/*
 * wa_enqueue_media(tenant_id, recipient_phone, media_type, link, media_id,
 * caption, filename, voice, media, …)
 *
 * Of a file of ours (media) it is not known before the look-up whether there is
 * an id; the content is checked with one that stands for it.
 */
Datum
wa_enqueue_media(PG_FUNCTION_ARGS)
{
	static const char *const types[] = {"image", "video", "audio", "document", "sticker"};
	WaEnqueue e;
	WaJsonbWriter w = {0};
	char *type;
	bool known = false;

	read_addresses(&e, fcinfo);
	type = text_to_cstring(wa_arg_text(fcinfo, ARG_OWN, "media_type"));
	for (int i = 0; i < lengthof(types); i++)
		known = known || strcmp(type, types[i]) == 0;
	if (!known)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid media type \"%s\"", wa_quote(type)),
						errhint("Use \"image\", \"video\", \"audio\", \"document\" or "
								"\"sticker\".")));

	wa_jsonb_begin_object(&w, NULL);
	put_argument(&w, "link", fcinfo, ARG_OWN + 1);
	put_argument(&w, "id", fcinfo, ARG_OWN + 2);
	put_file(&w, &e, fcinfo, ARG_OWN + 6, type);
	put_argument(&w, "caption", fcinfo, ARG_OWN + 3);
	put_argument(&w, "filename", fcinfo, ARG_OWN + 4);
	if (!PG_ARGISNULL(ARG_OWN + 5))
		wa_jsonb_put_bool(&w, "voice", PG_GETARG_BOOL(ARG_OWN + 5));
	wa_jsonb_end_object(&w);
	PG_RETURN_INT64(enqueue_free_form(&e, fcinfo, type, wa_jsonb_finish(&w), ARG_OWN + 7, false));
}

/*
 * wa_enqueue_interactive(tenant_id, recipient_phone, interactive, …)
 */
Datum
wa_enqueue_interactive(PG_FUNCTION_ARGS)
{
	WaEnqueue e;
	Jsonb *interactive;

	read_addresses(&e, fcinfo);
	interactive = wa_arg_jsonb(fcinfo, ARG_OWN, "interactive");
	PG_RETURN_INT64(enqueue_free_form(&e, fcinfo, "interactive", interactive, ARG_OWN + 1, false));
}

/*
 * wa_enqueue_location(tenant_id, recipient_phone, latitude, longitude, name,
 * address, …)
 */
Datum
wa_enqueue_location(PG_FUNCTION_ARGS)
{
	WaEnqueue e;
	WaJsonbWriter w = {0};

	read_addresses(&e, fcinfo);
	wa_jsonb_begin_object(&w, NULL);
	put_number(&w, "latitude", fcinfo, ARG_OWN);
	put_number(&w, "longitude", fcinfo, ARG_OWN + 1);
	put_argument(&w, "name", fcinfo, ARG_OWN + 2);
	put_argument(&w, "address", fcinfo, ARG_OWN + 3);
	wa_jsonb_end_object(&w);
	PG_RETURN_INT64(
		enqueue_free_form(&e, fcinfo, "location", wa_jsonb_finish(&w), ARG_OWN + 4, false));
}

/*
 * wa_enqueue_contacts(tenant_id, recipient_phone, contacts, …)
 */
Datum
wa_enqueue_contacts(PG_FUNCTION_ARGS)
{
	WaEnqueue e;
	Jsonb *contacts;

	read_addresses(&e, fcinfo);
	contacts = wa_arg_jsonb(fcinfo, ARG_OWN, "contacts");
	PG_RETURN_INT64(enqueue_free_form(&e, fcinfo, "contacts", contacts, ARG_OWN + 1, false));
}

/*
 * wa_enqueue_reaction(tenant_id, recipient_phone, whatsapp_message_id, emoji, …)
 */
Datum
wa_enqueue_reaction(PG_FUNCTION_ARGS)
{
	WaEnqueue e;
	WaJsonbWriter w = {0};

	read_addresses(&e, fcinfo);
	if (PG_ARGISNULL(ARG_OWN + 1))
		wa_raise_null_argument("emoji");
	wa_jsonb_begin_object(&w, NULL);
	wa_jsonb_put_string(&w, "message_id",
						text_to_cstring(wa_arg_text(fcinfo, ARG_OWN, "whatsapp_message_id")));
	wa_jsonb_put_string(&w, "emoji", text_to_cstring(PG_GETARG_TEXT_PP(ARG_OWN + 1)));
	wa_jsonb_end_object(&w);
	PG_RETURN_INT64(
		enqueue_free_form(&e, fcinfo, "reaction", wa_jsonb_finish(&w), ARG_OWN + 2, false));
}
