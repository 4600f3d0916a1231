/*
 * Whether one message may leave now, and what becomes of it if not.
 */
#include "backend.h"

#include "sender/pace/messaging_limit.h"
#include "sender/pace/pair_order.h"
#include "sender/pace/pair_person.h"
#include "sender/pace/pair_waiting.h"
#include "tap.h"

#define RECIPIENT "573001112233"
#define INTERVAL (6 * SECOND)

static WaSender *sender;
static WaNumber *number;
static WaDisposition dispositions[20000];
static WaDispositions stopped = {dispositions, 0};

static void
begin(void)
{
	sender = new_sender();
	number = wa_number_get(&sender->numbers, NUMBER);
	stopped.n = 0;
}

static uint64
key_of(const WaClaimRow *row)
{
	return wa_pair_of_person(sender, number->key, wa_claim_row_recipient(row),
							 wa_claim_row_person(row));
}

/* The message is read, and sent if it may leave. */
static bool
pass(const WaClaimRow *row, bool by_id)
{
	WaPair *pair;

	stopped.n = 0;
	pair = wa_gate_pass(sender, number, row, key_of(row), by_id, true, &stopped);
	if (pair == NULL)
		return false;
	wa_pair_take(pair, wa_now_us());
	return true;
}

static bool
leaves(int64 message_id)
{
	WaClaimRow row = row_to(RECIPIENT, message_id);

	return pass(&row, false);
}

/* Its request has ended, with this effect on the pair limit. */
static void
ended(bool counts)
{
	WaPair *pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));

	wa_pair_end(pair, counts);
}

static bool
leaves_and_ends(int64 message_id)
{
	if (!leaves(message_id))
		return false;
	ended(true);
	return true;
}

/* How many recipients do not rest. */
static int
n_busy(void)
{
	HASH_SEQ_STATUS scan;
	int n = 0;

	wa_pairs_scan(sender, &scan);
	while (hash_seq_search(&scan) != NULL)
		n++;
	return n;
}

/* What became of the last one: "d pair_rate 6", with seconds from the start. */
static const char *
disposition(void)
{
	static char text[100];

	if (stopped.n == 0)
		return "none";
	snprintf(text, sizeof(text), "%c %s %.3g",
			 dispositions[0].state != 0 ? dispositions[0].state : '-',
			 dispositions[0].reason != NULL ? dispositions[0].reason : "",
			 dispositions[0].due_at != 0 ? (dispositions[0].due_at - WALL - START) / 1e6 : 0.0);
	return text;
}

static void
test_message(void)
{
	WaClaimRow row = row_to(RECIPIENT, 1);
	WaTenant *tenant;

	begin();
	tenant = wa_sender_tenant(sender, TENANT);
	ok(pass(&row, false), "nothing is in its way");
	ended(true);

	row.expires_at = wa_now();
	ok(!pass(&row, false), "one that has expired stays");
	is_str(disposition(), "- expired_before_sending 0", "and is finished");
	is_str(dispositions[0].status, "expired", "as expired");
	ok(!dispositions[0].queue_only, "which its row says");
	row.expires_at++;
	ok(pass(&row, false), "it had until then");
	ended(true);

	row.tenant_id = "nobody";
	ok(!pass(&row, false), "a tenant that is not there sends nothing");
	is_str(disposition(), "h tenant_disabled 0", "its messages are held");
	row.tenant_id = TENANT;
	tenant->enabled = false;
	ok(!pass(&row, false), "nor one that is disabled");
	tenant->enabled = true;

	tenant->paused_until = DT_NOEND;
	ok(!pass(&row, false), "nor one that is paused");
	is_str(disposition(), "h tenant_paused 0", "until that is over");
	ok(dispositions[0].queue_only, "of which its own row says nothing");
	tenant->paused_until = 0;

	row.may_leave = WA_THREAD_TAKEN;
	ok(!pass(&row, false), "nor what would take a conversation over");
	is_str(disposition(), "h thread_taken 0", "until it is ours again");
	tenant->takes_over = true;
	ok(pass(&row, false), "unless its tenant does that");
	ended(true);
	tenant->takes_over = false;
	row.may_leave = WA_MAY_LEAVE;

	row.template_name = "hello";
	row.template_language = "es";
	wa_sender_pause_template(sender, "hello", "en");
	ok(pass(&row, false), "a template that is paused in another language does not matter");
	ended(true);
	wa_sender_pause_template(sender, "hello", NULL);
	ok(!pass(&row, false), "one that is paused in all does");
	is_str(disposition(), "h template_paused 0", "until that is over");
	wa_sender_resume_templates(sender);
	ok(pass(&row, false), "then it goes on");
}

static void
test_number(void)
{
	WaClaimRow row = row_to(RECIPIENT, 1);
	WaTenant *tenant;

	begin();
	tenant = wa_sender_tenant(sender, TENANT);
	strlcpy(tenant->phone_number_id, "1", sizeof(tenant->phone_number_id));
	ok(!pass(&row, false), "the tenant has got another number");
	is_str(disposition(), "r  0", "it stays ready");
	is_str(dispositions[0].phone_number_id, "1", "at that one");
	ok(!dispositions[0].queue_only, "which its row says");

	tenant->phone_number_id[0] = '\0';
	ok(!pass(&row, false), "the tenant has none any more");
	is_str(disposition(), "h no_number 0", "it is held");
	ok(dispositions[0].phone_number_id == NULL, "without a number");
	wa_guc_phone_number_id = NUMBER;
	ok(pass(&row, false), "unless this is the default number");
	ended(true);
	sender->default_number_taken = true;
	ok(!pass(&row, false), "and no other tenant has it");
	wa_guc_phone_number_id = "";
}

/* 1 message in 6 seconds, and 45 at once. */
static void
test_pair_limit(void)
{
	int n = 0;

	begin();
	while (n < 100 && leaves_and_ends(n + 1))
		n++;
	is_int(n, 44, "a burst, short of one for what the network compresses");
	is_str(disposition(), "d pair_rate 6", "the next has its turn after six seconds");
	ok(dispositions[0].queue_only, "which stands in the queue alone");
	is_int(n_busy(), 0, "and of its recipient little is remembered");
	ok(!leaves(46), "nor does one that comes later leave");
	is_str(disposition(), "d pair_rate 12", "but six seconds after that");
	at(6 * SECOND);
	ok(!leaves(47), "a new one does not take the turn of those that wait");
	is_str(disposition(), "d pair_rate 18", "but the next after all of them");
	ok(leaves_and_ends(45), "which is there for the first");
	ok(!leaves(46), "and for nobody else");
	is_str(disposition(), "d pair_rate 12", "whose turn is as it was told");
	at(12 * SECOND);
	ok(leaves_and_ends(46), "and comes");
	at(18 * SECOND);
	ok(leaves_and_ends(47), "one after the other");

	begin();
	for (int i = 0; i < 44; i++)
		leaves_and_ends(i + 1);
	at(600 * SECOND);
	for (n = 0; leaves_and_ends(100 + n);)
		n++;
	is_int(n, 44, "a burst is whole again after a while, and no larger");

	begin();
	for (int i = 0; i < 44; i++)
		leaves_and_ends(i + 1);
	wa_pair_take(wa_pair_get(sender, wa_pair_key(number, RECIPIENT)), wa_now_us());
	ended(false);
	at(6 * SECOND);
	ok(leaves(45), "what was refused does not count");
}

static void
test_busy_recipient(void)
{
	WaPair *pair;
	WaClaimRow row;
	WaWaiting *waiting;

	begin();
	ok(leaves(1), "one is on its way");
	ok(!leaves(2) && !leaves(3), "others to the same recipient wait for its response");
	is_str(disposition(), "none", "in memory");
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	is_int(pair->n_waiting, 2, "both");
	is_int(sender->n_waiting, 2, "and are counted");
	row = row_to("573009998877", 4);
	ok(pass(&row, false), "another recipient need not wait");

	ended(true);
	ok(wa_pair_release_one(sender, pair), "the response is there: the first may go");
	is_int(number->n_again, 1, "and is claimed by its id");
	waiting = dlist_head_element(WaWaiting, node, &number->again);
	is_int(waiting->message_id, 2, "in order");
	ok(!leaves(5), "a later one goes behind those that wait");
	row = row_to(RECIPIENT, 2);
	ok(pass(&row, true), "one that was set aside has its turn");
	wa_pair_forget_waiting(sender, pair);
	is_int(sender->n_waiting, 0, "the others can be left to the cursor");

	begin();
	leaves(1);
	for (int i = 0; i < 10000; i++)
		sender->n_waiting++;
	ok(!leaves(2), "where too many wait in memory");
	is_str(disposition(), "d recipient_order 1", "they wait in the queue");
}

/* A deferred message is passed by nobody. */
static void
test_order(void)
{
	WaPair *pair;

	begin();
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_deferred(sender, pair, 10, wa_now() + 20 * SECOND);
	pair->blocked_until = wa_now() + 20 * SECOND;
	ok(!leaves(11), "a later message does not pass one that is deferred");
	is_str(disposition(), "d recipient_order 20", "but comes back with it");
	ok(leaves(9), "an earlier one need not wait");
	ended(true);
	at(20 * SECOND);
	ok(!leaves(11), "its time has come, but the first is not back");
	is_str(disposition(), "d recipient_order 20.1", "it waits for a moment");
	ok(leaves_and_ends(10), "the first is back");
	ok(leaves(11), "and then the second goes");
}

static void
test_tenant_rate(void)
{
	WaTenant *tenant;
	WaClaimRow row;
	char other[20];

	begin();
	tenant = wa_sender_tenant(sender, TENANT);
	tenant->has_rate = true;
	wa_bucket_init(&tenant->bucket, 2, 2, wa_now_us());
	wa_bucket_take(&tenant->bucket, 2, wa_now_us());
	for (int i = 1; i <= 3; i++)
	{
		snprintf(other, sizeof(other), "57300111%04d", i);
		row = row_to(other, i);
		ok(!pass(&row, false), "message %d is above the tenant's own rate", i);
		is_int(dispositions[0].due_at - wa_now(), i * SECOND / 2, "and has its turn by that rate");
	}
	row = row_to("573001110009", 9);
	row.rank = row.due_at - 1;
	ok(!pass(&row, false), "one of higher priority does not leave above the rate either");
	is_int(dispositions[0].due_at - wa_now(), SECOND / 2, "but does not go behind all others");

	at(SECOND / 2);
	row = row_to("573001110001", 1);
	ok(pass(&row, false), "one that comes back has its turn");
	wa_bucket_take(&tenant->bucket, 1, wa_now_us());
	at(SECOND - SECOND / 5);
	row = row_to("573001110002", 2);
	ok(pass(&row, false), "which the delays of a machine may move by half an interval");

	begin();
	tenant = wa_sender_tenant(sender, TENANT);
	tenant->has_rate = true;
	wa_bucket_init(&tenant->bucket, 2, 2, wa_now_us());
	wa_bucket_take(&tenant->bucket, 2, wa_now_us());
	for (int i = 1; i <= 3; i++)
	{
		snprintf(other, sizeof(other), "57300111%04d", i);
		row = row_to(other, i);
		pass(&row, false);
	}
	at(SECOND);
	row = row_to("573001110004", 4);
	ok(!pass(&row, false), "a new one goes behind those that wait, although there is room");
	is_int(dispositions[0].due_at - WALL - START, 2 * SECOND, "after the last of them");
}

static void
test_limit(void)
{
	WaClaimRow row = row_to(RECIPIENT, 1);

	begin();
	sender->reach_limit = 3;
	wa_sender_tenant(sender, TENANT)->listed = true;
	wa_sender_tenant(sender, TENANT)->daily_share = -1;
	wa_messaging_limit_configured(sender);
	for (int i = 1; i <= 2; i++)
	{
		ok(wa_gate_pass(sender, number, &row, key_of(&row), false, false, &stopped) != NULL,
		   "recipient %d is within the limit", i);
		row.message_id++;
	}
	stopped.n = 0;
	ok(wa_gate_pass(sender, number, &row, key_of(&row), false, false, &stopped) == NULL,
	   "the next is not");
	is_str(disposition(), "d budget 60", "it is looked at again");
	ok(wa_gate_pass(sender, number, &row, key_of(&row), false, true, &stopped) != NULL,
	   "what costs nothing of it goes");
}

int
main(void)
{
	test_message();
	test_number();
	test_pair_limit();
	test_busy_recipient();
	test_order();
	test_tenant_rate();
	test_limit();
	return done_testing();
}
