/*
 * test_refusal.c
 *	  What is taken for proof that a request was refused, and what is not.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/refusal.h"
#include "tap.h"

/* A socket with a port, as a connection has one.  0: any. */
static int
open_socket(const char *address, int port)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &name.sin_addr);
	if (bind(fd, (struct sockaddr *) &name, sizeof(name)) < 0)
	{
		perror("bind");
		_exit(1);
	}
	return fd;
}

static int
port_of(int fd)
{
	struct sockaddr_in name;
	socklen_t len = sizeof(name);

	getsockname(fd, (struct sockaddr *) &name, &len);
	return ntohs(name.sin_port);
}

static bool
hear(WaStream *stream, const char *line)
{
	char text[200];

	snprintf(text, sizeof(text), "%s\n", line);
	return wa_stream_heard(stream, text, strlen(text));
}

/* A request whose body has left. */
static void
begin(WaStream *stream, WaConnection *connection)
{
	wa_stream_begun(stream, connection);
	wa_stream_proved(stream);
}

static bool
end(WaStream *stream, bool answered)
{
	wa_stream_ended(stream, answered);
	return wa_stream_is_refused(stream);
}

static void
test_connections(void)
{
	static WaConnections connections;
	int fd = open_socket("127.0.0.1", 0);
	int port = port_of(fd);
	int twin;
	WaConnection *connection;

	ok(wa_connections_find(&connections, port) == NULL, "unknown");
	wa_connections_opened(&connections, fd);
	connection = wa_connections_find(&connections, port);
	ok(connection != NULL && connection->fd == fd, "found by its port");
	ok(wa_connections_find(&connections, port) == connection, "and again");
	ok(wa_connections_find(&connections, 0) == NULL, "without a port none is");
	connection->begun = 7;

	twin = open_socket("127.0.0.2", port);
	wa_connections_opened(&connections, twin);
	ok(wa_connections_find(&connections, port) == NULL, "two with the same port: none");
	wa_connections_closing(&connections, twin);
	close(twin);
	ok(wa_connections_find(&connections, port) == connection, "one again");

	wa_connection_hold(connection);
	wa_connections_closing(&connections, fd);
	close(fd);
	ok(wa_connections_find(&connections, port) == NULL, "closed");
	is_int(connection->begun, 7, "and still there for who holds it");
	wa_connection_release(connection);

	fd = open_socket("127.0.0.1", port);
	wa_connections_opened(&connections, fd);
	connection = wa_connections_find(&connections, port);
	ok(connection != NULL && connection->begun == 0, "the next with the port is another one");

	/* libcurl does not always say that it closes one */
	connection->begun = 7;
	close(fd);
	is_int(open_socket("127.0.0.1", port), fd, "another socket with the same number");
	wa_connections_opened(&connections, fd);
	connection = wa_connections_find(&connections, port);
	ok(connection != NULL && connection->begun == 0, "takes the place of the one before");
	wa_connections_close(&connections);
	ok(wa_connections_find(&connections, port) == NULL, "all are closed");
	close(fd);
}

static void
test_counting(void)
{
	WaConnection c = {.users = 1};
	WaStream a = {0};
	WaStream b = {0};
	WaStream get = {0};

	begin(&a, &c);
	begin(&b, &c);
	hear(&a, "recveived GOAWAY, error=0, last_stream=1");
	ok(!end(&a, false), "the last that was taken");
	ok(end(&b, false), "one above it");
	ok(wa_stream_is_refused(&b), "and that stays so");

	c = (WaConnection){.users = 1};
	begin(&a, &c);
	hear(&a, "received GOAWAY, error=0, last_stream=2147483647");
	begin(&b, &c);
	hear(&a, "received GOAWAY, error=0, last_stream=3");
	ok(!end(&b, false), "the last that it said counts");
	end(&a, true);

	/* the second opened no stream, so the third has its number */
	c = (WaConnection){.users = 1};
	begin(&a, &c);
	wa_stream_begun(&get, &c);
	ok(!end(&get, false), "failed before its body was asked for");
	begin(&b, &c);
	hear(&a, "received GOAWAY, error=0, last_stream=3");
	ok(!end(&b, false), "whatever follows it is in doubt");
	end(&a, true);
	begin(&b, &c);
	ok(!end(&b, false), "for good");

	c = (WaConnection){.users = 1};
	begin(&a, &c);
	wa_stream_begun(&get, &c);
	begin(&b, &c);
	hear(&b, "received GOAWAY, error=0, last_stream=3");
	ok(!wa_stream_is_refused(&b), "as long as one is not certain, the next is in doubt");
	end(&get, true);
	ok(end(&b, false), "answered: it is certain");
	end(&a, true);

	/* begun again on another connection: on the first it may have opened none */
	c = (WaConnection){.users = 1};
	{
		WaConnection d = {.users = 1};

		wa_stream_begun(&get, &c);
		wa_stream_begun(&get, &d);
		begin(&b, &c);
		hear(&b, "received GOAWAY, error=0, last_stream=1");
		ok(!end(&b, false), "begun again elsewhere");
		end(&get, true);
		is_int(c.users + d.users, 2, "nobody holds a connection any more");
	}
	wa_stream_begun(&a, NULL);
	hear(&a, "received GOAWAY, error=0, last_stream=0");
	ok(!end(&a, false), "on a connection that is not known");
}

static void
test_hearing(void)
{
	WaConnection c = {.users = 1};
	WaStream a = {0};
	WaStream b = {0};

	begin(&a, &c);
	hear(&a, "We are completely uploaded and fine");
	hear(&a, "TLSv1.3 (IN), TLS handshake, Newsession Ticket (4):");
	hear(&a, "received GOAWAY, error=0, last_stream=0");
	ok(end(&a, false), "heard among harmless words");

	c = (WaConnection){.users = 1};
	begin(&a, &c);
	begin(&b, &c);
	hear(&a, "Connection died, retrying a fresh connect (retry count: 1)");
	hear(&a, "received GOAWAY, error=0, last_stream=0");
	ok(!end(&a, false), "not when it may be about another connection");
	ok(!end(&b, false), "nor for others on its own");

	c = (WaConnection){.users = 1};
	begin(&a, &c);
	hear(&a, "received GOAWAY, error=0, last=0");
	ok(!end(&a, false), "nor in other words");

	c = (WaConnection){.users = 1, .uncounted = true};
	begin(&a, &c);
	begin(&b, &c);
	hear(&a, "[HTTP/2] [1] OPENED stream for https://localhost/");
	hear(&b, "[HTTP/2] [3] OPENED stream for https://localhost/");
	hear(&b, "[HTTP/2] [9] [:method: POST]");
	hear(&a, "received GOAWAY, error=0, last_stream=1");
	ok(!end(&a, false), "told its number: the last that was taken");
	ok(end(&b, false), "and one above");

	c = (WaConnection){.users = 1};
	begin(&a, &c);
	hear(&a, "REFUSED_STREAM, retrying a fresh connect");
	ok(end(&a, false), "refused by a frame");
	begin(&a, &c);
	hear(&a, "HTTP/2 stream 5 refused by server, try again on a new connection");
	ok(end(&a, false), "in newer words");
	begin(&a, &c);
	ok(!end(&a, false), "the next request is another one");
}

/*
 * What ends a request at once: it is looked for when something was heard that can.
 */
static void
test_over(void)
{
	WaConnection c = {.users = 1, .uncounted = true};
	WaStream a = {0};
	WaStream b = {0};
	WaStream d = {0};

	begin(&a, &c);
	begin(&b, &c);
	wa_stream_begun(&d, &c);
	ok(!hear(&a, "[HTTP/2] [1] OPENED stream for https://localhost/"), "a number is no end");
	ok(!hear(&b, "[HTTP/2] [3] OPENED stream for https://localhost/"), "nor is another");
	ok(!hear(&a, "We are completely uploaded and fine"), "nor what is harmless");
	ok(!wa_stream_is_among_the_last(&a), "the server takes more requests");
	ok(hear(&a, "received GOAWAY, error=0, last_stream=1"), "a server that goes away may be");
	ok(wa_stream_is_among_the_last(&a), "it takes no more on this connection");
	ok(!wa_stream_is_over(&a), "the last that was taken may be answered");
	ok(wa_stream_is_over(&b), "the one above it will not");
	ok(!wa_stream_is_over(&d), "one whose number is not known may be");
	ok(hear(&d, "[HTTP/2] [5] OPENED stream for https://localhost/"), "it is said late");
	ok(wa_stream_is_over(&d), "this one will not, either");
	end(&a, true);
	end(&b, false);
	end(&d, false);
	is_int(c.users, 1, "nobody holds the connection any more");

	begin(&a, &c);
	ok(hear(&a, "Connection died, retrying a fresh connect (retry count: 1)"),
	   "libcurl begins it again");
	ok(wa_stream_is_over(&a), "so it is over");
	ok(!end(&a, false), "and nothing is known of it");
	begin(&a, &c);
	ok(!wa_stream_is_over(&a), "the next request is not");
	ok(hear(&a, "Downgrades to HTTP/1.1"), "begun again in another protocol");
	ok(wa_stream_is_over(&a), "it is over, too");
	end(&a, false);

	c = (WaConnection){.users = 1};
	begin(&a, &c);
	begin(&b, &c);
	ok(hear(&a, "recveived GOAWAY, error=0, last_stream=1"), "while numbers are counted");
	ok(!wa_stream_is_over(&b), "libcurl ends them itself");
	ok(end(&b, false), "the one above was refused nevertheless");
	end(&a, true);
}

int
main(void)
{
	test_connections();
	test_counting();
	test_hearing();
	test_over();
	return done_testing();
}
