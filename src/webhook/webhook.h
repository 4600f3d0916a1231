/*
 * webhook.h
 *	  One webhook on its way into the tables: what its parts share.
 *
 * Structs only.  Each file has a header of its own for what it does with them.
 * Not for others; they know wa_webhook_ingest() in SQL.
 */
#ifndef WA_WEBHOOK_WEBHOOK_H
#define WA_WEBHOOK_WEBHOOK_H

#include "datatype/timestamp.h"

#include "common/jsonscan.h"

/* What became of the items of one kind. */
typedef struct WaWebhookCounts
{
	int applied;   /* changed a row */
	int duplicate; /* said nothing new */
	int parked;	   /* stored in whatsapp_parked_events */
	int ignored;   /* of a kind that is known, and recorded: nothing follows from it */
	int foreign;   /* about another account, or another installation's messages */
} WaWebhookCounts;

typedef enum WaWebhookKind
{
	WA_WEBHOOK_STATUS,
	WA_WEBHOOK_MESSAGE,
	WA_WEBHOOK_EVENT /* everything else, whole changes and entries included */
} WaWebhookKind;

#define WA_WEBHOOK_KINDS 3

/* Items of one kind, of a type that the file which collects them knows. */
typedef struct WaWebhookList
{
	void *items;
	int count;
	int room;
} WaWebhookList;

/* What has been read of one body, each bounded; see webhook/field.h. */
typedef enum WaWebhookPart
{
	WA_WEBHOOK_ENTRIES,
	WA_WEBHOOK_CHANGES,
	WA_WEBHOOK_ITEMS, /* statuses, messages, preferences */
	WA_WEBHOOK_CONTACTS,
	WA_WEBHOOK_REJECTED /* stored one by one */
} WaWebhookPart;

#define WA_WEBHOOK_PARTS 5

/* One body: its bounds while it is read, and what became of its items. */
typedef struct WaWebhookBody
{
	WaWebhookCounts counts[WA_WEBHOOK_KINDS];
	int seen[WA_WEBHOOK_PARTS];
	int too_old;		   /* items that are recorded, and not acted upon */
	int forwarded;		   /* changes that are passed on to other nodes, each once for each */
	const char *keep_body; /* why it is stored as a whole; NULL: it is not */
} WaWebhookBody;

/*
 * State of one call, for one body or for several whose items are written together.
 * Everything is allocated in the memory context of the SPI connection, and ends with
 * it; bodies are the caller's.
 */
typedef struct WaWebhook
{
	Oid schema;
	TimestampTz now;
	WaWebhookBody *body; /* that is being read, and the only one if it is not plain */
	const WaJson *json;	 /* the same */

	/* what has been read, and is not written yet */
	WaWebhookList statuses;
	WaWebhookList consequences;
	WaWebhookList refused; /* messages whose recipients want no more */
	WaWebhookList learned; /* other forms of recipients */
	WaWebhookList contacts;
	WaWebhookList changes; /* of customers' identities */
	WaWebhookList persons; /* who has done something, in any form */
	WaWebhookList inbound;
	WaWebhookList handovers; /* of conversations */
	WaWebhookList events;
	WaWebhookList preferences;
	WaWebhookList parked;
	WaWebhookList forwards; /* to other nodes */
	WaWebhookList traffic;

	/* of the change that is being read */
	uint32 sole_contact; /* the one beside its items; or none, or several: WA_JSON_NONE */
	WaWebhookList said;	 /* who its items are about, and when */
	TimestampTz said_at; /* the latest of these times, or 0 */
	int first_change;	 /* of its own in "changes" */

	bool has_nodes;		 /* there are other nodes */
	bool was_forwarded;	 /* another node has passed on what is being read */
	WaWebhookList homes; /* of the numbers that have been looked up: webhook/forward.c */

	bool standby;		   /* what is being read belongs to a conversation that another one has */
	TimestampTz parked_at; /* when the item came that is being read again, or 0 */
	bool may_be_slow;	   /* a handler may be called: nobody else's rows should be locked */
	bool looks_again;	   /* for the messages of what came before they were known */
	int parked_words;	   /* items just parked in which a customer may say something */

	char installation[16]; /* in the data of statuses that are ours */
	int64 parked_id;	   /* of the unmatched status that is being read again, or 0 */
	int64 *matched;		   /* parked_id of those that have been used after all */
	int nmatched;

	int64 *replies; /* inbound_id of new ones */
	int nreplies;
} WaWebhook;

#endif
