/*
 * fault_parse.c
 *	  Reads fault rules.
 *
 * An unknown member, or one that has no effect in its rule, is an error: a test
 * must not rely on a fault that never happens.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"
#include "bin/simulator/fault.h"
#include "bin/simulator/settings.h"

typedef struct Reader
{
	SimFault *fault;
	size_t index;
	bool accept_given;
	char *error; /* the first one; "": none */
	size_t size;
} Reader;

static const char *const cut_names[] = {"none",		"connect",	"headers", "body",
										"received", "accepted", "answer"};
static const char *const reply_names[] = {"normal",	  "code",	   "garbage",	"html",
										  "empty",	  "truncated", "oversized", "corrupt",
										  "stranger", "slow",	   "hang"};

/* About a member or, if name is NULL, about the rule as a whole. */
static void
complain(Reader *reader, const char *name, const char *what)
{
	if (reader->error[0] != '\0')
		return;
	if (name != NULL)
		snprintf(reader->error, reader->size, "rule %zu: \"%s\" %s", reader->index + 1, name, what);
	else
		snprintf(reader->error, reader->size, "rule %zu %s", reader->index + 1, what);
}

static char *
read_text(Reader *reader, const char *name, const json_t *value)
{
	if (!json_is_string(value))
	{
		complain(reader, name, "must be a string");
		return NULL;
	}
	return httpd_strdup(json_string_value(value));
}

static int64_t
read_number(Reader *reader, const char *name, const json_t *value, int64_t min)
{
	if (!json_is_integer(value) || json_integer_value(value) < min ||
		json_integer_value(value) > INT64_C(1000000000))
	{
		complain(reader, name,
				 min > 0 ? "must be a positive integer" : "must be a non-negative integer");
		return min;
	}
	return json_integer_value(value);
}

static bool
read_bool(Reader *reader, const char *name, const json_t *value)
{
	if (!json_is_boolean(value))
		complain(reader, name, "must be true or false");
	return json_is_true(value);
}

static int
read_word(Reader *reader, const char *name, const json_t *value, const char *const *words,
		  int count)
{
	const char *text = json_string_value(value);

	for (int i = 0; text != NULL && i < count; i++)
	{
		if (strcmp(words[i], text) == 0)
			return i;
	}
	complain(reader, name, "has an unknown value");
	return 0;
}

static void
read_match(Reader *reader, const json_t *match)
{
	SimFault *fault = reader->fault;
	const char *name;
	json_t *value;

	if (!json_is_object(match))
	{
		complain(reader, "match", "must be an object");
		return;
	}
	json_object_foreach((json_t *) match, name, value)
	{
		if (strcmp(name, "edge") == 0)
		{
			free(fault->edge);
			fault->edge = read_text(reader, name, value);
		}
		else if (strcmp(name, "number") == 0)
			fault->number = read_text(reader, name, value);
		else if (strcmp(name, "template") == 0)
			fault->template_name = read_text(reader, name, value);
		else if (strcmp(name, "recipient") == 0)
			fault->recipient = read_text(reader, name, value);
		else if (strcmp(name, "after") == 0)
			fault->after = read_number(reader, name, value, 0);
		else if (strcmp(name, "nth") == 0)
			fault->nth = read_number(reader, name, value, 1);
		else if (strcmp(name, "every") == 0)
			fault->every = read_number(reader, name, value, 1);
		else if (strcmp(name, "first") == 0)
			fault->first = read_number(reader, name, value, 1);
		else if (strcmp(name, "probability") == 0)
		{
			fault->probability = json_number_value(value);
			if (!json_is_number(value) || fault->probability < 0 || fault->probability > 1)
				complain(reader, name, "must be a number between 0 and 1");
		}
		else if (strcmp(name, "seed") == 0)
			fault->random = (uint64_t) read_number(reader, name, value, 0);
		else
			complain(reader, name, "is not a member of \"match\"");
	}

	/* As in the message, but for a leading +. */
	if (fault->recipient != NULL && fault->recipient[0] == '+')
		memmove(fault->recipient, fault->recipient + 1, strlen(fault->recipient));
}

static void
read_member(Reader *reader, const char *name, const json_t *value)
{
	SimFault *fault = reader->fault;

	if (strcmp(name, "match") == 0)
		read_match(reader, value);
	else if (strcmp(name, "name") == 0)
	{
		free(fault->name);
		fault->name = read_text(reader, name, value);
	}
	else if (strcmp(name, "times") == 0)
		fault->times = read_number(reader, name, value, 1);
	else if (strcmp(name, "cut") == 0)
		fault->cut = (SimCut) read_word(reader, name, value, cut_names, SIM_CUT_ANSWER + 1);
	else if (strcmp(name, "reply") == 0)
		fault->reply =
			(SimFaultReply) read_word(reader, name, value, reply_names, SIM_REPLY_HANG + 1);
	else if (strcmp(name, "how") == 0)
	{
		static const char *const words[] = {"reset", "close"};

		fault->reset = read_word(reader, name, value, words, 2) == 0;
	}
	else if (strcmp(name, "accept") == 0)
	{
		fault->accept = read_bool(reader, name, value);
		reader->accept_given = true;
	}
	else if (strcmp(name, "delay_ms") == 0)
		fault->delay_ms = read_number(reader, name, value, 0);
	else if (strcmp(name, "bytes") == 0)
		fault->bytes = read_number(reader, name, value, 0);
	else if (strcmp(name, "interval_ms") == 0)
		fault->interval_ms = read_number(reader, name, value, 1);
	else if (strcmp(name, "status") == 0)
		fault->status = (int) read_number(reader, name, value, 200);
	else if (strcmp(name, "code") == 0)
	{
		fault->code = (int) read_number(reader, name, value, 0);
		fault->reply = SIM_REPLY_CODE;
	}
	else if (strcmp(name, "subcode") == 0)
		fault->subcode = (int) read_number(reader, name, value, 1);
	else if (strcmp(name, "transient") == 0)
		fault->transient = read_bool(reader, name, value);
	else if (strcmp(name, "details") == 0)
		fault->details = read_text(reader, name, value);
	else if (strcmp(name, "webhook_code") == 0)
		fault->webhook_code = (int) read_number(reader, name, value, 1);
	else if (strcmp(name, "webhook_none") == 0)
		fault->webhook_none = read_bool(reader, name, value);
	else if (strcmp(name, "retry_after") == 0)
		fault->retry_after = read_number(reader, name, value, 0);
	else
		complain(reader, name, "is not a member of a rule");
}

/* What each kind of fault allows, and its defaults. */
static void
check_rule(Reader *reader, const json_t *rule)
{
	SimFault *fault = reader->fault;
	bool early = fault->cut == SIM_CUT_CONNECT || fault->cut == SIM_CUT_HEADERS ||
				 fault->cut == SIM_CUT_BODY;

	if (fault->cut == SIM_CUT_NONE && fault->reply == SIM_REPLY_NORMAL && fault->delay_ms < 0 &&
		fault->webhook_code == 0 && !fault->webhook_none)
		complain(reader, NULL, "has no effect: give \"cut\", \"reply\", \"code\" or \"delay_ms\"");
	if (fault->cut != SIM_CUT_NONE && fault->reply != SIM_REPLY_NORMAL)
		complain(reader, NULL, "has both \"cut\" and \"reply\" or \"code\"");
	if (json_object_get(rule, "code") != NULL && fault->reply != SIM_REPLY_CODE)
		complain(reader, NULL, "has both \"code\" and another \"reply\"");
	if (fault->reply == SIM_REPLY_CODE && json_object_get(rule, "code") == NULL)
		complain(reader, NULL, "needs \"code\"");
	if (json_object_get(rule, "how") != NULL && fault->cut == SIM_CUT_NONE)
		complain(reader, NULL, "has \"how\" without \"cut\"");
	if (early && (fault->template_name != NULL || fault->recipient != NULL))
		complain(reader, NULL, "cuts the connection before the template and recipient are known");
	if (early && fault->delay_ms >= 0)
		complain(reader, NULL,
				 "has \"delay_ms\", but cuts the connection before there is a response to delay");
	if (fault->cut == SIM_CUT_CONNECT &&
		(fault->number != NULL || json_object_get(json_object_get(rule, "match"), "edge") != NULL))
		complain(reader, NULL, "cuts the connection before the number is known");
	if (fault->bytes >= 0 && fault->cut != SIM_CUT_BODY && fault->cut != SIM_CUT_ANSWER &&
		fault->reply != SIM_REPLY_OVERSIZED && fault->reply != SIM_REPLY_SLOW)
		complain(reader, NULL, "has \"bytes\", which has no effect here");
	if (json_object_get(rule, "interval_ms") != NULL && fault->reply != SIM_REPLY_SLOW)
		complain(reader, NULL, "has \"interval_ms\" without \"reply\": \"slow\"");
	if (fault->status != 0 && fault->reply != SIM_REPLY_CODE && fault->reply != SIM_REPLY_GARBAGE &&
		fault->reply != SIM_REPLY_HTML && fault->reply != SIM_REPLY_EMPTY)
		complain(reader, NULL, "has \"status\", which has no effect here");
	if (fault->status > 599)
		complain(reader, NULL, "has a \"status\" greater than 599");
	if (fault->reply != SIM_REPLY_CODE &&
		(fault->subcode != 0 || fault->transient || fault->details != NULL))
		complain(reader, NULL, "has members that require \"code\"");

	/* Whether the message is accepted, which most faults determine. */
	if (fault->cut == SIM_CUT_ACCEPTED || fault->cut == SIM_CUT_ANSWER ||
		(fault->cut == SIM_CUT_NONE && fault->reply == SIM_REPLY_NORMAL) ||
		fault->reply == SIM_REPLY_SLOW || fault->reply == SIM_REPLY_OVERSIZED ||
		fault->reply == SIM_REPLY_CORRUPT || fault->reply == SIM_REPLY_STRANGER)
	{
		if (reader->accept_given && !fault->accept)
			complain(reader, NULL, "always accepts the message");
		fault->accept = true;
	}
	else if (fault->cut != SIM_CUT_NONE && fault->accept)
		complain(reader, NULL, "never accepts the message");

	if ((fault->webhook_code != 0 || fault->webhook_none) && !fault->accept)
		complain(reader, NULL, "sets the webhooks of a message that is not accepted");

	if (fault->bytes < 0)
	{
		if (fault->reply == SIM_REPLY_OVERSIZED)
			fault->bytes = 8 * 1024 * 1024;
		else if (fault->reply == SIM_REPLY_SLOW)
			fault->bytes = 1;
		else
			fault->bytes = 0;
	}
	if (fault->reply == SIM_REPLY_SLOW && fault->bytes == 0)
		complain(reader, NULL, "needs a positive \"bytes\"");
}

void
sim_fault_free(SimFault *fault)
{
	free(fault->name);
	free(fault->edge);
	free(fault->number);
	free(fault->template_name);
	free(fault->recipient);
	free(fault->details);
	free(fault);
}

SimFault *
sim_fault_parse(const json_t *rule, size_t index, char *error, size_t size)
{
	Reader reader = {0};
	SimFault *fault;
	char name[32];
	const char *member;
	json_t *value;

	error[0] = '\0';
	if (!json_is_object(rule))
	{
		snprintf(error, size, "rule %zu is not an object", index + 1);
		return NULL;
	}
	snprintf(name, sizeof(name), "rule %zu", index + 1);
	fault = httpd_alloc0(sizeof(SimFault));
	fault->name = httpd_strdup(name);
	fault->edge = httpd_strdup("messages");
	fault->probability = 1;
	fault->reset = true;
	fault->delay_ms = -1;
	fault->bytes = -1;
	fault->interval_ms = 20;
	fault->retry_after = -1;
	fault->random = (uint64_t) sim_settings.seed + index;

	reader.fault = fault;
	reader.index = index;
	reader.error = error;
	reader.size = size;
	json_object_foreach((json_t *) rule, member, value) read_member(&reader, member, value);
	if (error[0] == '\0')
		check_rule(&reader, rule);
	if (error[0] != '\0')
	{
		sim_fault_free(fault);
		return NULL;
	}
	return fault;
}
