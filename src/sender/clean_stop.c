/*
 * clean_stop.c
 *	  Whether the primary that this server followed was shut down in good order.
 *
 * A primary that shuts down sends everything to its standbys, and last of all its
 * shutdown checkpoint.  Nothing can follow that but a new start.  So where it is
 * the last record before the timelines part, as after a switch-over, the standby
 * knows all that its primary knew.  The record is the one before the first of the
 * new timeline, and the WAL of a moment ago is still there.
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "catalog/pg_control.h"

#include "base/subtransaction.h"
#include "sender/clean_stop.h"

typedef struct Question
{
	TimeLineID before;
	bool clean;
} Question;

static bool
is_shutdown(XLogReaderState *reader)
{
	return XLogRecGetRmid(reader) == RM_XLOG_ID &&
		   (XLogRecGetInfo(reader) & ~XLR_INFO_MASK) == XLOG_CHECKPOINT_SHUTDOWN;
}

/* Raises where the WAL is gone. */
static void
look(void *argument)
{
	Question *question = argument;
	TimeLineID now = GetWALInsertionTimeLine();
	XLogRecPtr parted = tliSwitchPoint(question->before, readTimeLineHistory(now), NULL);
	XLogReaderState *reader = XLogReaderAllocate(
		wal_segment_size, NULL,
		XL_ROUTINE(.page_read = &read_local_xlog_page_no_wait, .segment_open = &wal_segment_open,
				   .segment_close = &wal_segment_close),
		palloc0(sizeof(ReadLocalXLogPageNoWaitPrivate)));
	char *problem;

	if (reader == NULL || XLogFindNextRecord(reader, parted) == InvalidXLogRecPtr ||
		XLogReadRecord(reader, &problem) == NULL)
		return;
	XLogBeginRead(reader, XLogRecGetPrev(reader));
	question->clean = XLogReadRecord(reader, &problem) != NULL && is_shutdown(reader);
	XLogReaderFree(reader);
}

bool
wa_stopped_cleanly(TimeLineID before)
{
	Question question = {.before = before, .clean = false};

	return wa_subtransaction_run(look, &question) == NULL && question.clean;
}
