/*
 * message_form.h
 *	  The parameters of a template message against what the template takes.
 */
#ifndef SIM_MESSAGE_FORM_H
#define SIM_MESSAGE_FORM_H

#include "bin/simulator/message.h"
#include "bin/simulator/template_form.h"

/* What a message gives, from its components: arrays of parameters. */
typedef struct SimGiven
{
	bool has_header;
	bool has_body;
	bool has_button[SIM_MAX_BUTTONS];
	const json_t *header;
	const json_t *body;
	const json_t *buttons[SIM_MAX_BUTTONS];
	const char *sub_types[SIM_MAX_BUTTONS];
} SimGiven;

/* Adds a header, body or button component; any other type is refused. */
extern bool sim_form_gather(const json_t *component, const char *type, SimGiven *given,
							SimProblem *problem);

/*
 * True if all of it is what the form takes, and the body no longer than
 * body_max characters.  form NULL stands for a template that is not known.
 */
extern bool sim_form_check(const SimMessage *message, const SimForm *form, const SimGiven *given,
						   size_t body_max, SimProblem *problem);

#endif
