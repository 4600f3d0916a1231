/*
 * person_rows.c
 *	  Whose the recipients of claimed messages are: whatsapp_contact_identities.
 *
 * Asked at the claim, and not at the enqueue: who somebody is may be learned while
 * a message waits.  One look-up a row by one scan, and none where Meta has told of
 * nobody yet.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/lookup.h"
#include "compat.h"
#include "sender/store/person_rows.h"
#include "sender/store/transaction.h"

static WaLookup identity_lookup = {.table = "whatsapp_contact_identities",
								   .index = "whatsapp_contact_identities_pkey",
								   .nkeys = 1,
								   .ncolumns = 1,
								   .columns = {"person"}};

/* Most are known by one name only, and are their own person: no copy of that. */
static const char *
person_of(WaLookupScan *scan, const char *recipient)
{
	Datum key = CStringGetTextDatum(recipient);
	bool isnull;
	text *person;
	size_t len = strlen(recipient);

	wa_lookup_seek(scan, &key);
	if (!wa_lookup_next(scan))
		return NULL;
	person = DatumGetTextPP(wa_lookup_column(scan, 0, &isnull));
	if (VARSIZE_ANY_EXHDR(person) == len && memcmp(VARDATA_ANY(person), recipient, len) == 0)
		return NULL;
	return text_to_cstring(person);
}

void
wa_store_read_persons(WaClaimRow *rows, int n)
{
	WaLookupScan *scan;

	if (n == 0 || !wa_lookup_may_find(&identity_lookup, wa_store_schema()))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	scan = wa_lookup_begin(&identity_lookup, wa_store_schema(), GetActiveSnapshot());
	for (int i = 0; i < n; i++)
		rows[i].person = person_of(scan, wa_claim_row_recipient(&rows[i]));
	wa_lookup_end(scan);
	PopActiveSnapshot();
}
