/*
 * life_cycle.c
 *	  The server log's lines about the installation's life: one for each event.
 *
 * What is written into a table is logged when it is committed, and not if it is rolled
 * back: the lines are kept until the end of the (sub)transaction.  A transaction
 * that is prepared has its lines at that moment, because another session ends it.
 *
 * The callbacks run where nothing may fail any more.  All that could is done before:
 * at the end a line that stands complete in memory is handed over.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/life_cycle.h"
#include "base/quote.h"

PG_FUNCTION_INFO_V1(wa_internal_log_event);

/* Every word; noted: its lines come from events in the table, the others from C. */
static const struct
{
	const char *word;
	bool noted;
} words[] = {
	{"adopted", true}, /* this place is the home of the data from now on */
	{"copy", false},   /* nothing is sent from here */
	{"launcher_start", false}, {"launcher_stop", false},
	{"outage", true},	   /* Meta does not answer */
	{"outage_over", true}, /* it does again */
	{"pause", true},		   {"resume", true},
	{"sender_crash", true}, /* one that did not end in good order */
	{"sender_start", true},	   {"sender_stop", true},
	{"takeover", false}, /* a promoted server begins to send */
};

typedef struct Line
{
	dlist_node node;
	SubTransactionId subid;
	char *text;
} Line;

/* In the memory of the transaction. */
static dlist_head lines = DLIST_STATIC_INIT(lines);

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	dlist_iter iter;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			dlist_foreach (iter, &lines)
				ereport(LOG, (errmsg_internal("%s", dlist_container(Line, node, iter.cur)->text),
							  errhidestmt(true), errhidecontext(true)));
			dlist_init(&lines);
			break;
		case XACT_EVENT_ABORT:
			dlist_init(&lines);
			break;
		default:
			break;
	}
}

static void
at_end_of_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
						 void *arg)
{
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	dlist_foreach_modify (iter, &lines)
	{
		Line *line = dlist_container(Line, node, iter.cur);

		if (line->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			line->subid = parent;
		else
			dlist_delete(&line->node);
	}
}

static bool
is_logged(const char *word)
{
	for (int i = 0; i < lengthof(words); i++)
		if (words[i].noted && strcmp(words[i].word, word) == 0)
			return true;
	return false;
}

static char *
quoted_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? "" : wa_quote_text(PG_GETARG_TEXT_PP(n));
}

/*
 * wa_internal_log_event(word, subject, what, actor).  All but the word may come from
 * outside, so each is cut, and cleaned of what would make another line of it.
 */
Datum
wa_internal_log_event(PG_FUNCTION_ARGS)
{
	static bool registered = false;
	char *word = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *subject = quoted_argument(fcinfo, 1);
	char *what = quoted_argument(fcinfo, 2);
	char *by = quoted_argument(fcinfo, 3);
	MemoryContext old;
	Line *line;

	if (!is_logged(word))
		PG_RETURN_VOID();
	if (!registered)
	{
		RegisterXactCallback(at_end_of_transaction, NULL);
		RegisterSubXactCallback(at_end_of_subtransaction, NULL);
		registered = true;
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	line = palloc(sizeof(Line));
	line->subid = GetCurrentSubTransactionId();
	line->text = psprintf(WA_LIFE_CYCLE("%s") "database \"%s\", %s%s%s%s%s", word,
						  get_database_name(MyDatabaseId), subject, what[0] != '\0' ? ": " : "",
						  what, by[0] != '\0' ? ", by " : "", by);
	MemoryContextSwitchTo(old);
	dlist_push_tail(&lines, &line->node);
	PG_RETURN_VOID();
}
