/*
 * list.h
 *	  Transfers by state: each is in the list of its own.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_LIST_H
#define WA_HTTP_LIST_H

#include "http/transfer.h"

typedef struct WaTransferList
{
	WaTransfer *head; /* longest in this state */
	WaTransfer *tail;
	int count;
} WaTransferList;

/* "lists" has WA_TRANSFER_STATES elements. */
extern void wa_transfer_list_append(WaTransferList *lists, WaTransfer *t, WaTransferState state);
extern void wa_transfer_list_remove(WaTransferList *lists, WaTransfer *t);
extern void wa_transfer_list_move(WaTransferList *lists, WaTransfer *t, WaTransferState state);

#endif
