/*
 * http_client.h
 *	  What a sender's requests go through, as the settings want it.
 */
#ifndef WA_SENDER_HTTP_CLIENT_H
#define WA_SENDER_HTTP_CLIENT_H

#include "sender/state/sender.h"

/* Opens it; changes its settings while it is in use; closes it.  The former two raise. */
extern void wa_http_client_open(WaSender *sender);
extern void wa_http_client_reopen(WaSender *sender);
extern void wa_http_client_close(WaSender *sender);

/* After a reload: whether it has to be told, in sender->reopen. */
extern void wa_http_client_check_settings(WaSender *sender);

/* How many requests it is to have under way at the most. */
extern int wa_http_client_most(void);

/* Besides the messages there are uploads and what is read from Meta. */
extern bool wa_http_client_has_room(const WaSender *sender);

/* Follows a rotated token. */
extern void wa_http_client_refresh_token(WaSender *sender);

#endif
