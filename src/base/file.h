/*
 * file.h
 *	  Small files that people overwrite while they are being read.
 *
 * Nothing here raises an error or takes longer than the file system does.
 */
#ifndef WA_BASE_FILE_H
#define WA_BASE_FILE_H

#include <sys/types.h>
#include <time.h>

/* For so long a file must have been left alone before its contents count. */
#define WA_FILE_SETTLE_MS 500

/* What differs between one state of a file and the next. */
typedef struct WaFileState
{
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
	struct timespec changed;
} WaFileState;

/* The latest state seen, and since when; zeroed: none. */
typedef struct WaFileWatch
{
	WaFileState state;
	int64 since_ms;
} WaFileWatch;

typedef enum WaFileProblem
{
	WA_FILE_GOOD,
	WA_FILE_UNSETTLED,	/* somebody may still be writing it: look again */
	WA_FILE_UNREADABLE, /* errno says why */
	WA_FILE_NOT_REGULAR,
	WA_FILE_OPEN_TO_OTHERS,
	WA_FILE_TOO_LARGE,
	WA_FILE_UNUSABLE /* the caller's own verdict about its contents */
} WaFileProblem;

/* Milliseconds of a clock that only goes forward. */
extern int64 wa_file_now_ms(void);

extern bool wa_file_same_state(const WaFileState *a, const WaFileState *b);

/*
 * Brings the watch up to date.  WA_FILE_GOOD: it has been in this state for long
 * enough to be read.
 */
extern WaFileProblem wa_file_look(const char *path, WaFileWatch *watch);

/*
 * Reads the file into buffer (size bytes), which on failure may hold some of it.
 * Good only if it is in the watch's state before and afterwards.  private: others
 * than owner and group must not have access to it.
 */
extern WaFileProblem wa_file_read(const char *path, const WaFileWatch *watch, bool private,
								  char *buffer, size_t size, size_t *len);

/*
 * What is wrong, as a sentence, palloc'd.  path NULL: for somebody who may not see
 * it; error: errno of WA_FILE_UNREADABLE.
 */
extern char *wa_file_problem_text(WaFileProblem problem, int error, const char *path);

#endif
