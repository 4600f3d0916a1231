/*
 * upload_rows.h
 *	  Files to be uploaded: whatsapp_media.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  What
 * happens to the rows, and to the messages that wait for them, is in the SQL
 * functions that are called here (sql/55-media.sql).
 */
#ifndef WA_SENDER_STORE_UPLOAD_ROWS_H
#define WA_SENDER_STORE_UPLOAD_ROWS_H

#include "datatype/timestamp.h"

/* A file that is due.  Its bytes and strings live until the transaction ends. */
typedef struct WaUploadRow
{
	int64 id;
	const char *phone_number_id;
	const char *mime_type;
	const char *filename; /* or NULL */
	const char *content;
	size_t size;
	int attempts; /* with the one that begins now */
} WaUploadRow;

typedef struct WaUploadFailure
{
	int64 id;
	int code; /* Meta's, or 0 */
	const char *message;
	bool for_good; /* it is not to be tried again */
	bool counts;   /* as an attempt of this file */
	int64 delay_ms;
} WaUploadFailure;

/* Decides which files are needed by whom; to be called before wa_store_next_upload. */
extern void wa_store_settle_uploads(void);

/*
 * The next file that is due, of a number other than these, and counts its attempt;
 * until its back-off, whose first and longest delay are given, it is not due again.
 * False if there is none.
 */
extern bool wa_store_next_upload(const char *const *busy_numbers, int n, int delay_ms,
								 int max_delay_ms, WaUploadRow *row);

/* When the next one will be due; DT_NOEND: none. */
extern TimestampTz wa_store_next_upload_time(void);

/* It is there, under this id of Meta's at this number; or it is not. */
extern void wa_store_uploaded(int64 id, const char *phone_number_id, const char *media_id);
extern void wa_store_upload_failed(const WaUploadFailure *failure);

/* Deletes what nobody needs any more, and what is older than this. */
extern void wa_store_clean_media(int keep_minutes);

#endif
