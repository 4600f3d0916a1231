/*
 * webhook.h
 *	  One webhook on its way into the tables: what the webhook*.c files share.
 *
 * Not for others; they know wa_webhook_ingest() in SQL.
 */
#ifndef WA_WEBHOOK_WEBHOOK_H
#define WA_WEBHOOK_WEBHOOK_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#include "base/owner.h"
#include "common/jsonscan.h"

/* What became of the items of one kind. */
typedef struct WaWebhookCounts
{
	int applied;   /* changed a row */
	int duplicate; /* said nothing new */
	int parked;	   /* stored in whatsapp_parked_events */
	int foreign;   /* about another installation's messages */
} WaWebhookCounts;

typedef enum WaWebhookKind
{
	WA_WEBHOOK_STATUS,
	WA_WEBHOOK_MESSAGE,
	WA_WEBHOOK_EVENT /* everything else, whole changes and entries included */
} WaWebhookKind;

#define WA_WEBHOOK_KINDS 3

/* An item that cannot be used now.  Strings must live until it is written. */
typedef struct WaParked
{
	const char *what; /* value of whatsapp_parked_events.kind */
	const char *reason;
	const char *phone_number_id; /* or NULL */
	const char *wamid;			 /* or NULL */
	int64 message_id;			 /* or 0 */
	const char *event;			 /* JSON text, not terminated */
	size_t len;
} WaParked;

typedef struct WaStatus WaStatus;
typedef struct WaStatusList WaStatusList;
typedef struct WaConsequences WaConsequences;
typedef struct WaContactList WaContactList;
typedef struct WaInboundList WaInboundList;
typedef struct WaEventList WaEventList;
typedef struct WaPreferenceList WaPreferenceList;
typedef struct WaTraffic WaTraffic;

/*
 * State of one call.  Everything is allocated in the caller's memory context,
 * which ends with the call.
 */
typedef struct WaWebhook
{
	WaOwner owner;
	Oid schema; /* the owner's, for short */
	int guc_level;
	TimestampTz now;
	const WaJson *json;
	WaWebhookCounts counts[WA_WEBHOOK_KINDS];

	WaParked *parked;
	int nparked;
	int parked_room;

	WaStatusList *statuses;
	WaConsequences *consequences;
	WaContactList *contacts;
	WaInboundList *inbound;
	WaEventList *events;
	WaPreferenceList *preferences;
	WaTraffic *traffic;
	int64 *replies; /* inbound_id of new ones */
	int nreplies;
	int64 *matched; /* parked_id of statuses that have been used after all */
	int nmatched;
} WaWebhook;

/*
 * webhook/ingest.c: begin, read items, write, end.  Between begin and end it has an
 * SPI connection, and what is allocated is freed at the end.
 */
extern void wa_webhook_begin(WaWebhook *webhook, FunctionCallInfo fcinfo);
extern void wa_webhook_write(WaWebhook *webhook);
extern void wa_webhook_end(WaWebhook *webhook);

/* webhook/park.c */
extern void wa_webhook_park(WaWebhook *webhook, WaWebhookKind kind, const WaParked *parked);
extern void wa_webhook_park_node(WaWebhook *webhook, WaWebhookKind kind, const char *what,
								 uint32 node, const char *phone_number_id, const char *reason);
extern void wa_webhook_park_body(WaWebhook *webhook, const char *body, size_t len,
								 const char *reason);
extern void wa_webhook_write_parked(WaWebhook *webhook);

/* webhook/status.c, webhook/group.c, webhook/apply.c: first all are read, then applied at once */
extern void wa_webhook_begin_statuses(WaWebhook *webhook);
extern void wa_webhook_read_status(WaWebhook *webhook, uint32 item, const char *phone_number_id);
extern void wa_webhook_apply_statuses(WaWebhook *webhook);

/* webhook/rematch.c */
extern void wa_webhook_read_parked(WaWebhook *webhook, int limit);
extern void wa_webhook_forget_matched(WaWebhook *webhook);

/* webhook/consequence.c: what follows from statuses beyond their message */
extern void wa_webhook_note_failure(WaWebhook *webhook, const WaStatus *status);
extern void wa_webhook_note_duplicate(WaWebhook *webhook, const WaStatus *status);
extern void wa_webhook_note_late(WaWebhook *webhook, const WaStatus *status);
extern void wa_webhook_draw_consequences(WaWebhook *webhook);

/* webhook/contact.c: who customers are; "wrote": it is they who did something */
extern void wa_webhook_read_contacts(WaWebhook *webhook, uint32 value, bool wrote);
extern void wa_webhook_read_recipient(WaWebhook *webhook, uint32 status);
extern void wa_webhook_store_contacts(WaWebhook *webhook);

/* webhook/inbound.c: messages from customers */
extern void wa_webhook_read_message(WaWebhook *webhook, uint32 item, const char *phone_number_id);
extern void wa_webhook_store_inbound(WaWebhook *webhook);

/* webhook/preference.c: the field "user_preferences" */
extern void wa_webhook_read_preference(WaWebhook *webhook, uint32 item,
									   const char *phone_number_id);
extern void wa_webhook_store_preferences(WaWebhook *webhook);

/* webhook/event.c: all other fields */
extern void wa_webhook_read_event(WaWebhook *webhook, uint32 entry, uint32 change);
extern void wa_webhook_apply_events(WaWebhook *webhook);

/* webhook/traffic.c: that something came, and how much of it */
extern void wa_webhook_note_traffic(WaWebhook *webhook, const char *phone_number_id, int statuses,
									int messages);
extern void wa_webhook_write_traffic(WaWebhook *webhook);

/* webhook/reply.c: functions of the application that wait for replies */
extern int wa_webhook_run_handlers(Oid schema, const int64 *inbound_ids, int n, int *failed);

/* Strings of the document as palloc'd C strings; NULL if absent, empty or longer than max. */
extern char *wa_webhook_string(const WaWebhook *webhook, uint32 object, const char *name,
							   size_t max);
/* The same, cut off at max bytes. */
extern char *wa_webhook_clipped(const WaWebhook *webhook, uint32 object, const char *name,
								size_t max);
/* A customer's number in digits alone, or NULL. */
extern char *wa_webhook_wa_id(const WaWebhook *webhook, uint32 object, const char *name);
extern bool wa_webhook_time(const WaWebhook *webhook, uint32 object, const char *name,
							TimestampTz *at);

/*
 * A list has items, of which there are count, and room for so many: an array of
 * elements of this size with room for one more.
 */
extern void *wa_webhook_make_room(void *items, int count, int *room, size_t size);

/* One member of all its items as an SQL array: texts (or NULL), times (or 0). */
extern Datum wa_webhook_texts(const void *items, int count, size_t size, size_t offset);
extern Datum wa_webhook_times(const void *items, int count, size_t size, size_t offset);

#define WA_WEBHOOK_TEXTS(list, type, member)                                                       \
	wa_webhook_texts((list)->items, (list)->count, sizeof(type), offsetof(type, member))
#define WA_WEBHOOK_TIMES(list, type, member)                                                       \
	wa_webhook_times((list)->items, (list)->count, sizeof(type), offsetof(type, member))

#endif
