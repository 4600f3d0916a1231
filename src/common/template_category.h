/*
 * template_category.h
 *	  What a template's category means for consent. Pure.
 */
#ifndef WA_COMMON_TEMPLATE_CATEGORY_H
#define WA_COMMON_TEMPLATE_CATEGORY_H

#include <stdbool.h>
#include <stddef.h>
#include <strings.h>

/*
 * Whether an opt-out of marketing concerns it.  NULL is a template that is not
 * known.  Of that, and of one whose category Meta does not tell, the worst is
 * assumed: an opt-out must hold.
 */
static inline bool
wa_template_category_is_marketing(const char *category)
{
	return category == NULL || strcasecmp(category, "MARKETING") == 0 ||
		   strcasecmp(category, "UNKNOWN") == 0;
}

#endif
