/*
 * server.h
 *	  What the simulator does at each point of an exchange.
 */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "bin/httpd/service.h"

/* For the main port, where fault rules apply and connections count. */
extern const HttpdService sim_server_service;

/* For the control port. */
extern const HttpdService sim_server_control_service;

#endif
