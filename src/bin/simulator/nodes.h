/*
 * nodes.h
 *	  Reading the account: numbers, templates, the account itself, health.
 */
#ifndef SIM_NODES_H
#define SIM_NODES_H

#include "bin/simulator/path.h"
#include "bin/simulator/request.h"

extern void sim_nodes_get(SimRequest *request, const SimPath *path);

/* Meta's response for a node that does not exist, is not visible, or cannot do this. */
extern void sim_nodes_unknown(SimRequest *request, const SimPath *path);

#endif
