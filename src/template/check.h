/*
 * check.h
 *	  What the files that hold values against a template share.
 */
#ifndef WA_TEMPLATE_CHECK_H
#define WA_TEMPLATE_CHECK_H

#include "compat.h"
#include "template/template.h"

/* Raises: what does not fit, what the template or its card takes, what was given. */
pg_noreturn extern void wa_template_misfit(const WaTemplateSpec *spec,
										   const WaTemplateValues *values, const char *fmt, ...)
	pg_attribute_printf(3, 4);

/* The buttons of a template or a card; adds those that must be there in any case. */
extern void wa_template_check_buttons(const WaTemplateSpec *spec, WaTemplateValues *values);

/* As far as possible without knowing the template. */
extern void wa_template_check_buttons_blind(WaTemplateValues *values);

#endif
