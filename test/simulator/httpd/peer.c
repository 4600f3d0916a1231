/*
 * peer.c
 *	  Something slow that is asked over a socket, as a database is.
 *
 * A child process that sends back each byte it gets.
 */
#include "peer.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bin/httpd/loop.h"
#include "bin/httpd/util.h"

static int peer_fd = -1;
static void (*peer_answered)(void);

/* Keeps nothing of the server's open: its clients would not see it close. */
static void
peer_serve(int fd)
{
	char byte;

	for (int other = 3; other < 1024; other++)
	{
		if (other != fd)
			close(other);
	}
	while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
		;
	_exit(0);
}

static void
peer_readable(int fd, uint32_t events, void *arg)
{
	char byte;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) == 1)
		peer_answered();
}

static void
peer_connect(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		httpd_die("could not make a pair of sockets");
	switch (fork())
	{
		case -1:
			httpd_die("could not fork");
		case 0:
			peer_serve(pair[1]);
	}
	close(pair[1]);
	peer_fd = pair[0];
	httpd_loop_watch(peer_fd, EPOLLIN, peer_readable, NULL);
}

void
peer_start(void (*answered)(void))
{
	peer_answered = answered;
	peer_connect();
}

void
peer_ask(void)
{
	if (write(peer_fd, "?", 1) != 1)
		httpd_die("could not ask the peer");
}

void
peer_reconnect(void)
{
	close(peer_fd);
	peer_connect();
}
