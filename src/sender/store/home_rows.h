/*
 * home_rows.h
 *	  Whether the data of this database is at home, as its tables say.
 */
#ifndef WA_SENDER_STORE_HOME_ROWS_H
#define WA_SENDER_STORE_HOME_ROWS_H

#include "c.h"

typedef struct WaHomeRow
{
	char installation_id[16];
	char doubt[256]; /* a sentence, clipped; "" if it is at home */
	bool copied;	 /* all that is wrong is the data directory */
	Oid table;		 /* whatsapp_home */
	Oid queue;		 /* whatsapp_queue, whose triggers count, too */
} WaHomeRow;

/* In a transaction (sender/store/transaction.h). */
extern void wa_store_read_home(WaHomeRow *home);

/* In a transaction: this data directory takes the place of the one it was copied from. */
extern void wa_store_take_over(void);

/* In a transaction: the numbers of tenants, as keys, palloc'd; returns how many. */
extern int wa_store_tenants_numbers(uint64 **keys);

#endif
