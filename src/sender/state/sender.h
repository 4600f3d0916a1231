/*
 * sender.h
 *	  What a sender remembers between cycles: numbers with their cursors and
 *	  buckets, tenants, pauses, recipients, and what is on the wire.
 *
 * All of it can be rebuilt from the tables; none of it survives the process.
 */
#ifndef WA_SENDER_STATE_SENDER_H
#define WA_SENDER_STATE_SENDER_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "storage/itemptr.h"
#include "utils/hsearch.h"

#include "common/clock.h"
#include "common/limiter.h"
#include "graph/response.h"
#include "sender/state/number.h"

struct WaHttp;
typedef struct WaPairs WaPairs;
struct WaSenderSlot;
struct WaWaiting;

typedef struct WaTenant
{
	uint64 key; /* hash of tenant_id */
	bool enabled;
	bool marketing_api; /* its marketing templates go there */
	bool takes_over;	/* its messages take over conversations that others have */
	bool has_rate;
	WaBucket bucket;		  /* its own rate, if has_rate */
	int64 next_deferral_us;	  /* last turn given to a message over that rate */
	int64 next_return_us;	  /* ... to one that had had a turn */
	int64 deferred_id;		  /* the latest message that was given one */
	TimestampTz paused_until; /* 0: not paused */
	bool listed;			  /* it has a row; else it is only in somebody's history */
	double daily_share;		  /* of the messaging limit; below 0: it has none of its own */
	int64 reach_used;		  /* recipients of the last 24 hours: sender/pace/messaging_limit.c */
	double reach_guaranteed;  /* of them in any case */
	char phone_number_id[WA_NUMBER_SIZE]; /* "" if none */
} WaTenant;

/* A lease of ours, until the last of its requests is settled. */
typedef struct WaLease
{
	int64 lease_id;
	int outstanding;  /* requests not yet settled */
	int settling;	  /* of these, in the settlement being written */
	int64 written_us; /* when, by both clocks: sender/begin.c */
	TimestampTz written_at;
	XLogRecPtr commit_end; /* to be asked for at the standbys; invalid: it is there */
} WaLease;

typedef enum WaTrackedAs
{
	WA_TRACKED_IN_FLIGHT,
	WA_TRACKED_WAITING, /* in its recipient's list */
	WA_TRACKED_AGAIN,	/* in its number's list of those to be claimed by id */
	WA_TRACKED_ASKED	/* being claimed by id now */
} WaTrackedAs;

/* Messages that must not be claimed by the cursor, by id. */
typedef struct WaTracked
{
	int64 message_id; /* hash key */
	WaTrackedAs as;
	struct WaWaiting *waiting; /* sender/pace/pair_waiting.h; NULL: it is in flight */
} WaTracked;

/* A request, from its lease to its settlement. */
typedef struct WaJob
{
	dlist_node node; /* claiming, leased, in flight by start, finished, or aside */
	int64 message_id;
	ItemPointerData queue_tid; /* where its two rows were when it was claimed */
	ItemPointerData message_tid;
	int64 rank;
	TimestampTz due_at;
	int attempt;
	int attempts_before;
	WaNumber *number;
	WaLease *lease;
	char *body; /* of the request, until it is submitted */
	size_t body_len;
	uint64 pair_key;
	int64 started_us;
	TimestampTz started_at;
	TimestampTz finished_at;
	int64 finished_us;
	bool marked_sending;
	bool holds_token;	   /* of its number's rate: it has not left yet */
	bool opted_out;		   /* since its lease; seen before it was begun */
	bool reaches;		   /* its recipient counts for the messaging limit from now on */
	bool withdrawn;		   /* put back before it was begun */
	bool marketing;		   /* it goes to the Marketing Messages API */
	bool probe;			   /* sent to find out whether its number, or the host, answers */
	int64 settle_after_us; /* set aside: not to be settled before */
	int64 aside_us;		   /* for how long it was the last time; 0: never */
	bool alone;			   /* to be settled by itself: sender/aside.c */
	WaOutcome *outcome;	   /* once it is finished */
	WaTenant *tenant;
	char *template_key; /* "name/language", or NULL; points into strings */
	char strings[FLEXIBLE_ARRAY_MEMBER];
} WaJob;

/*
 * What the files of a sender share.  What one of them alone keeps between cycles
 * stands in that file.
 */
typedef struct WaSender
{
	struct WaSenderSlot *slot;
	int index;
	int nsenders;
	uint64 generation;

	/* memory: state lives as long as the process, cycle is reset each cycle */
	MemoryContext state_context;
	MemoryContext cycle_context;

	/* configuration, reloaded when config_generation changes: sender/config.c */
	uint64 config_generation;
	uint32 config_changed; /* WaConfigKind: what is to be read yet */
	bool config_loaded;
	char installation_id[16];
	bool at_home; /* this data belongs to this cluster and database */
	WaNumbers numbers;
	HTAB *tenants;					  /* WaTenant */
	HTAB *paused_templates;			  /* uint64: keys of names and languages */
	TimestampTz account_paused_until; /* 0: not paused */
	TimestampTz next_pause_end;		  /* DT_NOEND: none */
	bool default_number_taken;		  /* a tenant has it: it sends for nobody else */
	int reach_limit;				  /* recipients per 24 hours for all tenants; 0: no limit */

	/* the wire */
	struct WaHttp *http;
	bool has_token;
	bool token_rotated;	  /* since the last upkeep */
	bool reopen;		  /* the HTTP client's settings have changed */
	int concurrency;	  /* requests in flight allowed now */
	int ahead;			  /* and further ones leased already, to follow at once */
	dlist_head leased;	  /* WaJob to be submitted next */
	dlist_head in_flight; /* WaJob by started_us */
	dlist_head finished;  /* WaJob waiting for settlement */
	dlist_head aside;	  /* WaJob whose settlement is put off: sender/aside.c */
	int n_leased;
	int n_in_flight;
	int n_draining; /* of these, and of uploads, begun before the last reload of settings */
	int n_finished;
	int n_aside;
	char api_version_seen[16]; /* that differs from ours; "" if none */

	/* recipients */
	HTAB *tracked; /* WaTracked */
	WaPairs *pairs;
	int n_waiting; /* in the lists of all recipients */

	/* upkeep */
	TimestampTz next_due; /* earliest deferred row known; DT_NOEND: none */
	TimestampTz told_due; /* the same, of those that commits have told of since the last look */
	TimestampTz next_expiry;
	int64 next_sweep_us;
	bool stopping;
} WaSender;

/* Without recipients: see wa_pairs_create. */
extern WaSender *wa_sender_create(struct WaSenderSlot *slot, uint64 generation);

/* NULL if it is not known; or made then, disabled. */
extern WaTenant *wa_sender_tenant(WaSender *sender, const char *tenant_id);
extern WaTenant *wa_sender_tenant_get(WaSender *sender, const char *tenant_id);

/* Nobody has stopped all messages, and what sending needs is there. */
extern bool wa_sender_may_send(const WaSender *sender);

/* A template is paused in one language or, where that is NULL, in all. */
extern void wa_sender_pause_template(WaSender *sender, const char *name, const char *language);
extern void wa_sender_resume_templates(WaSender *sender);
extern bool wa_sender_template_paused(WaSender *sender, const char *name, const char *language);

/* NULL: it is not tracked. */
extern const WaTracked *wa_sender_tracked(WaSender *sender, int64 message_id);
extern void wa_sender_track(WaSender *sender, int64 message_id, WaTrackedAs as,
							struct WaWaiting *waiting);
extern void wa_sender_untrack(WaSender *sender, int64 message_id);

/* Requests that count for the limits: not those that drain. */
static inline int
wa_sender_on_the_wire(const WaSender *sender)
{
	return Max(sender->n_in_flight - sender->n_draining, 0);
}

/* The shorter of two waits in milliseconds, of which -1 never ends. */
static inline long
wa_sooner_ms(long a, long b)
{
	return a < 0 ? b : (b < 0 ? a : Min(a, b));
}

/* What to wait after an ERROR: longer with each in a row, from 0.1 to 10 seconds. */
static inline long
wa_error_delay_ms(int errors)
{
	return Min(100L << Min(errors, 10), 10000L);
}

extern uint64 wa_hash_text(const char *text, uint64 seed);

#endif
