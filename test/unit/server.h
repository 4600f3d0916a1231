/*
 * server.h
 *	  A scripted server for tests of the HTTP client: each connection runs a
 *	  handler in a thread of its own, which reads and writes as the test wants.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Server Server;
typedef struct Peer Peer; /* one connection, from the server's side */

typedef enum ServerKind
{
	SERVER_PLAIN,
	SERVER_TLS,	   /* speaks HTTP/1.1 */
	SERVER_TLS_H2, /* speaks HTTP/2 */
	SERVER_MUTE	   /* accepts, and never says a word */
} ServerKind;

/* Returning from it closes the connection. */
typedef void (*PeerHandler)(Peer *peer, void *arg);

extern Server *server_start(ServerKind kind, PeerHandler handler, void *arg);
extern void server_stop(Server *server);

extern const char *server_url(const Server *server); /* http(s)://localhost:port */
extern int server_port(const Server *server);
extern int server_requests(const Server *server); /* complete ones that were read */
extern int server_connections(const Server *server);
extern bool server_all_closed(const Server *server); /* by us */

/* From now on connections are refused; those that there are, stay. */
extern void server_refuse(Server *server);

extern int peer_number(const Peer *peer); /* 0 for the first connection */
extern Server *peer_server(const Peer *peer);

typedef struct Request
{
	char head[4096]; /* request line and headers */
	size_t body_len;
	char body[4096]; /* its beginning */
} Request;

/* False when the client has closed. */
extern bool peer_read_head(Peer *peer, Request *request);
extern bool peer_read_request(Peer *peer, Request *request);
extern bool peer_read(Peer *peer, void *out, size_t len);
extern void peer_write(Peer *peer, const void *data, size_t len);
extern void peer_print(Peer *peer, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern void peer_answer(Peer *peer, int status, const char *headers, const char *body);

/* Makes the close a reset instead of an orderly end. */
extern void peer_reset_on_close(Peer *peer);

/* Waits until the client has closed, or the server is stopped. */
extern void peer_wait_for_close(Peer *peer);

/* ---- HTTP/2, as little as a script needs ---- */

#define H2_DATA 0
#define H2_HEADERS 1
#define H2_RST_STREAM 3
#define H2_SETTINGS 4
#define H2_PING 6
#define H2_GOAWAY 7

#define H2_END_STREAM 1
#define H2_ACK 1
#define H2_END_HEADERS 4

#define H2_NO_ERROR 0
#define H2_INTERNAL_ERROR 2
#define H2_REFUSED_STREAM 7

typedef struct Frame
{
	int type;
	int flags;
	uint32_t stream;
	uint32_t len;
	unsigned char payload[20000];
} Frame;

/* The connection preface and settings of both sides. */
extern bool peer_h2_begin(Peer *peer);

/* The next frame that is not a matter of the connection only. */
extern bool peer_h2_read(Peer *peer, Frame *frame);

/* Reads until a request is complete; its stream, or 0 at the end. */
extern uint32_t peer_h2_read_request(Peer *peer);

extern void peer_h2_write(Peer *peer, int type, int flags, uint32_t stream, const void *payload,
						  size_t len);
extern void peer_h2_answer(Peer *peer, uint32_t stream, const char *body, bool end);
extern void peer_h2_reset(Peer *peer, uint32_t stream, uint32_t error);
extern void peer_h2_goaway(Peer *peer, uint32_t last_stream, uint32_t error);

#endif
