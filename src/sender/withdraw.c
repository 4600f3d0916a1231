/*
 * withdraw.c
 *	  What was leased or handed over, and must not be begun any more.
 *
 * A message may wait for a connection when somebody stops the sending, pauses its number
 * or its tenant, opts out, or sends requests elsewhere.  Then it is withdrawn from the
 * HTTP client, and goes back as never begun.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/guc.h"
#include "graph/request.h"
#include "http/http.h"
#include "sender/consent.h"
#include "sender/receipts.h"
#include "sender/upload.h"
#include "sender/withdraw.h"

static uint64 withdrawn_under; /* the generation of the configuration that was followed */
static bool readdressed;	   /* what has not begun goes to where nothing is to go any more */
static bool unchecked;		   /* opt-outs have come that could not be looked for */

void
wa_withdraw_note_address(WaSender *sender)
{
	static char *address = NULL;
	StringInfoData now;
	bool changed;

	initStringInfo(&now);
	wa_graph_messages_url(&now, wa_guc_graph_url, wa_guc_api_version, "0", false);
	changed = address != NULL && strcmp(address, now.data) != 0;
	if (changed)
		pfree(address);
	if (address == NULL || changed)
		address = MemoryContextStrdup(sender->state_context, now.data);
	pfree(now.data);
	readdressed |= changed;
}

bool
wa_withdraw_is_stopped(const WaJob *job)
{
	return job->number->paused_until != 0 || job->tenant->paused_until != 0 ||
		   !job->tenant->enabled || job->opted_out;
}

bool
wa_withdraw_is_message(const void *tag)
{
	return tag != NULL && !wa_upload_is_tag(tag) && !wa_receipts_is_tag(tag);
}

/* What is leased or handed over, and has not begun. */
typedef struct Unbegun
{
	WaJob **jobs;
	int n;
} Unbegun;

static bool
collect(void *tag, void *arg)
{
	Unbegun *unbegun = arg;

	if (wa_withdraw_is_message(tag))
		unbegun->jobs[unbegun->n++] = tag;
	return true;
}

static void
check_consent(WaSender *sender)
{
	Unbegun unbegun = {0};
	dlist_iter iter;

	unbegun.jobs = palloc(sizeof(WaJob *) * (sender->n_leased + sender->n_in_flight + 1));
	dlist_foreach (iter, &sender->leased)
		unbegun.jobs[unbegun.n++] = dlist_container(WaJob, node, iter.cur);
	wa_http_ask_unbegun(sender->http, collect, &unbegun);
	wa_consent_check(sender, unbegun.jobs, unbegun.n);
	pfree(unbegun.jobs);
}

static bool
may_begin(void *tag, void *arg)
{
	WaSender *sender = arg;
	WaJob *job = tag;

	if (!wa_withdraw_is_message(tag))
		return true;
	job->withdrawn =
		unchecked || readdressed || !wa_sender_may_send(sender) || wa_withdraw_is_stopped(job);
	return !job->withdrawn;
}

/*
 * If the question who wants it has failed, the next turn stops it all instead: its
 * network cannot wait.
 */
void
wa_withdraw_before_network(WaSender *sender)
{
	bool changed = wa_consent_has_changed(sender);

	if (changed && !unchecked)
	{
		unchecked = true;
		check_consent(sender);
		unchecked = false;
	}
	if (!changed && !readdressed && wa_sender_may_send(sender) &&
		withdrawn_under == sender->config_generation)
		return;
	withdrawn_under = sender->config_generation;
	wa_http_ask_unbegun(sender->http, may_begin, sender);
	readdressed = false;
}

void
wa_withdraw_before_submit(WaSender *sender)
{
	unchecked = false;
	wa_withdraw_before_network(sender);
}
