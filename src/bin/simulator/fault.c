/*
 * fault.c
 *	  Choosing the rule that applies to a request.
 *
 * Requests in flight keep a pointer to their rule until their response is sent,
 * so rules that are replaced are kept until the program ends.  Tests replace
 * rules hundreds of times, not millions.
 */
#include "bin/simulator/fault.h"

#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"
#include "bin/simulator/random.h"

static SimFault **rules;
static size_t nrules;
static SimFault **retired;
static size_t nretired;

/* The moment at which a rule acts. */
static SimFaultMoment
moment_of(const SimFault *fault)
{
	switch (fault->cut)
	{
		case SIM_CUT_CONNECT:
			return SIM_AT_CONNECT;
		case SIM_CUT_HEADERS:
		case SIM_CUT_BODY:
			return SIM_AT_HEADERS;
		default:
			return SIM_AT_REQUEST;
	}
}

static bool
text_matches(const char *wanted, const char *text)
{
	return wanted == NULL || (text != NULL && strcmp(wanted, text) == 0);
}

static bool
subject_matches(const SimFault *fault, const SimFaultSubject *subject)
{
	return (strcmp(fault->edge, "*") == 0 || text_matches(fault->edge, subject->edge)) &&
		   text_matches(fault->number, subject->node) &&
		   text_matches(fault->template_name, subject->template_name) &&
		   text_matches(fault->recipient, subject->recipient);
}

/* Counts a matching request; true if the rule acts on it. */
static bool
its_turn(SimFault *fault)
{
	int64_t place = ++fault->matched - fault->after;

	if (place <= 0 || (fault->times > 0 && fault->applied >= fault->times))
		return false;
	if (fault->nth > 0 && place != fault->nth)
		return false;
	if (fault->every > 0 && place % fault->every != 0)
		return false;
	if (fault->first > 0 && place > fault->first)
		return false;
	return fault->probability >= 1 || sim_random_unit(&fault->random) < fault->probability;
}

SimFault *
sim_fault_pick(SimFaultMoment moment, const SimFaultSubject *subject)
{
	SimFault *chosen = NULL;

	/* Every rule counts its matches, even after another rule was chosen. */
	for (size_t i = 0; i < nrules; i++)
	{
		if (moment_of(rules[i]) == moment &&
			(moment == SIM_AT_CONNECT || subject_matches(rules[i], subject)) &&
			its_turn(rules[i]) && chosen == NULL)
		{
			chosen = rules[i];
			chosen->applied++;
		}
	}
	return chosen;
}

void
sim_fault_clear(void)
{
	if (nrules == 0)
		return;
	retired = httpd_realloc(retired, (nretired + nrules) * sizeof(*retired));
	memcpy(retired + nretired, rules, nrules * sizeof(*rules));
	nretired += nrules;
	nrules = 0;
}

bool
sim_fault_load(const json_t *list, char *error, size_t size)
{
	size_t count = json_array_size(list);
	SimFault **parsed = httpd_alloc0(count * sizeof(*parsed));

	for (size_t i = 0; i < count; i++)
	{
		parsed[i] = sim_fault_parse(json_array_get(list, i), i, error, size);
		if (parsed[i] == NULL)
		{
			while (i-- > 0)
				sim_fault_free(parsed[i]);
			free(parsed);
			return false;
		}
	}
	sim_fault_clear();
	free(rules);
	rules = parsed;
	nrules = count;
	return true;
}

json_t *
sim_fault_to_json(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < nrules; i++)
		json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", rules[i]->name, "matched",
											  (json_int_t) rules[i]->matched, "applied",
											  (json_int_t) rules[i]->applied));
	return list;
}
