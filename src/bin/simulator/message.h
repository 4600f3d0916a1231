/*
 * message.h
 *	  A send request, read and checked against Meta's rules.
 */
#ifndef SIM_MESSAGE_H
#define SIM_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>

#include "bin/simulator/registry.h"

#define SIM_TO_SIZE 160
#define SIM_WAMID_SIZE 96

typedef struct SimMessage
{
	const json_t *root;
	bool marketing; /* sent to the marketing_messages edge */
	int version;	/* the major one of the request: some codes depend on it */
	const char *type;
	const json_t *object; /* the member named after the type, or NULL */
	char to[SIM_TO_SIZE]; /* digits, a user id or a group's id; "" if unreadable */
	const char *input;	  /* as given */
	bool by_user_id;
	bool to_group;
	bool dropped;				 /* a user id in "to": accepted, and nobody gets it */
	bool read_receipt;			 /* not a message at all */
	const char *opaque;			 /* biz_opaque_callback_data, or NULL */
	const char *context;		 /* wamid replied to, or NULL */
	const char *template_name;	 /* or NULL */
	const char *language;		 /* or NULL */
	const SimTemplate *template; /* if it is known */
} SimMessage;

/* Why a message is refused. */
typedef struct SimProblem
{
	int code;
	char title[320];   /* "": the published one */
	char details[320]; /* "": none */
} SimProblem;

/* Fills in the problem and returns false, so that a caller can return that. */
extern bool sim_problem(SimProblem *problem, int code, const char *details, ...)
	__attribute__((format(printf, 3, 4)));

/* As above, for code 100, whose text is the title: "(#100) ...". */
extern bool sim_problem_parameter(SimProblem *problem, const char *text, ...)
	__attribute__((format(printf, 2, 3)));

/* Reads what it can from the document, without checking it. */
extern void sim_message_read(SimMessage *message, const json_t *root, const SimNumber *number);

/* True if Meta would accept it, apart from limits. */
extern bool sim_message_check(const SimMessage *message, const SimNumber *number,
							  SimProblem *problem);

/* A new message id; out has SIM_WAMID_SIZE. */
extern void sim_message_make_wamid(char *out, const char *to);

/* The parts of that check. */
extern bool sim_check_template(const SimMessage *message, SimProblem *problem);
extern bool sim_check_interactive(const json_t *object, SimProblem *problem);

/*
 * Helpers for them.  where names the object in the error, "text" say; the text
 * must be there (required) and at most max characters long.
 */
extern bool sim_check_text(const json_t *object, const char *where, const char *member, size_t max,
						   bool required, SimProblem *problem);

/* A media object: exactly one of id and link. */
extern bool sim_check_media(const json_t *object, const char *where, SimProblem *problem);

#endif
