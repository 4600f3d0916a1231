/*
 * uncertain_policy.c
 *	  The words for what happens to a message that may or may not have been sent.
 */
#include "wa_c.h"

#include "common/uncertain_policy.h"

const char *const wa_uncertain_policy_names[WA_UNCERTAIN_POLICIES] = {[WA_UNCERTAIN_AUTO] = "auto",
																	  [WA_UNCERTAIN_RESEND] =
																		  "resend",
																	  [WA_UNCERTAIN_PARK] = "park",
																	  [WA_UNCERTAIN_FAIL] = "fail"};

bool
wa_uncertain_policy_parse(const char *word, size_t len, WaUncertainPolicy *policy)
{
	for (int i = 0; i < WA_UNCERTAIN_POLICIES; i++)
	{
		const char *name = wa_uncertain_policy_names[i];

		if (len == strlen(name) && memcmp(word, name, len) == 0)
		{
			*policy = (WaUncertainPolicy) i;
			return true;
		}
	}
	return false;
}
