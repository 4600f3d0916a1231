/*
 * home.c
 *	  What tells this data directory from its copies, and whether it has
 *	  followed another one by streaming replication.
 *
 * Two marks (base/mark.c).  "home" holds a random token, made when the first
 * database of the cluster creates or adopts the extension; whatsapp_home keeps
 * what it was, so that a row in a copied database is held against the file that
 * was not copied.  "standby" holds the timeline on which this server has last
 * been seen streaming: if a later timeline descends from that one, the server
 * was promoted, and has taken the place of the one that it followed.  A server
 * that merely starts on somebody's backup has never streamed.  With it is the
 * time of the last that was replayed, once recovery has ended.
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/xlog.h"
#include "catalog/pg_extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "base/home.h"
#include "base/mark.h"

#define HOME_MARK "home"
#define STANDBY_MARK "standby"

#define TOKEN_BYTES 16

PG_FUNCTION_INFO_V1(wa_internal_home_token);
PG_FUNCTION_INFO_V1(wa_internal_make_home_token);

/* The token of this data directory; NULL if it has none, or only that of another. */
Datum
wa_internal_home_token(PG_FUNCTION_ARGS)
{
	char token[WA_MARK_SIZE];

	if (!wa_mark_read(HOME_MARK, token))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(token));
}

/* One session in the whole cluster at a time, until the end of its transaction. */
static void
lock_home(void)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, ExtensionRelationId, InvalidOid, 0);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* The same, made if there is none. */
Datum
wa_internal_make_home_token(PG_FUNCTION_ARGS)
{
	uint8 bytes[TOKEN_BYTES];
	char token[WA_MARK_SIZE];

	lock_home();
	if (!wa_mark_read(HOME_MARK, token))
	{
		if (!pg_strong_random(bytes, sizeof(bytes)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
		token[hex_encode((char *) bytes, sizeof(bytes), token)] = '\0';
		wa_mark_write(HOME_MARK, token);
	}
	PG_RETURN_TEXT_P(cstring_to_text(token));
}

void
wa_home_note_streaming(TimeLineID timeline, TimestampTz replayed_until)
{
	char value[WA_MARK_SIZE];

	snprintf(value, sizeof(value), UINT64_FORMAT ":%u:" INT64_FORMAT, GetSystemIdentifier(),
			 timeline, replayed_until);
	wa_mark_write(STANDBY_MARK, value);
}

/* A mark of version 1.0.0 has no time in it. */
bool
wa_home_was_promoted(WaPromotion *promotion)
{
	char value[WA_MARK_SIZE];
	unsigned long long system_identifier;
	long long replayed_until = 0;
	TimeLineID now = GetWALInsertionTimeLine();

	if (!wa_mark_read(STANDBY_MARK, value) ||
		sscanf(value, "%llu:%u:%lld", &system_identifier, &promotion->before, &replayed_until) < 2)
		return false;
	promotion->replayed_until = replayed_until;
	return system_identifier == GetSystemIdentifier() && promotion->before < now &&
		   tliInHistory(promotion->before, readTimeLineHistory(now));
}
