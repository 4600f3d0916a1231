/*
 * request.h
 *	  Builds requests to the Cloud API.  Pure: knows nothing of curl or SQL.
 */
#ifndef WA_GRAPH_REQUEST_H
#define WA_GRAPH_REQUEST_H

#include "lib/stringinfo.h"

typedef struct WaGraphMessage
{
	const char *recipient_phone;   /* E.164 with +, or NULL */
	const char *recipient_user_id; /* business-scoped user id, used if there is no phone */
	const char *type;
	const char *payload;			/* JSON text of the type's object */
	const char *context_message_id; /* wamid replied to, or NULL */
	const char *opaque;				/* biz_opaque_callback_data */
} WaGraphMessage;

extern void wa_graph_messages_url(StringInfo out, const char *graph_url, const char *api_version,
								  const char *phone_number_id, bool marketing);
extern void wa_graph_read_receipt_body(StringInfo out, const char *wamid, bool typing);
extern void wa_graph_message_body(StringInfo out, const WaGraphMessage *message);

#endif
