/*
 * bulk.c
 *	  wa_enqueue_bulk: one template, many recipients, one call.
 *
 * All or nothing, as everything in one statement; an error says which entry of
 * the list it is about.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/schema.h"
#include "base/tenant_role.h"
#include "base/quote.h"
#include "enqueue/template_message.h"

PG_FUNCTION_INFO_V1(wa_enqueue_bulk);

/* Enough for any mailing; more belongs into several transactions. */
#define MAX_RECIPIENTS 100000

enum
{
	ARG_TENANT_ID,
	ARG_TEMPLATE_NAME,
	ARG_RECIPIENTS,
	ARG_PARAMETERS,
	ARG_LANGUAGE,
	ARG_OPTIONS
};

/* What all entries share, and where we are. */
typedef struct Bulk
{
	WaEnqueue common;
	Jsonb *parameters;
	JsonbValue *recipients;
	int index;
} Bulk;

static void
say_which_entry(void *arg)
{
	Bulk *bulk = arg;

	errcontext("recipients[%d] of wa_enqueue_bulk", bulk->index);
}

static void
check_member(void *arg, char *name, JsonbValue *value)
{
	static const char *const names[] = {"to", "recipient_phone", "parameters", "reference",
										"idempotency_key"};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown member \"%s\" in recipients[%d]", wa_quote(name),
						   ((Bulk *) arg)->index),
					errhint("Known are \"to\" (or \"recipient_phone\"), \"parameters\", "
							"\"reference\" and \"idempotency_key\".")));
}

static char *
address_of(Bulk *bulk, const JsonbValue *entry)
{
	char *address = wa_jsonb_string(entry);

	if (address == NULL && wa_jsonb_is_object(entry))
	{
		wa_jsonb_each(entry, check_member, bulk);
		address = wa_jsonb_get_string(entry, "to");
		if (address == NULL)
			address = wa_jsonb_get_string(entry, "recipient_phone");
	}
	if (address == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("recipients[%d] has no recipient", bulk->index),
				 errhint("Each entry is a phone number as a string, or an object with \"to\".")));
	return address;
}

/*
 * The key of one message: its own, or made from the key of the whole call, so
 * that a repeated call finds all its messages again.
 */
static text *
key_of(const Bulk *bulk, const JsonbValue *entry, const char *recipient)
{
	char *own = wa_jsonb_scalar(wa_jsonb_get(entry, "idempotency_key"));
	const text *shared = bulk->common.options.idempotency_key;
	text *key;

	if (own != NULL)
		key = cstring_to_text(own);
	else if (shared != NULL)
		key = cstring_to_text(psprintf("%s:%s", text_to_cstring(shared), recipient));
	else
		return NULL;
	wa_options_check_key(key);
	return key;
}

static int64
enqueue_one(Bulk *bulk, const JsonbValue *entry)
{
	WaEnqueue e = bulk->common;
	JsonbValue *parameters = wa_jsonb_get(entry, "parameters");
	char *reference = wa_jsonb_scalar(wa_jsonb_get(entry, "reference"));

	e.silent = bulk->index > 0;
	e.place = psprintf(" in recipients[%d]", bulk->index);
	wa_enqueue_recipient(&e, cstring_to_text(address_of(bulk, entry)));
	e.options.idempotency_key = key_of(bulk, entry, e.recipient);
	if (reference != NULL)
	{
		e.options.reference = cstring_to_text(reference);
		wa_options_check_reference(e.options.reference);
	}

	wa_enqueue_look_up(&e);
	if (e.existing_id != 0)
		return e.existing_id;
	wa_template_message_fill(&e, wa_jsonb_is_null(parameters) ? bulk->parameters
															  : JsonbValueToJsonb(parameters));
	return wa_enqueue_write(&e);
}

static void
enqueue_all(Bulk *bulk, ReturnSetInfo *rsinfo)
{
	MemoryContext entry_context =
		AllocSetContextCreate(CurrentMemoryContext, "wa_enqueue_bulk", ALLOCSET_DEFAULT_SIZES);
	ErrorContextCallback callback = {error_context_stack, say_which_entry, bulk};
	int count = wa_jsonb_count(bulk->recipients);

	error_context_stack = &callback;
	for (bulk->index = 0; bulk->index < count; bulk->index++)
	{
		MemoryContext save = MemoryContextSwitchTo(entry_context);
		bool isnull = false;
		Datum id;

		CHECK_FOR_INTERRUPTS();
		id = Int64GetDatum(enqueue_one(bulk, wa_jsonb_element(bulk->recipients, bulk->index)));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &id, &isnull);
		MemoryContextSwitchTo(save);
		MemoryContextReset(entry_context);
	}
	error_context_stack = callback.previous;
}

/*
 * wa_enqueue_bulk(tenant_id, template_name, recipients, parameters, language,
 * …) returns the ids in the order of the recipients.
 */
Datum
wa_enqueue_bulk(PG_FUNCTION_ARGS)
{
	WaOwner owner;
	Bulk bulk;

	memset(&bulk, 0, sizeof(bulk));
	bulk.common.tenant_id = wa_arg_tenant_id(fcinfo, ARG_TENANT_ID);
	wa_tenant_role_check(wa_schema_of_call(fcinfo), bulk.common.tenant_id);
	bulk.common.template_name = wa_arg_text(fcinfo, ARG_TEMPLATE_NAME, "template_name");
	bulk.common.beside = bulk.common.template_name;
	bulk.recipients = wa_jsonb_root(wa_arg_jsonb(fcinfo, ARG_RECIPIENTS, "recipients"));
	bulk.parameters = wa_arg_jsonb_or_null(fcinfo, ARG_PARAMETERS);
	bulk.common.template_language = wa_arg_text_or_null(fcinfo, ARG_LANGUAGE);
	wa_options_read(&bulk.common.options, fcinfo, ARG_OPTIONS);
	if (!wa_jsonb_is_array(bulk.recipients))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"recipients\" must be a JSON array")));
	if (wa_jsonb_count(bulk.recipients) > MAX_RECIPIENTS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("more than %d recipients in one call", MAX_RECIPIENTS)));

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	wa_owner_begin(&owner, fcinfo);
	bulk.common.schema = owner.schema;
	enqueue_all(&bulk, (ReturnSetInfo *) fcinfo->resultinfo);
	wa_owner_end(&owner);
	PG_RETURN_NULL();
}
