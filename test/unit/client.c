/*
 * client.c
 *	  The HTTP client under test, driven as the sender drives it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "certificate.h"
#include "client.h"

/* Longer than anything that these tests wait for. */
#define PATIENCE_MS 20000

static int turns;
static int longest_turn_ms;

static atomic_int lookups;
static atomic_int unmasked_lookups;
static pthread_mutex_t silence = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t silence_ends = PTHREAD_COND_INITIALIZER;
static bool silent = true;

/*
 * Stands before the C library's function, also for libcurl.
 */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
			struct addrinfo **result)
{
	static int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	const char *dot = name != NULL ? strrchr(name, '.') : NULL;
	sigset_t mask;

	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "getaddrinfo");
	if (dot == NULL || strcmp(dot, ".test") != 0)
		return next(name, service, hints, result);

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	if (!sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGHUP) ||
		!sigismember(&mask, SIGUSR1) || !sigismember(&mask, SIGALRM))
		unmasked_lookups++;
	lookups++;
	if (strcmp(name, "silent.test") == 0)
	{
		pthread_mutex_lock(&silence);
		while (silent)
			pthread_cond_wait(&silence_ends, &silence);
		pthread_mutex_unlock(&silence);
	}
	if (strcmp(name, "unknown.test") == 0)
		return EAI_NONAME;
	return next("127.0.0.1", service, hints, result);
}

int
client_lookups(void)
{
	return lookups;
}

bool
client_lookups_masked(void)
{
	return unmasked_lookups == 0;
}

static __thread int sends_left = -1;
static __thread int blocked_fd = -1;
static sem_t blocked;

void
client_block_after(int sends)
{
	sends_left = sends;
	blocked_fd = -1;
	if (sends > 0)
		sem_init(&blocked, 0, 0);
}

void
client_wait_until_blocked(void)
{
	sem_wait(&blocked);
}

/*
 * Like getaddrinfo above.  The servers' threads have counters of their own,
 * which never start.
 */
ssize_t
send(int fd, const void *data, size_t len, int flags)
{
	static ssize_t (*next)(int, const void *, size_t, int);

	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "send");
	if (fd == blocked_fd)
	{
		sem_post(&blocked);
		errno = EAGAIN;
		return -1;
	}
	if (sends_left > 0 && --sends_left == 0)
	{
		const char *end = memmem(data, len, "\r\n\r\n", 4);

		blocked_fd = fd;
		if (end != NULL)
			len = end + 4 - (const char *) data;
	}
	return next(fd, data, len, flags);
}

/*
 * The next socket of the same number is another one.
 */
int
close(int fd)
{
	static int (*next)(int);

	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "close");
	if (fd == blocked_fd)
		blocked_fd = -1;
	return next(fd);
}

void
client_end_lookups(void)
{
	pthread_mutex_lock(&silence);
	silent = false;
	pthread_cond_broadcast(&silence_ends);
	pthread_mutex_unlock(&silence);
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

WaHttpConfig
client_config(void)
{
	WaHttpConfig config = {
		.ca_file = certificate_ca_file(),
		.max_in_flight = CLIENT_MAX_IN_FLIGHT,
		.connect_timeout_ms = 5000,
		.request_timeout_ms = 10000,
		.max_response = 65536,
	};

	return config;
}

WaHttp *
client_create_with(const WaHttpConfig *config)
{
	WaHttp *http = wa_http_create(config);

	if (http == NULL || !wa_http_set_token(http, "first-token"))
	{
		fprintf(stderr, "could not create the client\n");
		abort();
	}
	return http;
}

WaHttp *
client_create(void)
{
	WaHttpConfig config = client_config();

	return client_create_with(&config);
}

WaHttpResult *
client_wait_ms(WaHttp *http, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;

	for (;;)
	{
		WaHttpResult *result;
		struct pollfd fd = {.fd = wa_http_epoll_fd(http), .events = POLLIN};
		int64_t began = now_ms();
		long wait;
		int64_t left;

		turns++;
		wa_http_step(http);
		if (now_ms() - began > longest_turn_ms)
			longest_turn_ms = (int) (now_ms() - began);
		result = wa_http_next_result(http);
		left = end - now_ms();
		if (result != NULL || left <= 0)
			return result;
		wait = wa_http_timeout_ms(http);
		if (wait < 0 || wait > left)
			wait = left;
		poll(&fd, 1, (int) wait);
	}
}

WaHttpResult *
client_wait(WaHttp *http)
{
	WaHttpResult *result = client_wait_ms(http, PATIENCE_MS);

	if (result == NULL)
	{
		fprintf(stderr, "no result\n");
		abort();
	}
	return result;
}

int
client_turns(void)
{
	return turns;
}

int
client_longest_turn_ms(void)
{
	return longest_turn_ms;
}

bool
client_submit(WaHttp *http, const char *base, const char *path, void *tag)
{
	char url[256];

	snprintf(url, sizeof(url), "%s%s", base, path);
	return wa_http_submit(http, url, "{\"n\":1}", 7, NULL, tag);
}

WaHttpResult *
client_post(WaHttp *http, const char *base, const char *path)
{
	if (!client_submit(http, base, path, NULL))
	{
		fprintf(stderr, "could not submit\n");
		abort();
	}
	return client_wait(http);
}
