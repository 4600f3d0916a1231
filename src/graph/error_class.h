/*
 * error_class.h
 *	  What each Graph API error code means for the queue: one table, used for
 *	  answers and for webhooks alike, and shown in SQL as wa_error_codes.
 */
#ifndef WA_GRAPH_ERROR_CLASS_H
#define WA_GRAPH_ERROR_CLASS_H

#include <stdbool.h>

typedef enum WaErrorClass
{
	WA_CLASS_PERMANENT,			  /* this message fails for good */
	WA_CLASS_RETRY,				  /* again later, counted as an attempt */
	WA_CLASS_THROTTLE_NUMBER,	  /* slow this number down; no attempt */
	WA_CLASS_THROTTLE_PAIR,		  /* slow this recipient down; no attempt */
	WA_CLASS_PAUSE_ACCOUNT_SHORT, /* everything waits, resumes by itself; no attempt */
	WA_CLASS_PAUSE_ACCOUNT,		  /* everything waits for a person or an event; no attempt */
	WA_CLASS_PAUSE_NUMBER,		  /* this number waits for a person or an event; no attempt */
	WA_CLASS_PAUSE_TEMPLATE,	  /* this template waits; no attempt */
	WA_CLASS_NOT_APPLICABLE		  /* not of sending; permanent if it occurs all the same */
} WaErrorClass;

typedef struct WaErrorCode
{
	int first; /* first and last code of the row; equal for a single one */
	int last;
	const char *title;
	WaErrorClass error_class;
	int pause_seconds;	/* how long a throttle or pause lasts, 0: until an event; for
						 * WA_CLASS_RETRY the least delay */
	int max_retries;	/* 0: whatsapp_shared.max_attempts decides */
	bool opts_out;		/* the recipient wants no more marketing */
	const char *remedy; /* what a person should do */
} WaErrorCode;

extern const WaErrorCode wa_error_codes[];
extern const int wa_error_codes_count;

/* Never NULL: unknown codes get the default rule for their HTTP status (0: webhook). */
extern const WaErrorCode *wa_error_lookup(int code, int http_status, bool is_transient);
extern const char *wa_error_class_name(WaErrorClass error_class);

#endif
