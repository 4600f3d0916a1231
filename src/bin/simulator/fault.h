/*
 * fault.h
 *	  Rules that make chosen requests go wrong.
 *
 * The first rule that matches a request is applied; the journal keeps its
 * name.  A rule about the message itself cannot act before the message has been
 * read.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a connection is cut, in the order of an exchange. */
typedef enum SimCut
{
	SIM_CUT_NONE,
	SIM_CUT_CONNECT,  /* as soon as it is accepted */
	SIM_CUT_HEADERS,  /* after the request's head */
	SIM_CUT_BODY,	  /* within the request's body */
	SIM_CUT_RECEIVED, /* after the whole request, before it is processed: not accepted */
	SIM_CUT_ACCEPTED, /* after the message was accepted, before the response */
	SIM_CUT_ANSWER	  /* within the response, after the message was accepted */
} SimCut;

typedef enum SimFaultReply
{
	SIM_REPLY_NORMAL,
	SIM_REPLY_CODE,		 /* a Graph error */
	SIM_REPLY_GARBAGE,	 /* not JSON, contrary to its content type */
	SIM_REPLY_HTML,		 /* an error page of a proxy */
	SIM_REPLY_EMPTY,	 /* a status without a body */
	SIM_REPLY_TRUNCATED, /* truncated JSON */
	SIM_REPLY_OVERSIZED, /* the normal response with an enormous member */
	SIM_REPLY_CORRUPT,	 /* the normal response with a wrong byte */
	SIM_REPLY_STRANGER,	 /* the normal response, whose contact is another */
	SIM_REPLY_SLOW,		 /* the normal response, byte by byte */
	SIM_REPLY_HANG		 /* no response, ever */
} SimFaultReply;

typedef struct SimFault
{
	char *name;

	/* what it matches; NULL or 0: anything */
	char *edge;
	char *number; /* or whichever node is asked for */
	char *template_name;
	char *recipient; /* digits or user id */
	int64_t after;	 /* matching requests that are let through first */
	int64_t nth;	 /* only this one of them, from 1 */
	int64_t every;	 /* only every nth */
	int64_t first;	 /* only the first n */
	double probability;
	int64_t times; /* the most times it is applied; 0: no limit */

	/* what it does */
	SimCut cut;
	bool reset; /* cut by RST; else by an orderly end */
	SimFaultReply reply;
	bool accept;	  /* the message is accepted despite the response */
	int64_t delay_ms; /* -1: the general setting */
	int64_t bytes;	  /* of the response or request body before the cut; of an oversized member */
	int64_t interval_ms;
	int status;
	int code;
	int subcode;
	bool transient;
	char *details;
	int64_t retry_after; /* seconds; -1: no header */
	int webhook_code;	 /* the message fails later, by webhook */
	bool webhook_none;	 /* no webhook is sent about it */

	/* what it has seen */
	int64_t matched;
	int64_t applied;
	uint64_t random;
} SimFault;

/* What is known of a request when a rule is chosen; NULL: not known yet. */
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

/* The rule to apply now, which is then counted as applied; or NULL. */
extern SimFault *sim_fault_pick(SimFaultMoment moment, const SimFaultSubject *subject);

/*
 * Replaces the rules by those of an array.  If one is invalid, returns false with
 * the reason in error, and changes nothing.
 */
extern bool sim_fault_load(const json_t *rules, char *error, size_t size);
extern void sim_fault_clear(void);

/* [{"name":, "matched":, "applied":}, ...] */
extern json_t *sim_fault_to_json(void);

/* fault_parse.c: NULL, with the reason in error, if the rule is invalid. */
extern SimFault *sim_fault_parse(const json_t *rule, size_t index, char *error, size_t size);
extern void sim_fault_free(SimFault *fault);

#endif
