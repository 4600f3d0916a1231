/*
 * fetch_rows.h
 *	  Files of customers to be fetched: whatsapp_inbound_media.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  What happens
 * to the rows is in the SQL functions that are called here (sql/79-inbound-media.sql).
 */
#ifndef WA_SENDER_STORE_FETCH_ROWS_H
#define WA_SENDER_STORE_FETCH_ROWS_H

#include "datatype/timestamp.h"

/* A file that is due.  Its strings live until the transaction ends. */
typedef struct WaFetchRow
{
	int64 inbound_id;
	const char *phone_number_id;
	const char *media_id;
	int attempts; /* with the one that begins now */
} WaFetchRow;

typedef struct WaFetchFailure
{
	int64 inbound_id;
	const char *verdict; /* wanted: it is tried again; failed; skipped */
	const char *reason;
	int64 size;	 /* that was announced; -1: none was */
	bool counts; /* as an attempt */
	int64 delay_ms;
} WaFetchFailure;

/*
 * The next file that is due, of a number other than the busy ones, those after "last"
 * first; and counts its attempt.  Until its back-off, whose first and longest delay are
 * given, it is not due again.  False if there is none.
 */
extern bool wa_store_next_fetch(const char *const *busy, int n, const char *last, int delay_ms,
								int max_delay_ms, WaFetchRow *row);

/* When the next one will be due; DT_NOEND: none. */
extern TimestampTz wa_store_next_fetch_time(void);

/* Bytes of it from there on; all before them are stored already. */
extern void wa_store_file_piece(int64 inbound_id, size_t from_byte, const char *bytes, size_t n);

/* All of its bytes are; their SHA-256 in hexadecimal digits. */
extern void wa_store_fetched(int64 inbound_id, size_t size, const char *sha256,
							 const char *mime_type);
extern void wa_store_fetch_failed(const WaFetchFailure *failure);

#endif
