/*
 * graph_error.h
 *	  What Meta publishes about each error code of the Cloud API.
 */
#ifndef SIM_GRAPH_ERROR_H
#define SIM_GRAPH_ERROR_H

#include <stdbool.h>

typedef struct SimGraphError
{
	int code;
	int status;
	const char *type;
	const char *title;
	bool plain_message; /* the message is the title alone, without "(#code)" */
} SimGraphError;

/* Never NULL: an unknown code has a generic entry with status 400. */
extern const SimGraphError *sim_graph_error_find(int code);

#endif
