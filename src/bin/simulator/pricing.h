/*
 * pricing.h
 *	  What Meta says that a message costs: category, type, and whether at all.
 */
#ifndef SIM_PRICING_H
#define SIM_PRICING_H

#include <stdbool.h>
#include <stdint.h>

#include "bin/simulator/message.h"
#include "bin/simulator/registry.h"

#define SIM_CATEGORY_SIZE 40

typedef struct SimPrice
{
	char category[SIM_CATEGORY_SIZE];
	const char *type;	/* regular, free_customer_service, free_entry_point */
	const char *origin; /* of the conversation; NULL: none is named */
	int64_t expires_s;	/* when that conversation ends, epoch */
} SimPrice;

/* The price of an accepted message to who, a user id or a group. */
extern SimPrice sim_pricing_of(SimNumber *number, const SimMessage *message, const char *who);

#endif
