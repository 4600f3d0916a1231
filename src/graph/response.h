/*
 * response.h
 *	  What an answer of the Cloud API means for the message.  Pure.
 */
#ifndef WA_GRAPH_RESPONSE_H
#define WA_GRAPH_RESPONSE_H

#include "graph/error_class.h"
#include "http/result.h"

typedef enum WaOutcomeKind
{
	WA_OUTCOME_ACCEPTED,	/* a wamid was returned */
	WA_OUTCOME_REFUSED,		/* a Graph error: error->error_class says what next */
	WA_OUTCOME_NOT_WRITTEN, /* certainly not accepted, through no fault of the message */
	WA_OUTCOME_UNCERTAIN	/* written, and no readable Graph answer */
} WaOutcomeKind;

typedef struct WaOutcome
{
	WaOutcomeKind kind;
	int http_status;
	int code;				  /* Graph error code; -CURLcode for our own connection */
	const WaErrorCode *error; /* set for WA_OUTCOME_REFUSED */
	int retry_after_s;		  /* -1: not given */
	char wamid[256];
	char input[160]; /* the recipient as it was written to Meta; what follows is about him */
	char wa_id[32];
	char user_id[160];
	char message_status[40]; /* accepted, held_for_quality_assessment, paused */
	char message[640];		 /* for people: title and details, no recipient, no token */
	char fbtrace_id[64];
} WaOutcome;

extern void wa_graph_response_read(const WaHttpResult *result, WaOutcome *outcome);

#endif
