/*
 * learned.c
 *	  What responses tell of recipients: other forms of the same person.
 *
 * Mostly that is known.  What is not is appended to a table, from which webhooks and the
 * upkeep enter it (wa_internal_learn_identities()): they lock the person, for which a
 * sender must never wait.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/arrays.h"
#include "base/lookup.h"
#include "base/statement.h"
#include "sender/store/learned.h"
#include "sender/store/transaction.h"

static WaLookup identity_lookup = {.table = "whatsapp_contact_identities",
								   .index = "whatsapp_contact_identities_pkey",
								   .nkeys = 1,
								   .ncolumns = 1,
								   .columns = {"contact_id"}};

static WaStatement learn_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_learned_identities (recipient, identity)"
		   " SELECT v.recipient, v.identity FROM ROWS FROM (pg_catalog.unnest($1),"
		   " pg_catalog.unnest($2)) AS v(recipient, identity)",
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID},
	.expected = SPI_OK_INSERT};

/* The person's contact; 0: nobody has heard of them. */
static int64
contact_of(WaLookupScan *scan, const char *identity)
{
	Datum key = CStringGetTextDatum(identity);
	bool isnull;

	wa_lookup_seek(scan, &key);
	return wa_lookup_next(scan) ? DatumGetInt64(wa_lookup_column(scan, 0, &isnull)) : 0;
}

static bool
is_known(WaLookupScan *scan, const WaLearned *item)
{
	int64 contact = contact_of(scan, item->recipient);

	return contact != 0 && contact == contact_of(scan, item->identity);
}

void
wa_store_learn(const WaLearned *items, int n)
{
	static const WaColumn columns[] = {WA_COLUMN(WaLearned, recipient),
									   WA_COLUMN(WaLearned, identity)};
	WaLearned *news = palloc(sizeof(WaLearned) * Max(n, 1));
	Datum values[lengthof(columns)];
	WaLookupScan *scan;
	int n_news = 0;

	if (n == 0)
		return;
	scan = wa_lookup_begin(&identity_lookup, wa_store_schema(), GetActiveSnapshot());
	for (int i = 0; i < n; i++)
		if (!is_known(scan, &items[i]))
			news[n_news++] = items[i];
	wa_lookup_end(scan);
	if (n_news == 0)
		return;
	WA_ARRAYS_OF(values, columns, news, n_news);
	wa_store_run(&learn_statement, values, NULL);
}
