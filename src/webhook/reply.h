/*
 * reply.h
 *	  Functions of the application that are called when a customer replies.
 */
#ifndef WA_WEBHOOK_REPLY_H
#define WA_WEBHOOK_REPLY_H

/*
 * Calls the handlers for these inbound messages, of those that have one.  Needs an
 * SPI connection as the owner of the tables, and wa_role_settle_deferred() before
 * that.  Returns how many were called; *failed, how many of them went wrong, which
 * is recorded.  Raises only what a repetition of the webhook can cure.
 */
extern int wa_webhook_run_handlers(Oid schema, const int64 *inbound_ids, int n, int *failed);

#endif
