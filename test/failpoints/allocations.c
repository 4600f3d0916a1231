/*
 * allocations.c
 *	  Preloaded into a program, lets one of its allocations fail: its own ones and those
 *	  of its libraries alike.  For make check-fail-points alone.
 *
 * FAIL_POINTS_FILE is a file of two numbers of 64 bits, mapped by the program and its
 * test: which allocation is to fail (0: none), and how many there were.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile uint64_t *shared;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

static void __attribute__((constructor)) map_file(void)
{
	const char *path = getenv("FAIL_POINTS_FILE");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, 2 * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		shared = p;
}

static int
is_due(void)
{
	if (shared == NULL)
		return 0;
	if (__atomic_add_fetch(&shared[1], 1, __ATOMIC_SEQ_CST) != shared[0])
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return is_due() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return is_due() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
	return is_due() ? NULL : __libc_realloc(p, size);
}

char *
strdup(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = malloc(size);

	return copy == NULL ? NULL : memcpy(copy, s, size);
}
