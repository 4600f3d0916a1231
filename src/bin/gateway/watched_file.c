/*
 * watched_file.c
 *	  Has a file changed since it was last looked at?
 */
#include "bin/gateway/watched_file.h"

#include <string.h>

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		   a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
		   a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		   a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

void
gw_watched_file_look(GwWatchedFile *file)
{
	if (stat(file->path, &file->seen) != 0)
		memset(&file->seen, 0, sizeof(file->seen));
}

bool
gw_watched_file_has_changed(GwWatchedFile *file)
{
	struct stat before = file->seen;

	if (file->path[0] == '\0')
		return false;
	gw_watched_file_look(file);
	return !same_file(&before, &file->seen);
}
