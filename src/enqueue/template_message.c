/*
 * template_message.c
 *	  The content of a template message: the template found, its parameters
 *	  checked, and the object that Meta receives.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/guc.h"
#include "base/quote.h"
#include "common/consent.h"
#include "enqueue/content.h"
#include "enqueue/media_use.h"
#include "enqueue/template_message.h"

static text *
language_of(const WaEnqueue *e)
{
	if (e->template_language != NULL)
		return e->template_language;
	if (e->tenant_language != NULL)
		return e->tenant_language;
	return cstring_to_text(wa_guc_default_language);
}

/*
 * Authentication templates cannot go to a business-scoped user id (131062).
 */
static void
check_addressee(const WaEnqueue *e, const WaTemplateSpec *spec)
{
	if (e->recipient_is_user_id && pg_strcasecmp(spec->category, "AUTHENTICATION") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("template \"%s\" can only be sent to a phone number", wa_quote(spec->name)),
				 errdetail("Authentication templates cannot be sent to a business-scoped "
						   "user id.")));
}

const WaTemplateSpec *
wa_template_message_find(WaEnqueue *e)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	const WaTemplateSpec *spec =
		wa_template_find(e->schema, text_to_cstring(e->template_name),
						 text_to_cstring(e->template_language), snapshot, !e->silent);

	UnregisterSnapshot(snapshot);
	if (spec != NULL)
		check_addressee(e, spec);

	e->is_marketing = wa_template_category_is_marketing(spec == NULL ? NULL : spec->category);
	return spec;
}

void
wa_template_message_fill(WaEnqueue *e, Jsonb *parameters)
{
	const WaTemplateSpec *spec;
	WaTemplateValues values;

	e->message_type = cstring_to_text("template");
	e->template_language = language_of(e);
	wa_template_values_read(&values, parameters);
	spec = wa_template_message_find(e);
	if (spec != NULL)
		wa_template_check(spec, &values);
	else
		wa_template_check_blind(&values);
	e->payload = wa_template_build(text_to_cstring(e->template_name),
								   text_to_cstring(e->template_language), &values);
	wa_content_check_size(e->payload);
	e->media = values.header_file;
	e->awaits_media = false;
	if (e->media != 0)
		wa_media_use(e, wa_header_kind_name(values.header_kind));
}
