/*
 * error_class.h
 *	  What each Graph API error code means for the queue: one table, used for
 *	  responses and for webhooks alike, and shown in SQL as wa_error_codes. Pure.
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

/* What follows from an error for more than its own message. */
typedef enum WaErrorAction
{
	WA_ACTION_NONE,
	WA_ACTION_THROTTLE_NUMBER, /* for so short a time that nobody need know */
	WA_ACTION_THROTTLE_PAIR,
	WA_ACTION_PAUSE_ACCOUNT,
	WA_ACTION_PAUSE_NUMBER,
	WA_ACTION_PAUSE_TEMPLATE
} WaErrorAction;

typedef struct WaErrorConsequence
{
	WaErrorAction action;
	int seconds;   /* how long; 0: until an event, or (for a pair) longer each time */
	bool opts_out; /* the recipient wants no more marketing */
	bool unknown;  /* people should know: the table does not have the code */
} WaErrorConsequence;

extern const WaErrorCode wa_error_codes[];
extern const int wa_error_codes_count;

/* Never NULL: unknown codes get the default rule for their HTTP status (0: webhook). */
extern const WaErrorCode *wa_error_lookup(int code, int http_status, bool is_transient);
extern const char *wa_error_class_name(WaErrorClass error_class);

/*
 * The only place that says what follows, however the error became known: as the
 * response to a request, which may ask for a longer wait than the table does, or
 * from a webhook (retry_after_s 0).
 */
extern WaErrorConsequence wa_error_consequence(const WaErrorCode *error, int retry_after_s);

/* Of a pause: "account", "number" or "template", as whatsapp_pauses has it; else NULL. */
extern const char *wa_error_action_scope(WaErrorAction action);

#endif
