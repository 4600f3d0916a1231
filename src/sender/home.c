/*
 * home.c
 *	  Whether this database is the one from which its messages are to be sent.
 *
 * A copy must never send, and the original must not be taken for a copy.  What
 * says so is read from the tables (sql/10-installation.sql): when a sender starts,
 * when its configuration changes, and when somebody has changed the definition
 * of the queue, which is how a restore without triggers shows.
 *
 * Whoever loads rows into the queue writes into whatsapp_home first, in the same
 * transaction.  So a claim locks that table against writers before it looks: either
 * the loader has to wait, and the claim cannot see its rows, or he has ended, and
 * what he has left to be read again is known.
 *
 * A promoted standby is a copy, too, but one that takes the place of the original.
 * Sender 0 sees to that for the whole database; the others read of it.
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/inval.h"

#include "base/home.h"
#include "base/life_cycle.h"
#include "common/clock.h"
#include "sender/former_primary.h"
#include "sender/home.h"
#include "sender/store/home_rows.h"
#include "sender/store/transaction.h"
#include "sender/takeover.h"
#include "shared/held_numbers.h"
#include "shared/shmem.h"

/* While there is doubt: the former primary may have ended since. */
#define LOOK_AGAIN_US INT64_C(10000000)

/* What has changed is looked at at once, unless it keeps changing. */
#define STALE_AGAIN_US INT64_C(50000)

static Oid queue;
static Oid home_table;
static bool stale = true;
static int64 checked_us;
static char logged[sizeof(((WaHomeRow *) NULL)->doubt)];

/* Runs wherever invalidations are taken in: sets plain variables only. */
static void
relation_changed(Datum arg, Oid relid)
{
	if (relid != queue && OidIsValid(relid))
		return;
	((WaSender *) DatumGetPointer(arg))->at_home = false;
	stale = true;
}

static void
read_home(WaSender *sender, WaHomeRow *home)
{
	wa_store_begin("looking whether WhatsApp messages are sent from here");
	stale = false;
	wa_store_read_home(home);
	wa_store_commit();
	queue = home->queue;
	home_table = home->table;
	strlcpy(sender->installation_id, home->installation_id, sizeof(sender->installation_id));
	sender->at_home = home->doubt[0] == '\0' && !stale;
}

/* Once this is the place: what is to be known before the first claim. */
static void
read_takeover(WaSender *sender)
{
	wa_store_begin("looking whether WhatsApp messages were taken over");
	wa_takeover_read(sender);
	wa_store_commit();
}

/* Whether the data directory that this one was copied from has been succeeded by it. */
static bool
succeeds(WaHomeRow *home, WaPromotion *promotion)
{
	if (!home->copied || !wa_home_was_promoted(promotion))
		return false;
	if (!wa_former_primary_runs(promotion->before))
		return true;
	strlcpy(home->doubt, "It was promoted, and the primary that it had followed is still running.",
			sizeof(home->doubt));
	return false;
}

static void
take_over(WaSender *sender, WaHomeRow *home, const WaPromotion *promotion)
{
	wa_store_begin("taking over the sending of WhatsApp messages");
	wa_store_take_over();
	wa_takeover_begin(sender, promotion->before, promotion->replayed_until);
	wa_store_commit();
	read_home(sender, home);
}

/* A copy that is silent holds none. */
static void
publish_numbers(const WaSender *sender)
{
	uint64 *keys = NULL;
	int n = 0;

	if (sender->at_home)
	{
		wa_store_begin("reading the numbers of WhatsApp tenants");
		n = wa_store_tenants_numbers(&keys);
		wa_held_numbers_publish(keys, n);
		wa_store_commit();
	}
	else
		wa_held_numbers_publish(NULL, 0);
}

void
wa_home_check(WaSender *sender)
{
	static bool registered = false;
	WaHomeRow home;
	WaPromotion promotion;

	if (!registered)
		CacheRegisterRelcacheCallback(relation_changed, PointerGetDatum(sender));
	registered = true;
	read_home(sender, &home);
	if (sender->index == 0 && succeeds(&home, &promotion))
		take_over(sender, &home, &promotion);
	if (sender->at_home)
		read_takeover(sender);
	if (sender->index == 0)
		publish_numbers(sender);
	checked_us = wa_now_us();

	if (home.doubt[0] != '\0' && strcmp(home.doubt, logged) != 0 && sender->index == 0)
		ereport(
			WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg(WA_LIFE_CYCLE(
						"copy") "the messages of database \"%s\" belong to another installation",
					sender->slot->dbname),
			 errdetail("%s Nothing is sent.", home.doubt),
			 errhint("Call wa_adopt() in it if it is to send from here.")));
	strlcpy(logged, home.doubt, sizeof(logged));
}

bool
wa_home_keep(WaSender *sender)
{
	if (!ConditionalLockRelationOid(home_table, ShareLock))
	{
		/* His COMMIT will wake us; if he rolls back, we see it by the clock. */
		sender->at_home = false;
		checked_us = wa_now_us();
	}
	return sender->at_home &&
		   pg_atomic_read_u64(&sender->slot->config_generation) == sender->config_generation;
}

bool
wa_home_check_due(const WaSender *sender)
{
	return wa_home_wait_ms(sender) == 0;
}

/*
 * ANALYZE and VACUUM tell of a change, too, and a sender that was idle hears of it when
 * it begins to claim: that is put off, and nobody else will wake it.
 */
long
wa_home_wait_ms(const WaSender *sender)
{
	int64 wait;

	if (!stale && sender->at_home)
		return -1;
	wait = checked_us - wa_now_us() + (stale ? STALE_AGAIN_US : LOOK_AGAIN_US);
	return (long) (Max(wait, 0) + 999) / 1000;
}
