/*
 * The set of sockets: changes that are put off must not be lost, and a
 * descriptor that comes back as another socket must not be taken for the old.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/poller.h"
#include "tap.h"

static WaPoller *poller;

/*
 * What is reported for fd now; -1 if nothing.
 */
static int
reported(int fd)
{
	WaPollEvent events[16];
	int count = wa_poller_ready(poller, events, 16);

	for (int i = 0; i < count; i++)
	{
		if (events[i].fd == fd)
			return events[i].events;
	}
	return -1;
}

/*
 * Whether something that is registered would end a wait.
 */
static bool
wakes(void)
{
	struct pollfd fd = {.fd = wa_poller_fd(poller), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void
make_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
}

static void
make_readable(int other_end)
{
	if (write(other_end, "x", 1) != 1)
		abort();
}

static void
test_changes(void)
{
	int pair[2];

	make_pair(pair);
	make_readable(pair[1]);
	ok(wa_poller_opened(poller, pair[0]), "announced");
	is_int(wa_poller_open_sockets(poller), 1, "and counted");
	ok(wa_poller_want(poller, pair[0], WA_POLL_IN, &poller), "wanted");
	is_int(reported(pair[0]), -1, "not before it is applied");
	wa_poller_apply(poller);
	is_int(reported(pair[0]), WA_POLL_IN, "readable");
	is_int(reported(pair[0]), WA_POLL_IN, "as long as it is");

	wa_poller_want(poller, pair[0], 0, &poller);
	is_int(reported(pair[0]), -1, "nothing is reported that is not wanted");
	wa_poller_want(poller, pair[0], WA_POLL_OUT, &poller);
	wa_poller_want(poller, pair[0], WA_POLL_IN | WA_POLL_OUT, &poller);
	wa_poller_apply(poller);
	is_int(reported(pair[0]), WA_POLL_IN | WA_POLL_OUT, "the last of several changes counts");
	wa_poller_want(poller, pair[0], 0, &poller);
	wa_poller_want(poller, pair[0], WA_POLL_OUT, &poller);
	wa_poller_apply(poller);
	is_int(reported(pair[0]), WA_POLL_OUT, "also when it takes something away");
	wa_poller_want(poller, pair[0], 0, &poller);
	wa_poller_apply(poller);
	is_int(reported(pair[0]), -1, "nothing wanted, nothing reported");

	wa_poller_want(poller, pair[0], WA_POLL_IN, &poller);
	wa_poller_apply(poller);
	close(pair[1]);
	ok((reported(pair[0]) & (WA_POLL_IN | WA_POLL_ERROR)) != 0, "the other end is gone");
	wa_poller_closing(poller, pair[0]);
	close(pair[0]);
	is_int(wa_poller_open_sockets(poller), 0, "none open");
}

static void
test_same_number(void)
{
	int first[2];
	int second[2];
	int number;

	/* registered, closed, and the number comes back as an announced socket */
	make_pair(first);
	number = first[0];
	wa_poller_opened(poller, number);
	wa_poller_want(poller, number, WA_POLL_IN, &poller);
	wa_poller_apply(poller);
	wa_poller_closing(poller, number);
	close(number);
	make_pair(second);
	is_int(second[0], number, "the number is used again");
	wa_poller_opened(poller, number);
	wa_poller_want(poller, number, WA_POLL_IN, &poller);
	wa_poller_apply(poller);
	make_readable(second[1]);
	is_int(reported(number), WA_POLL_IN, "the new socket is registered");
	wa_poller_closing(poller, number);
	close(number);
	close(second[1]);

	/* closed without a word: announcing the next one clears the account */
	make_pair(second);
	wa_poller_opened(poller, second[0]);
	wa_poller_want(poller, second[0], WA_POLL_IN, &poller);
	wa_poller_apply(poller);
	close(second[0]);
	close(second[1]);
	make_pair(second);
	is_int(second[0], number, "and again");
	wa_poller_opened(poller, number);
	wa_poller_want(poller, number, WA_POLL_IN, &poller);
	wa_poller_apply(poller);
	make_readable(second[1]);
	is_int(reported(number), WA_POLL_IN, "registered as new");
	is_int(wa_poller_open_sockets(poller), 1, "and counted once");
	wa_poller_closing(poller, number);
	close(number);
	close(second[1]);

	/* closed without a word, and asked for */
	make_pair(second);
	make_pair(first);
	is_int(second[0], number, "and again");
	wa_poller_opened(poller, second[0]);
	wa_poller_opened(poller, first[0]);
	wa_poller_want(poller, number, WA_POLL_IN, &poller);
	wa_poller_apply(poller);
	is_int(wa_poller_next_lost(poller, -1), -1, "none is lost");
	close(second[0]);
	is_int(wa_poller_next_lost(poller, -1), number, "one is");
	is_int(wa_poller_next_lost(poller, number), -1, "the other is not");
	is_int(wa_poller_open_sockets(poller), 1, "and counts");
	close(second[1]);
	make_pair(second);
	wa_poller_want(poller, number, WA_POLL_IN, &poller);
	make_readable(second[1]);
	is_int(reported(number), WA_POLL_IN, "the next with that number is registered");
	wa_poller_want(poller, number, 0, &poller);
	close(second[0]);
	close(second[1]);

	/* its number belongs to something else by now */
	close(first[0]);
	second[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	second[1] = dup2(second[0], first[0]);
	is_int(wa_poller_next_lost(poller, -1), first[0], "nor is it open because its number is");
	is_int(wa_poller_open_sockets(poller), 0, "none open");
	if (second[0] != second[1])
		close(second[0]);
	close(first[0]);
	close(first[1]);

	/* the same with one that is not announced */
	make_pair(second);
	is_int(second[0], number, "and again");
	wa_poller_want(poller, number, WA_POLL_IN, &poller);
	make_readable(second[1]);
	is_int(reported(number), WA_POLL_IN, "one not announced is registered at once");
	wa_poller_want(poller, number, 0, &poller);
	is_int(reported(number), -1, "and taken out at once");
	is_int(wa_poller_open_sockets(poller), 0, "but not counted");
	close(number);
	close(second[1]);

	/* wanted, never applied, closed: nothing is left over */
	make_pair(second);
	wa_poller_opened(poller, second[0]);
	wa_poller_want(poller, second[0], WA_POLL_IN, &poller);
	wa_poller_closing(poller, second[0]);
	wa_poller_apply(poller);
	make_readable(second[1]);
	is_int(reported(second[0]), -1, "a change that is out of date is not applied");
	close(second[0]);
	close(second[1]);
	close(first[1]);
}

/*
 * A forked child would keep a closed socket in the kernel's set.
 */
static void
test_shared(void)
{
	int pair[2];
	int copy;

	make_pair(pair);
	wa_poller_opened(poller, pair[0]);
	wa_poller_want(poller, pair[0], WA_POLL_IN, &poller);
	wa_poller_apply(poller);
	copy = dup(pair[0]);
	wa_poller_closing(poller, pair[0]);
	close(pair[0]);
	make_readable(pair[1]);
	is_int(reported(pair[0]), -1, "closed here, open elsewhere: not reported");
	close(copy);
	close(pair[1]);
}

/*
 * Two ends of a TCP connection; the local port of the first is returned.
 */
static int
make_connection(int pair[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || pair[0] < 0 ||
		bind(listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
		listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *) &address, &len) < 0 ||
		connect(pair[0], (struct sockaddr *) &address, len) < 0 ||
		(pair[1] = accept(listener, NULL, NULL)) < 0 ||
		getsockname(pair[0], (struct sockaddr *) &address, &len) < 0)
		abort();
	close(listener);
	return ntohs(address.sin_port);
}

/*
 * Idle connections: wanted is the state before, applied whether the kernel
 * has heard that they are idle.
 */
static void
test_end(int wanted, bool applied, const char *what)
{
	int pair[2];
	int other[2];
	int port = make_connection(pair);
	int other_port = make_connection(other);

	wa_poller_opened(poller, pair[0]);
	wa_poller_opened(poller, other[0]);
	wa_poller_want(poller, pair[0], wanted, &poller);
	wa_poller_want(poller, other[0], wanted, &poller);
	wa_poller_apply(poller);
	wa_poller_want(poller, pair[0], 0, &poller);
	wa_poller_want(poller, other[0], 0, &poller);
	if (applied)
		wa_poller_apply(poller);
	is_int(reported(pair[0]), -1, "%s: an idle connection", what);
	ok(!wa_poller_is_closed_port(poller, port), "is not closed");
	make_readable(other[1]);
	close(pair[1]);
	is_int(reported(pair[0]), -1, "its end is no event");
	ok(wa_poller_is_closed_port(poller, port), "but is known");
	ok(!wa_poller_is_closed_port(poller, other_port), "what can be read from another is no end");
	ok(!wakes(), "and nobody is woken again");
	wa_poller_closing(poller, pair[0]);
	close(pair[0]);
	ok(!wa_poller_is_closed_port(poller, port), "forgotten when it is closed here");
	wa_poller_want(poller, other[0], WA_POLL_IN, &poller);
	wa_poller_apply(poller);
	is_int(reported(other[0]), WA_POLL_IN, "in use again, it is heard of");
	wa_poller_closing(poller, other[0]);
	close(other[0]);
	close(other[1]);
}

static void
test_many(void)
{
	int pair[2];
	int high;

	make_pair(pair);
	high = dup2(pair[0], 900);
	ok(wa_poller_opened(poller, high), "a high number");
	wa_poller_want(poller, high, WA_POLL_OUT, &poller);
	wa_poller_apply(poller);
	is_int(reported(high), WA_POLL_OUT, "works");
	wa_poller_closing(poller, high);
	close(high);
	close(pair[0]);
	close(pair[1]);
	ok(!wa_poller_want(poller, -1, WA_POLL_IN, &poller), "no descriptor at all");
	wa_poller_closing(poller, -1);
	wa_poller_closing(poller, 5000);
	is_int(wa_poller_open_sockets(poller), 0, "closing what was never opened");
}

int
main(void)
{
	poller = wa_poller_create();
	ok(poller != NULL && wa_poller_fd(poller) >= 0, "created");
	test_changes();
	test_same_number();
	test_shared();
	test_end(WA_POLL_IN, true, "after reading");
	test_end(WA_POLL_IN, false, "not yet applied");
	test_end(WA_POLL_OUT, true, "after writing");
	test_many();
	wa_poller_destroy(poller);
	wa_poller_destroy(NULL);
	return done_testing();
}
