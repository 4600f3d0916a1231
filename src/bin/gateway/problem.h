/*
 * problem.h
 *	  Refusals as problem details (RFC 9457).
 */
#ifndef GW_PROBLEM_H
#define GW_PROBLEM_H

#include <jansson.h>
#include <libpq-fe.h>

#include "bin/gateway/exchange.h"

/*
 * Fills in the reply: status, and a document with type, title, status, request_id
 * and this detail (NULL: none).
 */
extern void gw_problem(GwExchange *exchange, int status, const char *detail, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, about the header, argument or member of this name. */
extern void gw_problem_field(GwExchange *exchange, int status, const char *field,
							 const char *detail, ...) __attribute__((format(printf, 4, 5)));

/* The same with further members, which it takes over; they may be NULL. */
extern void gw_problem_members(GwExchange *exchange, int status, json_t *members);

/*
 * From the result of a query: from an error, what its SQLSTATE stands for; from
 * none (NULL), 503.
 */
extern void gw_problem_from_result(GwExchange *exchange, const PGresult *result);

#endif
