/*
 * poller.c
 *	  An epoll descriptor that follows many sockets with few system calls.
 *
 * libcurl says at every step of a transfer what it waits for: a kept-alive
 * connection is dropped when its response is complete and added again for the
 * next request, often within microseconds.  Passing each of these on to the
 * kernel more than halves the rate of the whole loop.  So we remember what
 * is wanted, know what is registered, and apply the differences once, just
 * before somebody waits.
 *
 * That is only right as long as a descriptor stays the same socket: closing
 * one takes it out of the kernel's set without a word, and the next socket
 * gets the same number.  Sockets announced by wa_poller_opened() and
 * wa_poller_closing() are safe.  For others (libcurl's resolver has some of
 * its own) every change is passed on at once.
 *
 * An announced socket from which nothing is wanted is an idle connection.  It
 * stays registered for its end, so that nobody sends a request into a
 * connection that the peer has closed: libcurl looks for that, too, but not
 * in all versions, and not each time.  The next request will want to read, so
 * reading stays registered along with it, until something can be read that
 * nobody wants.
 *
 * Level-triggered: whatever is not read now is reported again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/poller.h"

#define READY_AT_ONCE 256

/* Of what is registered: the end of an idle connection. */
#define WATCH_END 8

typedef struct Socket
{
	void *owner;
	ino_t inode; /* of the socket that was announced; the kernel has no other with it */
	unsigned char wanted;
	unsigned char registered;
	bool announced;	 /* we hear of its closing */
	bool ended;		 /* idle, and closed by the peer */
	bool unexpected; /* idle, and readable nevertheless */
	bool queued;	 /* is in the list of changes */
} Socket;

struct WaPoller
{
	int epoll_fd;
	int open_sockets;
	int ended_sockets;
	Socket *sockets; /* by descriptor */
	int nsockets;
	int *changes; /* descriptors that may differ; nsockets places */
	int nchanges;
};

WaPoller *
wa_poller_create(void)
{
	WaPoller *poller = calloc(1, sizeof(WaPoller));

	if (poller == NULL)
		return NULL;
	poller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (poller->epoll_fd < 0)
	{
		free(poller);
		return NULL;
	}
	return poller;
}

/*
 * The sockets themselves belong to whoever opened them.
 */
void
wa_poller_destroy(WaPoller *poller)
{
	if (poller == NULL)
		return;
	close(poller->epoll_fd);
	free(poller->sockets);
	free(poller->changes);
	free(poller);
}

int
wa_poller_fd(const WaPoller *poller)
{
	return poller->epoll_fd;
}

int
wa_poller_open_sockets(const WaPoller *poller)
{
	return poller->open_sockets;
}

int
wa_poller_sockets_of(const WaPoller *poller, const void *owner)
{
	int count = 0;

	for (int fd = 0; fd < poller->nsockets; fd++)
		count += poller->sockets[fd].announced && poller->sockets[fd].owner == owner;
	return count;
}

/*
 * Makes room for fd in both arrays.
 */
static bool
reserve(WaPoller *poller, int fd)
{
	int n = poller->nsockets;
	Socket *sockets;
	int *changes;

	if (fd < n)
		return true;
	n = fd + 64;

	changes = realloc(poller->changes, n * sizeof(int));
	if (changes == NULL)
		return false;
	poller->changes = changes;
	sockets = realloc(poller->sockets, n * sizeof(Socket));
	if (sockets == NULL)
		return false;
	memset(sockets + poller->nsockets, 0, (n - poller->nsockets) * sizeof(Socket));
	poller->sockets = sockets;
	poller->nsockets = n;
	return true;
}

/*
 * Makes the kernel's set agree with what is wanted of fd.
 *
 * A failure is no error of ours to report: the request on that socket will
 * run into its timeout.  It takes a kernel without memory to get there.
 */
static void
apply_one(WaPoller *poller, int fd)
{
	Socket *s = &poller->sockets[fd];
	struct epoll_event event = {0};
	int target = s->wanted;
	int result;

	if (target == 0 && s->announced && !s->ended)
		target = s->registered == WA_POLL_IN && !s->unexpected ? WA_POLL_IN : WATCH_END;
	if (target == s->registered)
		return;

	event.data.fd = fd;
	if (target & WA_POLL_IN)
		event.events |= EPOLLIN;
	if (target & WA_POLL_OUT)
		event.events |= EPOLLOUT;
	if (target & (WA_POLL_IN | WATCH_END))
		event.events |= EPOLLRDHUP;

	if (target == 0)
		result = epoll_ctl(poller->epoll_fd, EPOLL_CTL_DEL, fd, &event);
	else if (s->registered == 0)
	{
		result = epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, fd, &event);
		if (result < 0 && errno == EEXIST)
			result = epoll_ctl(poller->epoll_fd, EPOLL_CTL_MOD, fd, &event);
	}
	else
	{
		result = epoll_ctl(poller->epoll_fd, EPOLL_CTL_MOD, fd, &event);
		if (result < 0 && errno == ENOENT)
			result = epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
	s->registered = (unsigned char) (result == 0 ? target : 0);
}

static void
set_ended(WaPoller *poller, Socket *s, bool ended)
{
	if (s->ended != ended)
		poller->ended_sockets += ended ? 1 : -1;
	s->ended = ended;
}

static ino_t
inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

bool
wa_poller_opened(WaPoller *poller, int fd)
{
	if (!reserve(poller, fd))
		return false;
	poller->sockets[fd].owner = NULL;
	poller->sockets[fd].inode = inode_of(fd);
	poller->sockets[fd].wanted = 0;
	poller->sockets[fd].registered = 0;
	poller->sockets[fd].unexpected = false;
	set_ended(poller, &poller->sockets[fd], false);
	if (!poller->sockets[fd].announced)
		poller->open_sockets++;
	poller->sockets[fd].announced = true;
	return true;
}

/*
 * To be called while fd is still open: if a child process shares the socket,
 * closing it would not take it out of the kernel's set.
 */
void
wa_poller_closing(WaPoller *poller, int fd)
{
	if (fd < 0 || fd >= poller->nsockets || !poller->sockets[fd].announced)
		return;
	poller->sockets[fd].wanted = 0;
	poller->sockets[fd].announced = false;
	apply_one(poller, fd);
	set_ended(poller, &poller->sockets[fd], false);
	poller->open_sockets--;
}

/*
 * A number that belongs to nothing now has nothing registered.  One that belongs to
 * something else may have: what was wanted of that stays.
 */
int
wa_poller_next_lost(WaPoller *poller, int fd)
{
	for (fd++; fd < poller->nsockets; fd++)
	{
		Socket *s = &poller->sockets[fd];
		ino_t inode;

		if (!s->announced || (inode = inode_of(fd)) == s->inode)
			continue;
		if (inode == 0)
			s->wanted = s->registered = 0;
		s->announced = false;
		set_ended(poller, s, false);
		poller->open_sockets--;
		return fd;
	}
	return -1;
}

bool
wa_poller_want(WaPoller *poller, int fd, int events, void *owner)
{
	Socket *s;

	if (fd < 0 || !reserve(poller, fd))
		return false;
	s = &poller->sockets[fd];
	s->wanted = (unsigned char) (events & (WA_POLL_IN | WA_POLL_OUT));
	s->owner = owner;
	s->unexpected = false;

	if (!s->announced)
		apply_one(poller, fd);
	else if (!s->queued)
	{
		s->queued = true;
		poller->changes[poller->nchanges++] = fd;
	}
	return true;
}

void
wa_poller_apply(WaPoller *poller)
{
	for (int i = 0; i < poller->nchanges; i++)
	{
		int fd = poller->changes[i];

		poller->sockets[fd].queued = false;
		apply_one(poller, fd);
	}
	poller->nchanges = 0;
}

bool
wa_poller_is_closed_port(const WaPoller *poller, int port)
{
	int left = poller->ended_sockets;

	for (int fd = 0; fd < poller->nsockets && left > 0; fd++)
	{
		struct sockaddr_storage address;
		socklen_t len = sizeof(address);

		if (!poller->sockets[fd].ended)
			continue;
		left--;
		if (getsockname(fd, (struct sockaddr *) &address, &len) < 0)
			continue;
		/* both families have the port at the same place */
		if ((address.ss_family == AF_INET || address.ss_family == AF_INET6) &&
			ntohs(((struct sockaddr_in *) &address)->sin_port) == port)
			return true;
	}
	return false;
}

/*
 * Notes the end of an idle connection, and asks for no more news of it.
 */
static void
note_end(WaPoller *poller, int fd)
{
	set_ended(poller, &poller->sockets[fd], true);
	apply_one(poller, fd);
}

int
wa_poller_ready(WaPoller *poller, WaPollEvent *out, int max)
{
	struct epoll_event events[READY_AT_ONCE];
	int count = 0;
	int n;

	if (max > READY_AT_ONCE)
		max = READY_AT_ONCE;
	n = epoll_wait(poller->epoll_fd, events, max, 0);
	for (int i = 0; i < n; i++)
	{
		int fd = events[i].data.fd;
		WaPollEvent *event = &out[count];

		if (poller->sockets[fd].announced && poller->sockets[fd].wanted == 0)
		{
			if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
				note_end(poller, fd);
			else
			{
				poller->sockets[fd].unexpected = true;
				apply_one(poller, fd);
			}
			continue;
		}
		event->fd = fd;
		event->owner = poller->sockets[fd].owner;
		event->events = 0;
		if (events[i].events & EPOLLIN)
			event->events |= WA_POLL_IN;
		if (events[i].events & EPOLLOUT)
			event->events |= WA_POLL_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			event->events |= WA_POLL_ERROR;
		count++;
	}
	return count;
}
