/*
 * file.c
 *	  Small files that people overwrite while they are being read.
 *
 * Whoever replaces a credential by "echo new > file" truncates the file first and
 * writes it afterwards, maybe in pieces.  A reader that comes in between finds
 * nothing, or a half; and nothing in the file says which.  So a file counts once it
 * has been left alone for a moment: by its own times, or, where those cannot be
 * trusted (another machine's clock, a time in the future), by what we have seen of
 * it.  And it is in the same state after it was read as before.
 *
 * The file is opened without blocking and must be a regular one, so that a path to a
 * pipe cannot stop a process.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static int64
milliseconds(const struct timespec *t)
{
	return (int64) t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

int64
wa_file_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return milliseconds(&now);
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool
wa_file_same_state(const WaFileState *a, const WaFileState *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
		   same_time(&a->modified, &b->modified) && same_time(&a->changed, &b->changed);
}

static WaFileState
state_of(const struct stat *st)
{
	WaFileState state = {0};

	state.device = st->st_dev;
	state.inode = st->st_ino;
	state.size = st->st_size;
	state.modified = st->st_mtim;
	state.changed = st->st_ctim;
	return state;
}

WaFileProblem
wa_file_look(const char *path, WaFileWatch *watch)
{
	struct stat st;
	struct timespec now;
	WaFileState state;
	int64 age;

	if (stat(path, &st) != 0)
		return WA_FILE_UNREADABLE;
	state = state_of(&st);
	if (watch->since_ms == 0 || !wa_file_same_state(&state, &watch->state))
	{
		watch->state = state;
		watch->since_ms = wa_file_now_ms();
	}
	clock_gettime(CLOCK_REALTIME, &now);
	age = milliseconds(&now) - Max(milliseconds(&state.modified), milliseconds(&state.changed));
	if (age >= WA_FILE_SETTLE_MS || wa_file_now_ms() - watch->since_ms >= WA_FILE_SETTLE_MS)
		return WA_FILE_GOOD;
	return WA_FILE_UNSETTLED;
}

/* Reads from an open file; see wa_file_read. */
static WaFileProblem
read_open(int fd, const WaFileWatch *watch, bool private, char *buffer, size_t size, size_t *len)
{
	struct stat st;
	WaFileState state;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return WA_FILE_UNREADABLE;
	if (!S_ISREG(st.st_mode))
		return WA_FILE_NOT_REGULAR;
	if (private && (st.st_mode & S_IRWXO) != 0)
		return WA_FILE_OPEN_TO_OTHERS;
	if (st.st_size > (off_t) size)
		return WA_FILE_TOO_LARGE;

	*len = 0;
	while (*len < size && (n = read(fd, buffer + *len, size - *len)) != 0)
	{
		if (n < 0)
			return WA_FILE_UNREADABLE;
		*len += n;
	}
	if (fstat(fd, &st) != 0)
		return WA_FILE_UNREADABLE;
	state = state_of(&st);
	return wa_file_same_state(&state, &watch->state) ? WA_FILE_GOOD : WA_FILE_UNSETTLED;
}

WaFileProblem
wa_file_read(const char *path, const WaFileWatch *watch, bool private, char *buffer, size_t size,
			 size_t *len)
{
	WaFileProblem problem;
	int save_errno;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);

	if (fd < 0)
		return WA_FILE_UNREADABLE;
	problem = read_open(fd, watch, private, buffer, size, len);
	save_errno = errno;
	close(fd);
	errno = save_errno;
	return problem;
}

char *
wa_file_problem_text(WaFileProblem problem, int error, const char *path)
{
	char *file = path == NULL ? pstrdup("the file") : psprintf("file \"%s\"", path);

	switch (problem)
	{
		case WA_FILE_UNREADABLE:
			return psprintf("Could not open %s: %s.", file, strerror(error));
		case WA_FILE_NOT_REGULAR:
			return psprintf("This is not a regular file: %s.", file);
		case WA_FILE_OPEN_TO_OTHERS:
			return psprintf("Users other than the owner and group have access to %s.", file);
		case WA_FILE_TOO_LARGE:
			return psprintf("This is too large: %s.", file);
		case WA_FILE_UNUSABLE:
			return psprintf("The contents of %s cannot be used.", file);
		case WA_FILE_UNSETTLED:
			return psprintf("Somebody is writing %s.", file);
		case WA_FILE_GOOD:
			break;
	}
	return pstrdup("");
}
