/*
 * sender.c
 *	  What a sender remembers between cycles.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "sender/state/sender.h"
#include "shared/shmem.h"

/* Blocks that grow no further: jobs come and go, and half of a large block would stay empty. */
#define STATE_BLOCKS 0, 8 * 1024, 64 * 1024

uint64
wa_hash_text(const char *text, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), seed);
}

static HTAB *
make_table(const char *name, MemoryContext context, Size entry_size, long n)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(uint64);
	ctl.entrysize = entry_size;
	ctl.hcxt = context;
	return hash_create(name, n, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

WaSender *
wa_sender_create(WaSenderSlot *slot, uint64 generation)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "whatsapp_shared sender", STATE_BLOCKS);
	WaSender *sender = MemoryContextAllocZero(context, sizeof(WaSender));
	MemoryContext old = MemoryContextSwitchTo(context);

	sender->state_context = context;
	sender->cycle_context =
		AllocSetContextCreate(context, "whatsapp_shared cycle", ALLOCSET_DEFAULT_SIZES);
	sender->slot = slot;
	sender->index = slot->index;
	sender->nsenders = slot->nsenders;
	sender->generation = generation;
	wa_numbers_init(&sender->numbers, context, sender->index, sender->nsenders);
	sender->tenants = make_table("whatsapp_shared tenants", context, sizeof(WaTenant), 1024);
	sender->paused_templates =
		make_table("whatsapp_shared paused templates", context, sizeof(uint64), 16);
	sender->tracked = make_table("whatsapp_shared tracked", context, sizeof(WaTracked), 2048);
	dlist_init(&sender->leased);
	dlist_init(&sender->in_flight);
	dlist_init(&sender->finished);
	dlist_init(&sender->aside);
	sender->next_due = DT_NOEND;
	sender->told_due = DT_NOEND;
	sender->next_expiry = DT_NOEND;
	MemoryContextSwitchTo(old);
	return sender;
}

WaTenant *
wa_sender_tenant(WaSender *sender, const char *tenant_id)
{
	uint64 key = wa_hash_text(tenant_id, 0);

	return hash_search(sender->tenants, &key, HASH_FIND, NULL);
}

WaTenant *
wa_sender_tenant_get(WaSender *sender, const char *tenant_id)
{
	uint64 key = wa_hash_text(tenant_id, 0);
	bool found;
	WaTenant *tenant = hash_search(sender->tenants, &key, HASH_ENTER, &found);

	if (!found)
	{
		memset(tenant, 0, sizeof(WaTenant));
		tenant->key = key;
	}
	return tenant;
}

bool
wa_sender_may_send(const WaSender *sender)
{
	return wa_guc_enabled && sender->has_token && sender->at_home &&
		   sender->account_paused_until == 0 && !sender->stopping && !ShutdownRequestPending;
}

static uint64
template_key(const char *name, const char *language)
{
	return wa_hash_text(name, language == NULL ? 0 : wa_hash_text(language, 1));
}

void
wa_sender_pause_template(WaSender *sender, const char *name, const char *language)
{
	uint64 key = template_key(name, language);

	hash_search(sender->paused_templates, &key, HASH_ENTER, NULL);
}

void
wa_sender_resume_templates(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	uint64 *key;

	hash_seq_init(&scan, sender->paused_templates);
	while ((key = hash_seq_search(&scan)) != NULL)
		hash_search(sender->paused_templates, key, HASH_REMOVE, NULL);
}

bool
wa_sender_template_paused(WaSender *sender, const char *name, const char *language)
{
	uint64 exact = template_key(name, language);
	uint64 all = template_key(name, NULL);

	if (hash_get_num_entries(sender->paused_templates) == 0)
		return false;
	return hash_search(sender->paused_templates, &exact, HASH_FIND, NULL) != NULL ||
		   hash_search(sender->paused_templates, &all, HASH_FIND, NULL) != NULL;
}

const WaTracked *
wa_sender_tracked(WaSender *sender, int64 message_id)
{
	return hash_search(sender->tracked, &message_id, HASH_FIND, NULL);
}

void
wa_sender_track(WaSender *sender, int64 message_id, WaTrackedAs as, struct WaWaiting *waiting)
{
	WaTracked *tracked = hash_search(sender->tracked, &message_id, HASH_ENTER, NULL);

	tracked->as = as;
	tracked->waiting = waiting;
}

void
wa_sender_untrack(WaSender *sender, int64 message_id)
{
	hash_search(sender->tracked, &message_id, HASH_REMOVE, NULL);
}
