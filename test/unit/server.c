/*
 * server.c
 *	  A scripted server for tests of the HTTP client.
 *
 * Blocking sockets and threads: a handler reads like the story it tells.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certificate.h"
#include "server.h"

#define MAX_PEERS 256

/* More than any story takes. */
#define STORY_S 100

struct Peer
{
	Server *server;
	int number;
	int fd;
	SSL *ssl;
	pthread_t thread;
	bool reset;
};

struct Server
{
	ServerKind kind;
	PeerHandler handler;
	void *arg;
	int listener;
	int port;
	char url[64];
	SSL_CTX *ssl_ctx;
	pthread_t thread;
	int stop_pipe[2]; /* readable end: the server is being stopped */
	atomic_bool refusing;
	atomic_int requests;
	atomic_int connections;
	atomic_int closed;
	Peer peers[MAX_PEERS];
};

static void
die(const char *what)
{
	perror(what);
	abort();
}

/* ---- reading and writing ---- */

bool
peer_read(Peer *peer, void *out, size_t len)
{
	char *p = out;

	while (len > 0)
	{
		ssize_t n;

		if (peer->ssl != NULL)
			n = SSL_read(peer->ssl, p, (int) len);
		else
			n = recv(peer->fd, p, len, 0);
		if (n <= 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

void
peer_write(Peer *peer, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0)
	{
		ssize_t n;

		if (peer->ssl != NULL)
			n = SSL_write(peer->ssl, p, (int) len);
		else
			n = send(peer->fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		p += n;
		len -= n;
	}
}

void
peer_print(Peer *peer, const char *format, ...)
{
	char text[8192];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len < 0 || len >= (int) sizeof(text))
		die("peer_print");
	peer_write(peer, text, len);
}

void
peer_answer(Peer *peer, int status, const char *headers, const char *body)
{
	peer_print(peer, "HTTP/1.1 %d Whatever\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
			   strlen(body), body);
}

bool
peer_read_head(Peer *peer, Request *request)
{
	size_t len = 0;
	const char *length;

	memset(request, 0, sizeof(*request));
	while (len < 4 || memcmp(request->head + len - 4, "\r\n\r\n", 4) != 0)
	{
		if (len == sizeof(request->head) - 1 || !peer_read(peer, request->head + len, 1))
			return false;
		len++;
	}
	length = strcasestr(request->head, "\r\nContent-Length:");
	if (length != NULL)
		request->body_len = strtoul(length + 17, NULL, 10);
	return true;
}

bool
peer_read_request(Peer *peer, Request *request)
{
	size_t left;

	if (!peer_read_head(peer, request))
		return false;
	left = request->body_len;
	for (size_t at = 0; left > 0;)
	{
		char skipped[4096];
		size_t n = left < sizeof(skipped) ? left : sizeof(skipped);

		if (!peer_read(peer, skipped, n))
			return false;
		if (at == 0)
			memcpy(request->body, skipped, n < sizeof(request->body) ? n : n - 1);
		at += n;
		left -= n;
	}
	peer->server->requests++;
	return true;
}

int
peer_number(const Peer *peer)
{
	return peer->number;
}

Server *
peer_server(const Peer *peer)
{
	return peer->server;
}

void
peer_reset_on_close(Peer *peer)
{
	struct linger linger = {1, 0};

	peer->reset = true;
	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void
peer_wait_for_close(Peer *peer)
{
	for (;;)
	{
		struct pollfd fds[2] = {{.fd = peer->fd, .events = POLLRDHUP | POLLIN},
								{.fd = peer->server->stop_pipe[0], .events = POLLIN}};
		char byte[256];

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents != 0)
			return;
		if (fds[0].revents != 0 && recv(peer->fd, byte, sizeof(byte), MSG_DONTWAIT) <= 0)
			return;
	}
}

/* ---- HTTP/2 ---- */

static void
put32(unsigned char *p, uint32_t value)
{
	p[0] = value >> 24;
	p[1] = value >> 16;
	p[2] = value >> 8;
	p[3] = value;
}

void
peer_h2_write(Peer *peer, int type, int flags, uint32_t stream, const void *payload, size_t len)
{
	unsigned char frame[9 + 16384];

	frame[0] = len >> 16;
	frame[1] = len >> 8;
	frame[2] = len;
	frame[3] = type;
	frame[4] = flags;
	put32(frame + 5, stream);
	if (len > 0)
		memcpy(frame + 9, payload, len);
	peer_write(peer, frame, 9 + len);
}

static bool
read_frame(Peer *peer, Frame *frame)
{
	unsigned char head[9];

	if (!peer_read(peer, head, sizeof(head)))
		return false;
	frame->len = head[0] << 16 | head[1] << 8 | head[2];
	frame->type = head[3];
	frame->flags = head[4];
	frame->stream = (head[5] & 0x7fU) << 24 | head[6] << 16 | head[7] << 8 | head[8];
	if (frame->len > sizeof(frame->payload))
		die("frame too large");
	return peer_read(peer, frame->payload, frame->len);
}

bool
peer_h2_begin(Peer *peer)
{
	char preface[24];

	if (!peer_read(peer, preface, sizeof(preface)) ||
		memcmp(preface, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", sizeof(preface)) != 0)
		return false;
	peer_h2_write(peer, H2_SETTINGS, 0, 0, NULL, 0);
	return true;
}

bool
peer_h2_read(Peer *peer, Frame *frame)
{
	while (read_frame(peer, frame))
	{
		if (frame->type == H2_SETTINGS && !(frame->flags & H2_ACK))
			peer_h2_write(peer, H2_SETTINGS, H2_ACK, 0, NULL, 0);
		else if (frame->type == H2_PING && !(frame->flags & H2_ACK))
			peer_h2_write(peer, H2_PING, H2_ACK, 0, frame->payload, frame->len);
		else if (frame->stream != 0)
			return true;
	}
	return false;
}

uint32_t
peer_h2_read_request(Peer *peer)
{
	Frame frame;

	while (peer_h2_read(peer, &frame))
	{
		if ((frame.type == H2_HEADERS || frame.type == H2_DATA) && (frame.flags & H2_END_STREAM))
		{
			peer->server->requests++;
			return frame.stream;
		}
	}
	return 0;
}

void
peer_h2_answer(Peer *peer, uint32_t stream, const char *body, bool end)
{
	/* HPACK: entry 8 of the static table is ":status: 200" */
	peer_h2_write(peer, H2_HEADERS, H2_END_HEADERS, stream, "\x88", 1);
	peer_h2_write(peer, H2_DATA, end ? H2_END_STREAM : 0, stream, body, strlen(body));
}

void
peer_h2_reset(Peer *peer, uint32_t stream, uint32_t error)
{
	unsigned char payload[4];

	put32(payload, error);
	peer_h2_write(peer, H2_RST_STREAM, 0, stream, payload, sizeof(payload));
}

void
peer_h2_goaway(Peer *peer, uint32_t last_stream, uint32_t error)
{
	unsigned char payload[8];

	put32(payload, last_stream);
	put32(payload + 4, error);
	peer_h2_write(peer, H2_GOAWAY, 0, 0, payload, sizeof(payload));
}

/* ---- connections ---- */

static int
select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
			unsigned int in_len, void *arg)
{
	Server *server = arg;
	const unsigned char *offer =
		(const unsigned char *) (server->kind == SERVER_TLS_H2 ? "\x02h2" : "\x08http/1.1");

	if (SSL_select_next_proto((unsigned char **) out, out_len, offer, offer[0] + 1, in, in_len) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

static void *
peer_main(void *arg)
{
	Peer *peer = arg;
	Server *server = peer->server;
	bool ready = true;

	if (server->ssl_ctx != NULL)
	{
		peer->ssl = SSL_new(server->ssl_ctx);
		SSL_set_fd(peer->ssl, peer->fd);
		ready = SSL_accept(peer->ssl) == 1;
	}
	if (ready)
		server->handler(peer, server->arg);
	if (peer->ssl != NULL && ready && !peer->reset)
		SSL_shutdown(peer->ssl);
	SSL_free(peer->ssl);
	/* with unread input, close() alone would be a reset */
	if (!peer->reset)
		shutdown(peer->fd, SHUT_WR);
	close(peer->fd);
	server->closed++;
	return NULL;
}

static void
mute_handler(Peer *peer, void *arg)
{
	peer_wait_for_close(peer);
}

static void *
accept_main(void *arg)
{
	Server *server = arg;

	for (;;)
	{
		struct pollfd fds[2] = {{.fd = server->refusing ? -1 : server->listener, .events = POLLIN},
								{.fd = server->stop_pipe[0], .events = POLLIN}};
		Peer *peer;
		int one = 1;
		int fd;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (fds[1].revents != 0)
			return NULL;
		fd = accept(server->listener, NULL, NULL);
		if (fd < 0)
			continue;
		if (server->connections == MAX_PEERS)
			die("too many connections");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		peer = &server->peers[server->connections];
		peer->server = server;
		peer->number = server->connections;
		peer->fd = fd;
		/* before anybody can know of it by an answer */
		server->connections++;
		if (pthread_create(&peer->thread, NULL, peer_main, peer) != 0)
			die("pthread_create");
	}
}

Server *
server_start(ServerKind kind, PeerHandler handler, void *arg)
{
	Server *server = calloc(1, sizeof(Server));
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	bool tls = kind == SERVER_TLS || kind == SERVER_TLS_H2;

	if (server == NULL)
		die("calloc");
	/* a story that hangs is a failure, not a test without an end */
	alarm(STORY_S);
	/* as the server's processes have it, which libcurl relies on */
	signal(SIGPIPE, SIG_IGN);
	server->kind = kind;
	server->handler = kind == SERVER_MUTE ? mute_handler : handler;
	server->arg = arg;
	if (tls)
	{
		server->ssl_ctx = certificate_context();
		SSL_CTX_set_alpn_select_cb(server->ssl_ctx, select_alpn, server);
	}

	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server->listener < 0 ||
		bind(server->listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
		listen(server->listener, 128) < 0 ||
		getsockname(server->listener, (struct sockaddr *) &address, &len) < 0 ||
		pipe(server->stop_pipe) < 0)
		die("listen");
	server->port = ntohs(address.sin_port);
	snprintf(server->url, sizeof(server->url), "%s://localhost:%d",
			 tls || kind == SERVER_MUTE ? "https" : "http", server->port);
	if (pthread_create(&server->thread, NULL, accept_main, server) != 0)
		die("pthread_create");
	return server;
}

/*
 * The client should have closed its connections: what a handler still waits
 * for then ends.
 */
void
server_stop(Server *server)
{
	if (write(server->stop_pipe[1], "x", 1) != 1)
		die("write");
	pthread_join(server->thread, NULL);
	for (int i = 0; i < server->connections; i++)
		pthread_join(server->peers[i].thread, NULL);
	close(server->listener);
	close(server->stop_pipe[0]);
	close(server->stop_pipe[1]);
	SSL_CTX_free(server->ssl_ctx);
	free(server);
}

void
server_refuse(Server *server)
{
	server->refusing = true;
	shutdown(server->listener, SHUT_RDWR);
}

const char *
server_url(const Server *server)
{
	return server->url;
}

int
server_port(const Server *server)
{
	return server->port;
}

int
server_requests(const Server *server)
{
	return server->requests;
}

int
server_connections(const Server *server)
{
	return server->connections;
}

bool
server_all_closed(const Server *server)
{
	return server->closed == server->connections;
}
