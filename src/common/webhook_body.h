/*
 * webhook_body.h
 *	  What kind of webhook a body is, before anything is made of it.  Pure.
 *
 * The server and whoever hands webhooks to it decide by it what may go
 * together, so it stands once.  Members are found as wa_json_member() finds
 * them: what is said here of a body is what its reader will see.
 */
#ifndef WA_COMMON_WEBHOOK_BODY_H
#define WA_COMMON_WEBHOOK_BODY_H

#include "common/jsonscan.h"

/*
 * The member that a node adds when it passes on what belongs to another one, which
 * then does not pass it on again.  It is signed like the rest.
 */
#define WA_WEBHOOK_BODY_FORWARDED "whatsapp_shared_forwarded"

/* Bytes of the longest plain body. */
#define WA_WEBHOOK_BODY_MAX_PLAIN (256 * 1024)

/*
 * True if it has a few statuses, perhaps with contacts beside them, and nothing
 * else: nothing that runs other people's code, locks more than rows of messages,
 * or is kept as a whole.  Such bodies can be written by the same statements.
 */
extern bool wa_webhook_body_is_plain(const WaJson *json);

/*
 * The same of a single change, whose statuses and contacts are counted into *parts, with
 * one for itself.
 */
extern bool wa_webhook_change_is_plain(const WaJson *json, uint32_t change, int *parts);

/*
 * True if it has messages from customers, which may call a handler of the
 * application: that takes as long as it takes.
 */
extern bool wa_webhook_body_has_messages(const WaJson *json);

#endif
