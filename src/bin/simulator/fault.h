/*
 * fault.h
 *	  Rules that make chosen requests go wrong.
 *
 * The first rule that matches a request is applied; the journal keeps its
 * name.  A rule that needs to look at the message itself cannot act before the
 * message was read.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a connection is cut, in the order in which a request passes by. */
typedef enum SimCut
{
	SIM_CUT_NONE,
	SIM_CUT_CONNECT,  /* as soon as it is there */
	SIM_CUT_HEADERS,  /* after the request's head */
	SIM_CUT_BODY,	  /* within the request's body */
	SIM_CUT_RECEIVED, /* after the whole request, before it is looked at: not accepted */
	SIM_CUT_ACCEPTED, /* after the message was accepted, before the answer */
	SIM_CUT_ANSWER	  /* within the answer, the message being accepted */
} SimCut;

typedef enum SimFaultReply
{
	SIM_REPLY_NORMAL,
	SIM_REPLY_CODE,		 /* a Graph error */
	SIM_REPLY_GARBAGE,	 /* not JSON, although it says so */
	SIM_REPLY_HTML,		 /* an error page of the edge */
	SIM_REPLY_EMPTY,	 /* a status and nothing else */
	SIM_REPLY_TRUNCATED, /* JSON that stops in the middle */
	SIM_REPLY_OVERSIZED, /* the normal answer with an enormous member */
	SIM_REPLY_SLOW,		 /* the normal answer, byte by byte */
	SIM_REPLY_HANG		 /* never an answer */
} SimFaultReply;

typedef struct SimFault
{
	char *name;

	/* what it matches; NULL or 0: anything */
	char *edge;
	char *number; /* or whichever node is asked for */
	char *template_name;
	char *recipient; /* digits or user id */
	int64_t after;	 /* matching requests let pass first */
	int64_t nth;	 /* only this one of them, from 1 */
	int64_t every;	 /* only each so-manieth */
	int64_t first;	 /* only the first so many */
	double probability;
	int64_t times; /* how often at most; 0: no limit */

	/* what it does */
	SimCut cut;
	bool reset; /* cut by RST; else by an orderly end */
	SimFaultReply reply;
	bool accept;	  /* the message is accepted although the answer is wrong */
	int64_t delay_ms; /* -1: as set for all */
	int64_t bytes;	  /* of the answer or body before the cut; of an oversized member */
	int64_t interval_ms;
	int status;
	int code;
	int subcode;
	bool transient;
	char *details;
	int64_t retry_after; /* seconds; -1: no header */
	int webhook_code;	 /* the message fails later, by webhook */
	bool webhook_none;	 /* no webhook ever speaks of it */

	/* what it has seen */
	int64_t matched;
	int64_t applied;
	uint64_t random;
} SimFault;

/* What is known of a request when a rule is looked for; NULL: not yet. */
typedef struct SimFaultSubject
{
	const char *edge; /* "messages", "phone_numbers", ... */
	const char *node;
	const char *template_name;
	const char *recipient;
} SimFaultSubject;

/* The three moments at which a rule can be chosen. */
typedef enum SimFaultMoment
{
	SIM_AT_CONNECT,
	SIM_AT_HEADERS,
	SIM_AT_REQUEST
} SimFaultMoment;

/* The rule to apply now, counted as applied; or NULL. */
extern SimFault *sim_fault_pick(SimFaultMoment moment, const SimFaultSubject *subject);

/*
 * Puts an array of rules in place of the present ones.  False and a reason,
 * with nothing changed, if one is wrong.
 */
extern bool sim_fault_load(const json_t *rules, char *error, size_t size);
extern void sim_fault_clear(void);

/* [{"name":, "matched":, "applied":}, ...] */
extern json_t *sim_fault_to_json(void);

/* fault_parse.c: NULL and a reason if the rule is wrong. */
extern SimFault *sim_fault_parse(const json_t *rule, size_t index, char *error, size_t size);
extern void sim_fault_free(SimFault *fault);

#endif
