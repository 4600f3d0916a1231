/*
 * secret_file.c
 *	  Reading a file whose content is a secret.
 */
#include "bin/gateway/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *
check_file(int fd, size_t size)
{
	struct stat info;

	if (fstat(fd, &info) != 0)
		return strerror(errno);
	if (!S_ISREG(info.st_mode))
		return "is not a file";
	if (info.st_uid != 0 && info.st_uid != geteuid())
		return "belongs neither to root nor to the user whom the gateway runs as";
	if ((info.st_mode & S_IRWXO) != 0)
		return "can be read by others (chmod o= helps)";
	if ((info.st_mode & S_IWGRP) != 0)
		return "can be written by its group (chmod g-w helps)";
	if (info.st_size > (off_t) size)
		return "is too long";
	return NULL;
}

ssize_t
gw_secret_file_read(const char *path, char *text, size_t size, const char **wrong)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t len = -1;

	*wrong = fd < 0 ? strerror(errno) : check_file(fd, size);
	if (*wrong == NULL)
	{
		len = read(fd, text, size);
		if (len < 0)
			*wrong = strerror(errno);
	}
	if (fd >= 0)
		close(fd);
	return len;
}
