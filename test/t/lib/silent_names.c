/*
 * A name server that says nothing, for tests: preloaded, this stands before the C
 * library's function, and names that end in ".silent" are found after 30 seconds only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <time.h>

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
			struct addrinfo **result)
{
	int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	const char *dot = name != NULL ? strrchr(name, '.') : NULL;
	struct timespec left = {30, 0};

	*(void **) &next = dlsym(RTLD_NEXT, "getaddrinfo");
	if (dot == NULL || strcmp(dot, ".silent") != 0)
		return next(name, service, hints, result);
	while (nanosleep(&left, &left) != 0)
		;
	return EAI_AGAIN;
}
