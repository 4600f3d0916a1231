/*
 * receipt_rows.h
 *	  Messages of customers that are to be marked as read: whatsapp_read_receipts.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  Rows that
 * somebody has locked are passed by.
 */
#ifndef WA_SENDER_STORE_RECEIPT_ROWS_H
#define WA_SENDER_STORE_RECEIPT_ROWS_H

#include "datatype/timestamp.h"

/* One that is due.  Its strings live until the transaction ends. */
typedef struct WaReceiptRow
{
	int64 receipt_id;
	const char *phone_number_id;
	const char *whatsapp_message_id;
	bool typing;
	int attempts;  /* with the one that begins now */
	int64 last_id; /* what it stands for ends here */
} WaReceiptRow;

/* The next one, of a number other than these, and counts its attempt; false: none. */
extern bool wa_store_next_receipt(const char *const *busy_numbers, int n, WaReceiptRow *row);

/* When the next one will be due; DT_NOEND: none. */
extern TimestampTz wa_store_next_receipt_time(void);

/* It goes, with what it stood for; only its ids are looked at. */
extern void wa_store_receipt_done(const WaReceiptRow *row);

/* Deletes what is a day old. */
extern void wa_store_clean_receipts(void);

#endif
