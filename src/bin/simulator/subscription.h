/*
 * subscription.h
 *	  Which app gets the account's webhooks.
 */
#ifndef SIM_SUBSCRIPTION_H
#define SIM_SUBSCRIPTION_H

#include "bin/simulator/request.h"

/* GET, POST or DELETE of the account's subscribed_apps; false: another method. */
extern bool sim_subscription(SimRequest *request);

#endif
