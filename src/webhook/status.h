/*
 * status.h
 *	  What Meta says of one message: read, and merged with what else it says.
 */
#ifndef WA_WEBHOOK_STATUS_H
#define WA_WEBHOOK_STATUS_H

#include "webhook/webhook.h"

typedef enum WaStatusKind
{
	WA_STATUS_SENT,
	WA_STATUS_DELIVERED,
	WA_STATUS_READ,
	WA_STATUS_PLAYED,
	WA_STATUS_FAILED
} WaStatusKind;

#define WA_STATUS_KINDS 5

#define WA_STATUS_NO_ATTEMPT (-1)
#define WA_STATUS_NO_ERROR PG_INT32_MAX

/*
 * One status, or several of one wamid merged: of each kind the earliest time,
 * 0 for none.  Merging is commutative, associative and idempotent, which is
 * what makes the order in which webhooks arrive irrelevant.
 */
typedef struct WaStatus
{
	WaWebhookBody *body; /* that has it */
	int64 message_id;	 /* from our own data, or looked up; 0: unknown */
	int64 parked_id;	 /* of whatsapp_parked_events, if it was unmatched before, or 0 */
	int attempt;		 /* WA_STATUS_NO_ATTEMPT: unknown */
	bool foreign;		 /* another installation's message, by its data */
	const char *wamid;
	const char *phone_number_id;
	const char *recipient_wa_id; /* or NULL */
	const char *recipient_user_id;
	const char *told_phone; /* whom it is about, if that may be news: with "+", or NULL */
	const char *told_user_id;
	TimestampTz at[WA_STATUS_KINDS];
	int error_code;			   /* of the earliest failure, or WA_STATUS_NO_ERROR */
	const char *error_message; /* or NULL */
	const char *errors;		   /* all of them, as JSON text, or NULL */
	const char *category;	   /* pricing, or NULL */
	const char *pricing_type;
	const char *pricing_model;
	int billable;					  /* -1: not told */
	const char *conversation_id;	  /* or NULL */
	const char *conversation_origin;  /* or NULL */
	TimestampTz conversation_ends_at; /* or 0 */
	const char *event;				  /* the item's JSON text */
	size_t event_len;
	int place;	   /* in the list, as it was read */
	bool repeated; /* said nothing that others of its wamid before it had not said */
} WaStatus;

/* Takes one item of statuses[] into the list, or rejects it. */
extern void wa_webhook_read_status(WaWebhook *webhook, uint32 item, const char *phone_number_id);

/* Adds what another status of the same wamid says.  False if that is nothing new. */
extern bool wa_status_merge(WaStatus *into, const WaStatus *from);
/* The earliest time of all: by then Meta had accepted the message. */
extern TimestampTz wa_status_first_at(const WaStatus *status);
extern bool wa_status_proves_delivery(const WaStatus *status);

#endif
