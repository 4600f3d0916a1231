/*
 * exchange.h
 *	  A request and its response, with what the gateway knows about them.
 */
#ifndef GW_EXCHANGE_H
#define GW_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "bin/gateway/path.h"
#include "bin/httpd/request.h"

/* In the order of what they may: a greater one may all that a lesser one may. */
typedef enum GwRole
{
	GW_NOBODY,
	GW_TENANT, /* the holder of a tenant's link; SQL decides which tenant's */
	GW_VIEWER, /* reads, and changes nothing */
	GW_ADMIN
} GwRole;

/* What a listener serves, and to what a route belongs. */
typedef enum GwSide
{
	GW_SIDE_WEBHOOK = 1,
	GW_SIDE_ADMIN = 2, /* the API and the pages */
	GW_SIDE_METRICS = 4,
	GW_SIDE_HEALTH = 8
} GwSide;

/* What is special about a route. */
typedef enum GwRouteFlags
{
	GW_TAKES_BODY = 1,	   /* a JSON object; or an HTML form, if it is one for people */
	GW_TAKES_FORM = 2,	   /* application/x-www-form-urlencoded instead of JSON, too */
	GW_NEEDS_KEY = 4,	   /* the header Idempotency-Key */
	GW_TAKES_RAW_BODY = 8, /* of any type: the handler's own matter */
	GW_OWN_LISTENER = 16,  /* on a listener for its side alone, nobody is asked who he is */
	GW_TAKES_LINK = 32,	   /* open to nobody, but the key of a link counts (gw_auth_identify) */
	GW_HAS_PIECES = 64	   /* its function has a column more, piece, of a file (media.c) */
} GwRouteFlags;

struct GwDelivery;
struct pg_result;
struct GwExchange;
struct GwQuery;

typedef struct GwMedia GwMedia;

#define GW_MAX_ARGUMENTS 3

typedef struct GwRoute
{
	const char *method; /* GET stands for HEAD as well */
	const char *path;	/* {name} stands for a segment */
	GwRole least;
	GwSide side;
	unsigned flags;

	/* The whole request is there: fills in the reply, or defers it. */
	void (*handle)(struct GwExchange *exchange);
	const char *function; /* for gw_api_handle: what follows wa_gateway_ in its name */

	/* Its head is there; what is filled in here is the reply.  May be NULL. */
	void (*head)(struct GwExchange *exchange);

	/* gw_api_handle's function returned 2xx, and that is filled in.  May be NULL. */
	void (*succeeded)(struct GwExchange *exchange);

	/* Makes a page for people of whatever gw_api_handle has filled in.  May be NULL. */
	void (*present)(struct GwExchange *exchange);

	/* gw_api_handle's function returned 2xx: fills in the reply, which is not JSON.  May be NULL.
	 */
	void (*fill)(struct GwExchange *exchange, const struct pg_result *result);
} GwRoute;

typedef struct GwExchange
{
	HttpdRequest http; /* first */
	char request_id[40];
	int64_t began_us;
	bool head;			  /* the method is HEAD */
	const GwRoute *route; /* NULL: there is none */
	GwPath path;
	char *arguments[GW_MAX_ARGUMENTS]; /* of the path, decoded, in its order; in path's memory */

	GwRole role;
	char *actor; /* owned; what the log may call him; NULL: nobody */
	char *key;	 /* owned; of a tenant's link: never logged */

	struct GwQuery *query;		 /* in flight; forgotten at the end */
	bool repeated;				 /* the query was, after its connection was lost */
	struct GwDelivery *delivery; /* of a webhook, while it waits for the database */
	GwMedia *media;				 /* a file that is sent */
	int64_t piece_from;			 /* of GW_HAS_PIECES: the first byte that is asked for, */
	int piece_bytes;			 /* and how many */
	int held_status;			 /* of a refusal that waits for the rest of the body */
	bool quiet;					 /* not worth a line in the log: what comes in floods */
	size_t buffered;			 /* of its body, counted by body.c */
	HttpdLink unfinished_body;	 /* of body.c, as is the next one */
	HttpdLink large_body;
} GwExchange;

/* GET or HEAD: it changes nothing. */
static inline bool
gw_exchange_reads(const GwExchange *exchange)
{
	return exchange->head || (exchange->route != NULL && exchange->route->method[0] == 'G');
}

#endif
