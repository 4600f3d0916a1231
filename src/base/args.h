/*
 * args.h
 *	  Arguments of the SQL-callable functions.
 */
#ifndef WA_BASE_ARGS_H
#define WA_BASE_ARGS_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "compat.h"

/* An error names the argument that is NULL, or empty. */
extern text *wa_arg_text(FunctionCallInfo fcinfo, int argno, const char *name);
extern Jsonb *wa_arg_jsonb(FunctionCallInfo fcinfo, int argno, const char *name);

/* NULL if it is not given. */
extern text *wa_arg_text_or_null(FunctionCallInfo fcinfo, int argno);
extern Jsonb *wa_arg_jsonb_or_null(FunctionCallInfo fcinfo, int argno);

/* The tenant, of type text or, in the polymorphic variants, of any other. */
extern text *wa_arg_tenant_id(FunctionCallInfo fcinfo, int argno);

pg_noreturn extern void wa_raise_null_argument(const char *name);

#endif
