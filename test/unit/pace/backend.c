/*
 * The little of a server that the pace of a sender needs: memory, hash tables that
 * are searched from end to end, and errors that end the test.
 */
#include "backend.h"

#include "common/hashfn.h"
#include "postmaster/interrupt.h"
#include "sender/pace/pair.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "utils/memutils.h"

/* ---- settings, as they are by default ------------------------------------------------ */

bool wa_guc_enabled = true;
char *wa_guc_phone_number_id = "";
double wa_guc_messages_per_second = 80;
double wa_guc_messaging_limit_share = 1;
int wa_guc_pair_interval = 6000;
int wa_guc_pair_burst = 45;

volatile sig_atomic_t ShutdownRequestPending = false;

uint64
wa_number_key(const char *phone_number_id)
{
	return hash_bytes_extended((const unsigned char *) phone_number_id, strlen(phone_number_id), 0);
}

/* ---- memory: contexts are all the same ------------------------------------------------- */

/* A server frees a context as a whole; here nothing does, and LeakSanitizer need not say so. */
extern int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return 1;
}

MemoryContext TopMemoryContext;
MemoryContext CurrentMemoryContext;

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size minContextSize,
							  Size initBlockSize, Size maxBlockSize)
{
	return NULL;
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return palloc(size);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return palloc0(size);
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	return palloc0(size);
}

/* ---- hash tables ------------------------------------------------------------------------ */

struct HTAB
{
	Size key_size;
	Size entry_size;
	void **entries; /* NULL where one was removed */
	uint32 end;
	long n;
};

HTAB *
hash_create(const char *name, long nelem, const HASHCTL *info, int flags)
{
	HTAB *table = palloc0(sizeof(HTAB));

	table->key_size = info->keysize;
	table->entry_size = info->entrysize;
	return table;
}

void *
hash_search(HTAB *table, const void *key, HASHACTION action, bool *found)
{
	void *entry = NULL;
	uint32 i = 0;

	while (i < table->end &&
		   (table->entries[i] == NULL || memcmp(table->entries[i], key, table->key_size) != 0))
		i++;
	if (i < table->end)
		entry = table->entries[i];
	if (found != NULL)
		*found = entry != NULL;
	if (action == HASH_ENTER && entry == NULL)
	{
		table->entries = realloc(table->entries, sizeof(void *) * (table->end + 1));
		entry = palloc0(table->entry_size);
		memcpy(entry, key, table->key_size);
		table->entries[table->end++] = entry;
		table->n++;
	}
	if (action == HASH_REMOVE && entry != NULL)
	{
		pfree(entry);
		table->entries[i] = NULL;
		table->n--;
	}
	return entry;
}

long
hash_get_num_entries(HTAB *table)
{
	return table->n;
}

void
hash_seq_init(HASH_SEQ_STATUS *status, HTAB *table)
{
	status->hashp = table;
	status->curBucket = 0;
}

void *
hash_seq_search(HASH_SEQ_STATUS *status)
{
	while (status->curBucket < status->hashp->end)
		if (status->hashp->entries[status->curBucket++] != NULL)
			return status->hashp->entries[status->curBucket - 1];
	return NULL;
}

void
hash_seq_term(HASH_SEQ_STATUS *status)
{
}

/* ---- errors ------------------------------------------------------------------------------ */

bool
errstart(int elevel, const char *domain)
{
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return true;
}

int
errcode(int sqlerrcode)
{
	return 0;
}

int
errmsg(const char *fmt, ...)
{
	fprintf(stderr, "%s\n", fmt);
	return 0;
}

int
errmsg_internal(const char *fmt, ...)
{
	fprintf(stderr, "%s\n", fmt);
	return 0;
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	abort();
}

/* ---- what the tests begin with ------------------------------------------------------------ */

void
at(int64 us)
{
	wa_clock_set(START + us, WALL + START + us);
}

WaSender *
new_sender(void)
{
	static WaSenderSlot slot;
	WaSender *sender;
	WaTenant *tenant;

	at(0);
	slot.nsenders = 1;
	sender = wa_sender_create(&slot, 1);
	sender->pairs = wa_pairs_create(sender->state_context);
	wa_number_set_rate(wa_number_get(&sender->numbers, NUMBER), 80);
	tenant = wa_sender_tenant_get(sender, TENANT);
	tenant->enabled = true;
	strlcpy(tenant->phone_number_id, NUMBER, sizeof(tenant->phone_number_id));
	return sender;
}

WaClaimRow
row_to(const char *recipient, int64 message_id)
{
	return (WaClaimRow){.message_id = message_id,
						.rank = WALL + message_id,
						.due_at = WALL + message_id,
						.phone_number_id = NUMBER,
						.tenant_id = TENANT,
						.recipient_phone = recipient,
						.message_type = "text"};
}
