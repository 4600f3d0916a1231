/*
 * mark.c
 *	  Small files in the data directory that know whether they were copied.
 *
 * A mark holds a value, and beside it the number of its own inode and the time
 * at which that was born.  A restart, a crash, a new host name or a rename of
 * the data directory change neither.  A copy of the file, by whatever program,
 * has an inode of its own, and so does not count.  A snapshot of the file system
 * or of the volume below it keeps both: nothing inside such a copy differs from
 * the original, and docs/operating.md says what to do about it.
 *
 * Marks lie in pg_replslot.  Base backups leave out what is in there, and so do
 * the tools for backups that follow their list; pg_rewind removes it from its
 * target.  The server itself, at start, passes by what is no directory
 * (StartupReplicationSlots) or has a name that no slot can have
 * (StartupReorderBuffer), and pg_upgrade looks at slots by SQL.  The dot in our
 * names makes sure that no slot is called so.  The other directories that base
 * backups leave out are emptied when the server starts, or are not on disk.
 *
 * Not every file system knows when a file was born.  What is unknown on either
 * side is not compared: an update of the kernel must not turn the original into
 * a copy.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"

#include "base/mark.h"

#define MARK_PATH "pg_replslot/whatsapp_shared."
#define MARK_FORMAT "whatsapp_shared mark 1: "

typedef struct Birth
{
	uint64 inode;
	int64 time_ns; /* 0: unknown */
} Birth;

static bool
birth_of(int fd, Birth *birth)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	birth->inode = (uint64) st.st_ino;
	birth->time_ns = 0;
#ifdef STATX_BTIME
	{
		struct statx stx;

		if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) == 0 &&
			(stx.stx_mask & STATX_BTIME) != 0)
			birth->time_ns =
				(int64) stx.stx_btime.tv_sec * INT64_C(1000000000) + stx.stx_btime.tv_nsec;
	}
#endif
	return true;
}

static bool
same_birth(const Birth *a, const Birth *b)
{
	return a->inode == b->inode && (a->time_ns == 0 || b->time_ns == 0 || a->time_ns == b->time_ns);
}

static void
path_of(const char *name, const char *suffix, char *path)
{
	snprintf(path, MAXPGPATH, MARK_PATH "%s%s", name, suffix);
}

/* What is written in it, and where that was first written; false if unreadable. */
static bool
parse(const char *text, Birth *written, char *value)
{
	unsigned long long inode;
	long long time_ns;

	StaticAssertStmt(WA_MARK_SIZE == 64, "the format below has the size in it");
	if (sscanf(text, MARK_FORMAT "%llu %lld %63s", &inode, &time_ns, value) != 3)
		return false;
	written->inode = inode;
	written->time_ns = time_ns;
	return true;
}

bool
wa_mark_read(const char *name, char *value)
{
	char path[MAXPGPATH];
	char text[256];
	char found[WA_MARK_SIZE];
	Birth here;
	Birth written;
	ssize_t n = -1;
	int fd;

	path_of(name, "", path);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0 && errno == ENOENT)
		return false;
	if (fd >= 0 && birth_of(fd, &here))
		n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", path)));
	if (fd >= 0)
		CloseTransientFile(fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	if (!parse(text, &written, found) || !same_birth(&here, &written))
		return false;
	strlcpy(value, found, WA_MARK_SIZE);
	return true;
}

/* The file gets its inode under another name, and so is never seen half written. */
void
wa_mark_write(const char *name, const char *value)
{
	char path[MAXPGPATH];
	char new_path[MAXPGPATH];
	char text[256];
	Birth birth;
	int fd;

	path_of(name, "", path);
	path_of(name, ".new", new_path);
	if (unlink(new_path) != 0 && errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", new_path)));
	fd = OpenTransientFile(new_path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY);
	if (fd < 0 || !birth_of(fd, &birth))
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not create file \"%s\": %m", new_path)));
	snprintf(text, sizeof(text), MARK_FORMAT "%llu %lld %s\n", (unsigned long long) birth.inode,
			 (long long) birth.time_ns, value);
	errno = 0;
	if (write(fd, text, strlen(text)) != (ssize_t) strlen(text))
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write to file \"%s\": %m", new_path)));
	}
	if (pg_fsync(fd) != 0 || CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not flush file \"%s\": %m", new_path)));
	durable_rename(new_path, path, ERROR);
}
