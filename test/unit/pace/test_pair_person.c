/*
 * One person is one recipient, by whatever number or user id, and whenever that
 * becomes known.
 */
#include "backend.h"

#include "sender/pace/pair_order.h"
#include "sender/pace/pair_person.h"
#include "sender/pace/pair_waiting.h"
#include "tap.h"

#define PHONE "+573001112233"
#define USER "CO.7001234567890123"
#define PARENT "CO.ENT.7001234567890123"
#define OTHER "+573009998877"
#define INTERVAL (6 * SECOND)

static WaSender *sender;
static WaNumber *number;

static void
begin(void)
{
	sender = new_sender();
	number = wa_number_get(&sender->numbers, NUMBER);
}

static uint64
of(const char *recipient, const char *person)
{
	return wa_pair_of_person(sender, number->key, recipient, person);
}

static WaPair *
pair_of(const char *recipient, const char *person)
{
	return wa_pair_get(sender, of(recipient, person));
}

static void
defer(const char *recipient, const char *person, int64 message_id)
{
	WaPair *pair = pair_of(recipient, person);

	wa_pair_deferred(sender, pair, message_id, WALL + START + 60 * SECOND);
	wa_pair_rest(sender, pair);
}

/* Whether this message would pass an earlier one. */
static bool
is_behind(const char *recipient, const char *person, int64 message_id)
{
	WaPair *pair = pair_of(recipient, person);
	bool behind = wa_pair_is_behind(pair, message_id);

	wa_pair_rest(sender, pair);
	return behind;
}

static void
send_one(const char *recipient, const char *person)
{
	WaPair *pair = pair_of(recipient, person);

	wa_pair_take(pair, wa_now_us());
	wa_pair_end(pair, true);
	wa_pair_rest(sender, pair);
}

static int64
left(const char *recipient, const char *person)
{
	WaPair *pair = pair_of(recipient, person);
	int64 us = pair->whole_at_us - wa_now_us();

	wa_pair_rest(sender, pair);
	return Max(us, 0);
}

static void
test_known_before(void)
{
	begin();
	ok(of(PHONE, NULL) == wa_pair_key(number, PHONE), "whom nobody knows is himself");
	ok(of(PHONE, PHONE) == wa_pair_key(number, PHONE), "as is who has one name");
	ok(of(USER, PHONE) == of(PHONE, PHONE), "two names of a person are one recipient");
	ok(of(PARENT, PHONE) == of(USER, PHONE), "as are three");
	ok(of(OTHER, NULL) != of(USER, PHONE), "and another person is another");

	defer(PHONE, PHONE, 10);
	ok(is_behind(USER, PHONE, 11), "a message to one name does not pass one to another");
	ok(!is_behind(OTHER, NULL, 11), "and nobody else's waits for it");
	send_one(USER, PHONE);
	send_one(PHONE, PHONE);
	is_int(left(PARENT, PHONE), 2 * INTERVAL, "they have one limit");
	is_int(left(OTHER, NULL), 0, "of their own");
	wa_pair_returned(pair_of(PHONE, PHONE), 10);
}

/* A user id is learned while messages wait. */
static void
test_learned(void)
{
	begin();
	defer(USER, NULL, 10);
	send_one(USER, NULL);
	ok(is_behind(USER, PHONE, 11), "whose number is learned is not passed");
	ok(is_behind(PHONE, PHONE, 11), "nor by what goes to that");
	ok(wa_pair_returned(pair_of(PHONE, PHONE), 10), "what was deferred comes back to the same");
	is_int(left(PHONE, PHONE), INTERVAL, "what has been sent counts");
	ok(!is_behind(USER, PHONE, 12), "and then nothing is in the way");
}

/* Two of whom something is known turn out to be one. */
static void
test_merged(void)
{
	WaPair *pair;
	WaPair *into;

	begin();
	send_one(PHONE, NULL);
	send_one(USER, NULL);
	send_one(USER, NULL);
	defer(USER, NULL, 10);
	defer(USER, NULL, 30);
	defer(PHONE, NULL, 20);
	pair = pair_of(USER, NULL);
	wa_pair_take(pair, wa_now_us());
	pair->blocked_until = WALL + START + 50 * SECOND;
	pair->next_deferral_us = START + 70 * SECOND;
	pair->throttles = 2;
	wa_pair_set_aside(sender, pair, number, 8, 80);
	wa_pair_set_aside(sender, pair_of(PHONE, NULL), number, 7, 70);

	into = pair_of(USER, PHONE);
	ok(into == pair_of(PHONE, PHONE), "they are one recipient");
	is_int(into->n_deferred, 3, "all that is deferred is");
	ok(into->deferred[0] == 10 && into->deferred[1] == 20 && into->deferred[2] == 30, "in order");
	is_int(into->deferred_until_us - START, 60 * SECOND, "until then");
	is_int(into->in_flight, 1, "what is on the wire is on the wire");
	is_int(into->whole_at_us - START, 4 * INTERVAL, "what both have sent counts");
	is_int(into->blocked_until - WALL - START, 50 * SECOND, "and so do turns given to one");
	is_int(into->next_deferral_us - START, 70 * SECOND, "of both kinds");
	is_int(into->throttles, 2, "and what Meta has refused");
	is_int(into->n_waiting, 2, "what was set aside waits");
	is_int(sender->n_waiting, 2, "once");
	ok(dlist_head_element(WaWaiting, node, &into->waiting)->message_id == 7, "in its order");

	/* Whoever has kept the old key. */
	ok(wa_pair_get(sender, wa_pair_key(number, USER)) == into,
	   "a response to what was sent before finds it");
	ok(wa_pair_find(sender, wa_pair_key(number, USER)) == into, "and so does who looks for it");
	wa_pair_forget_waiting(sender, into);
	wa_pair_end(into, true);
	into->next_deferral_us = into->blocked_until = 0;
	into->throttles = 0;
	ok(wa_pair_returned(into, 10) && wa_pair_returned(into, 20) && wa_pair_returned(into, 30),
	   "everything is found where it is looked for");
	ok(!wa_pairs_any_deferred(), "and counted once");
}

/* The person to whom a name belongs changes from one to another, and to a third. */
static void
test_changes(void)
{
	begin();
	defer(USER, OTHER, 10);
	ok(is_behind(USER, PHONE, 11), "whose name goes to another person is not passed");
	defer(PHONE, PHONE, 20);
	ok(is_behind(USER, PARENT, 11), "nor if it goes to a third");
	ok(is_behind(PARENT, PARENT, 21), "who waits for both");
	ok(is_behind(USER, USER, 11) && is_behind(USER, NULL, 11),
	   "and to nobody else, it stays where its messages are");
	ok(of(OTHER, USER) == of(PARENT, PHONE), "it does not go round in circles");
}

/* Messages that are looked for are found under any key of the person. */
static void
test_found(void)
{
	WaMissing *missing;
	WaComingRow coming = {10, NUMBER, USER, 77};
	WaPair *pair;
	int n;

	begin();
	defer(USER, NULL, 10);
	n = wa_pair_missing(pair_of(USER, NULL), &missing);
	defer(PHONE, NULL, 20);
	pair = pair_of(USER, PHONE);
	number->cursor_rank = 100;
	wa_pairs_found(sender, missing, n, &coming, 1);
	is_int(pair->n_deferred, 2, "one that is coming to the person is waited for");
	is_int(number->cursor_rank, 77, "and read");
	missing[0].is_coming = false;
	wa_pairs_found(sender, missing, n, &coming, 0);
	is_int(pair->n_deferred, 1, "one that is not is not");
}

/* What has come due is claimed for the person. */
static void
test_came_due(void)
{
	WaWaiting *waiting;

	begin();
	defer(USER, PHONE, 10);
	wa_pair_came_due(sender, number, USER, 10, 100);
	waiting = dlist_head_element(WaWaiting, node, &number->again);
	ok(wa_pair_get(sender, waiting->pair_key) == pair_of(PHONE, PHONE), "by its own name, too");
	wa_pair_returned(pair_of(PHONE, PHONE), 10);
}

/* What is joined is not remembered longer than what it means. */
static void
test_forgotten(void)
{
	char user[32];

	begin();
	for (int i = 0; i < 9000; i++)
	{
		snprintf(user, sizeof(user), "CO.%d", i);
		send_one(user, PARENT);
	}
	wa_pairs_forget_joined(sender);
	wa_pairs_rest(sender);
	ok(wa_pairs_meant(sender, wa_pair_key(number, "CO.8999")) == wa_pair_key(number, PARENT),
	   "it is remembered for as long as there is something to remember");
	at(9001 * INTERVAL);
	wa_pairs_rest(sender);
	ok(wa_pairs_meant(sender, wa_pair_key(number, "CO.8999")) == wa_pair_key(number, "CO.8999"),
	   "and not longer");
	for (int i = 0; i < 9000; i++)
	{
		snprintf(user, sizeof(user), "CO.%d", i);
		of(user, PARENT);
	}
	wa_pairs_forget_joined(sender);
	ok(wa_pairs_meant(sender, wa_pair_key(number, "CO.1")) == wa_pair_key(number, "CO.1"),
	   "nor until the next sweep, where there are many");

	send_one(USER, PHONE);
	defer(PHONE, PHONE, 10);
	at(9010 * INTERVAL);
	wa_pairs_rest(sender);
	ok(is_behind(USER, NULL, 11), "nor forgotten while a message is deferred");
	wa_pair_returned(pair_of(PHONE, PHONE), 10);
	wa_pair_rest(sender, pair_of(PHONE, PHONE));
	wa_pairs_rest(sender);
	ok(of(USER, NULL) != of(PHONE, NULL), "but then");
}

int
main(void)
{
	test_known_before();
	test_learned();
	test_merged();
	test_changes();
	test_found();
	test_came_due();
	test_forgotten();
	return done_testing();
}
