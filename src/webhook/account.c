/*
 * account.c
 *	  Whose webhook it is.
 *
 * An app may be subscribed to several accounts, and all of them have the same address
 * and the same secret.  What Meta says of another account's templates, limits and
 * restrictions is true, and nothing of it is true of ours.
 *
 * A number identifies its account better than the account's id does, because it
 * cannot be set wrongly: what comes for a number that we know is ours, whatever else
 * stands beside it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/guc.h"
#include "base/rows.h"
#include "base/statement.h"
#include "webhook/account.h"
#include "webhook/field.h"

static WaStatement known_statement = {.sql = "SELECT FROM @extschema@.whatsapp_phone_numbers"
											 " WHERE phone_number_id OPERATOR(pg_catalog.=) $1",
									  .nargs = 1,
									  .argtypes = {TEXTOID},
									  .expected = SPI_OK_SELECT};

/* An id, which Meta writes as a string, and other programs also as a number. */
static const char *
read_account(WaWebhook *webhook, uint32 object, const char *name)
{
	uint32 node = wa_json_member(webhook->json, object, name);

	if (wa_json_is(webhook->json, node, WA_JSON_NUMBER))
		return wa_webhook_text(webhook, node);
	return wa_webhook_string(webhook, object, name, WA_MAX_NUMBER_ID_DIGITS);
}

static bool
is_our_number(WaWebhook *webhook, const char *phone_number_id)
{
	Datum values[1] = {CStringGetTextDatum(phone_number_id)};

	if (strcmp(phone_number_id, wa_guc_phone_number_id) == 0)
		return true;
	return wa_statement_run(&known_statement, webhook->schema, values, NULL).count > 0;
}

/*
 * Events of a portfolio have its id in the entry, and the account that they are
 * about in the value.
 */
bool
wa_webhook_is_foreign(WaWebhook *webhook, uint32 entry, uint32 value)
{
	uint32 info = wa_json_member(webhook->json, value, "waba_info");
	const char *account = read_account(webhook, info, "waba_id");
	const char *number;

	if (account == NULL)
		account = read_account(webhook, entry, "id");
	if (account == NULL || wa_guc_business_account_id[0] == '\0' ||
		strcmp(account, wa_guc_business_account_id) == 0)
		return false;
	number = wa_webhook_number(webhook, value);
	if (number == NULL) /* of a handover */
		number = wa_webhook_string(webhook, wa_json_member(webhook->json, value, "recipient"),
								   "phone_number_id", WA_MAX_NUMBER_ID_DIGITS);
	return number == NULL || !is_our_number(webhook, number);
}
