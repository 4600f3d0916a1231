/*
 * path.h
 *	  /{version}/{node}[/{edge}], taken apart.
 */
#ifndef SIM_PATH_H
#define SIM_PATH_H

#include <stdbool.h>

/* The parts are "" where absent. */
typedef struct SimPath
{
	char version[16];
	char node[128];
	char edge[64];
	bool valid; /* of this shape, with a version that looks like one */
} SimPath;

extern void sim_path_parse(const char *text, SimPath *out);

/* True for POST .../messages and POST .../marketing_messages. */
extern bool sim_path_is_send(const SimPath *path, const char *method);

/* What a fault rule calls it: the edge or, for a node itself, the node. */
extern const char *sim_path_edge_name(const SimPath *path);

#endif
