/*
 * request.c
 *	  HTTP: from bytes to a whole request, and from a reply to bytes.
 *
 * A cut must happen at an exact point of the
 * exchange, so the socket is disconnected under the library's feet
 * (connect to AF_UNSPEC makes Linux send RST at once and drop what was not yet
 * sent); the library then notices an ended connection and cleans up.
 */
#include "bin/httpd/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bin/simulator/journal.h"
#include "bin/simulator/route.h"
#include "bin/httpd/util.h"

/* Webhook bodies go up to 3 MB, media to 100 MB; nothing here needs more. */
#define MAX_BODY ((size_t) 101 * 1024 * 1024)

/* How often a connection without answer is checked for a client that left. */
#define HANG_CHECK_US 100000

static bool resumed; /* since sim_server_take_resumed() */
static bool stopping;
static SimRequest *suspended_head;

/*
 * Sockets
 */

static int
socket_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info != NULL ? info->connect_fd : -1;
}

/* Ends the connection: by RST at once, or (how a dying server looks) by FIN. */
static void
cut_connection(struct MHD_Connection *connection, bool reset)
{
	int fd = socket_of(connection);
	struct sockaddr unspecified = {.sa_family = AF_UNSPEC};

	sim_counters.cut_connections++;
	if (reset)
		(void) connect(fd, &unspecified, sizeof(unspecified));
	else
		(void) shutdown(fd, SHUT_RDWR);
}

static bool
client_has_left(struct MHD_Connection *connection)
{
	char byte;
	ssize_t n = recv(socket_of(connection), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/*
 * Waiting
 */

static void
suspend(SimRequest *request)
{
	request->suspended = true;
	request->prev = NULL;
	request->next = suspended_head;
	if (suspended_head != NULL)
		suspended_head->prev = request;
	suspended_head = request;
	MHD_suspend_connection(request->connection);
}

static void
resume(SimRequest *request)
{
	if (!request->suspended)
		return;
	request->suspended = false;
	if (request->prev != NULL)
		request->prev->next = request->next;
	else
		suspended_head = request->next;
	if (request->next != NULL)
		request->next->prev = request->prev;
	sim_timer_cancel(&request->timer);
	MHD_resume_connection(request->connection);
	resumed = true;
}

static void
delay_over(void *arg)
{
	SimRequest *request = arg;

	if (request->stage == SIM_STAGE_WAITING)
		request->stage = SIM_STAGE_READY;
	resume(request);
}

/* A suspended connection is not watched, so look if anybody still waits. */
static void
hang_check(void *arg)
{
	SimRequest *request = arg;

	if (client_has_left(request->connection))
	{
		request->abandoned = true;
		resume(request);
	}
	else
		sim_timer_set(&request->timer, sim_now_us() + HANG_CHECK_US, hang_check, request);
}

int
sim_server_release(void)
{
	int count = 0;
	SimRequest *next;

	for (SimRequest *request = suspended_head; request != NULL; request = next)
	{
		next = request->next;
		if (request->stage != SIM_STAGE_SENDING || request->reply.sending != SIM_SEND_NEVER)
			continue;
		cut_connection(request->connection, true);
		request->abandoned = true;
		resume(request);
		count++;
	}
	return count;
}

void
sim_server_finish(SimRequest *request)
{
	request->deferred = false;
	request->stage = SIM_STAGE_READY;
	resume(request);
}

/*
 * Sending
 */

/* Gives libmicrohttpd the next piece of a body that is slow or is cut. */
static ssize_t
read_piece(void *arg, uint64_t pos, char *out, size_t max)
{
	SimRequest *request = arg;
	SimReply *reply = &request->reply;
	size_t piece = reply->body.len - (size_t) pos;

	if (request->abandoned)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (reply->sending == SIM_SEND_CUT)
	{
		if (pos >= (uint64_t) reply->piece)
		{
			cut_connection(request->connection, reply->reset);
			return MHD_CONTENT_READER_END_WITH_ERROR;
		}
		if (piece > (uint64_t) reply->piece - pos)
			piece = (size_t) ((uint64_t) reply->piece - pos);
	}
	else
	{
		/* A piece, a rest, a piece: the timer is set while resting. */
		if (request->timer.due_us <= sim_now_us())
		{
			request->timer.due_us = sim_now_us() + reply->interval_ms * 1000;
			if (piece > (size_t) reply->piece)
				piece = (size_t) reply->piece;
		}
		else
		{
			sim_timer_set(&request->timer, request->timer.due_us, delay_over, request);
			suspend(request);
			return 0;
		}
	}
	if (piece > max)
		piece = max;
	memcpy(out, reply->body.data + pos, piece);
	return (ssize_t) piece;
}

static enum MHD_Result
queue_reply(SimRequest *request)
{
	SimReply *reply = &request->reply;
	struct MHD_Response *response;
	enum MHD_Result result;

	if (reply->sending == SIM_SEND_WHOLE)
	{
		/* libmicrohttpd frees the body; the next request makes its own. */
		response = MHD_create_response_from_buffer(reply->body.len, reply->body.data,
												   MHD_RESPMEM_MUST_FREE);
		memset(&reply->body, 0, sizeof(reply->body));
	}
	else
		response = MHD_create_response_from_callback(
			reply->body.len, reply->sending == SIM_SEND_SLOW ? (size_t) reply->piece : 1024,
			read_piece, request, NULL);
	if (response == NULL)
		return MHD_NO;
	if (reply->content_type != NULL)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
	for (int i = 0; i < reply->nheaders; i++)
		MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
	request->stage = SIM_STAGE_SENDING;
	request->timer.due_us = 0;
	result = MHD_queue_response(request->connection, (unsigned int) reply->status, response);
	MHD_destroy_response(response);
	return result;
}

/* The reply is decided and its time has come. */
static enum MHD_Result
send_reply(SimRequest *request)
{
	if (request->abandoned)
		return MHD_NO;
	if (request->cut)
	{
		cut_connection(request->connection, request->cut_reset);
		return MHD_NO;
	}
	if (request->reply.sending == SIM_SEND_NEVER)
	{
		request->stage = SIM_STAGE_SENDING;
		suspend(request);
		sim_timer_set(&request->timer, sim_now_us() + HANG_CHECK_US, hang_check, request);
		return MHD_YES;
	}
	return queue_reply(request);
}

/*
 * Receiving
 */

static SimRequest *
create_request(struct MHD_Connection *connection, const char *path, const char *method)
{
	SimRequest *request = sim_alloc0(sizeof(SimRequest));

	request->connection = connection;
	request->method = sim_strdup(method);
	request->path = sim_strdup(path);
	request->control = sim_route_is_control(path);
	if (request->control)
		return request;
	sim_counters.requests++;
	if (++sim_counters.concurrent > sim_counters.max_concurrent)
		sim_counters.max_concurrent = sim_counters.concurrent;
	return request;
}

static enum MHD_Result
cut_early(SimRequest *request, const SimFault *fault)
{
	sim_route_cut_early(request, fault);
	cut_connection(request->connection, fault->reset);
	return MHD_NO;
}

static enum MHD_Result
receive(SimRequest *request, const char *data, size_t *size)
{
	SimFault *fault = request->early_fault;

	if (fault != NULL && request->body.len + *size >= (size_t) fault->bytes)
		return cut_early(request, fault);
	if (request->body.len + *size > MAX_BODY)
		request->too_large = true; /* read on, so that the client gets its 413 */
	else
		sim_buf_add(&request->body, data, *size);
	*size = 0;
	return MHD_YES;
}

/*
 * libmicrohttpd calls this when the head of a request is there, for every
 * piece of its body, when it is whole, and whenever it was resumed.
 */
enum MHD_Result
sim_server_access(void *cls, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *upload_data,
				  size_t *upload_data_size, void **con_cls)
{
	SimRequest *request = *con_cls;

	if (stopping)
		return MHD_NO;
	if (request == NULL)
	{
		SimFault *fault;

		*con_cls = request = create_request(connection, path, method);
		fault = sim_route_headers_fault(request);
		if (fault != NULL && fault->cut == SIM_CUT_HEADERS)
			return cut_early(request, fault);
		request->early_fault = fault;
		return MHD_YES;
	}
	if (request->stage == SIM_STAGE_READING)
	{
		if (*upload_data_size > 0)
			return receive(request, upload_data, upload_data_size);
		if (request->early_fault != NULL)
			return cut_early(request, request->early_fault);
		request->stage = SIM_STAGE_READY;
		sim_route(request);
		if (request->deferred || request->delay_us > 0)
		{
			request->stage = SIM_STAGE_WAITING;
			suspend(request);
			if (!request->deferred)
				sim_timer_set(&request->timer, sim_now_us() + request->delay_us, delay_over,
							  request);
			return MHD_YES;
		}
	}
	if (request->stage == SIM_STAGE_READY)
		return send_reply(request);

	/* Resumed while nothing was to be sent: it was given up. */
	return request->abandoned ? MHD_NO : MHD_YES;
}

void
sim_server_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
					 enum MHD_RequestTerminationCode reason)
{
	SimRequest *request = *con_cls;

	if (request == NULL)
		return;
	if (request->on_gone != NULL)
		request->on_gone(request);
	if (!request->control)
		sim_counters.concurrent--;
	if (reason == MHD_REQUEST_TERMINATED_COMPLETED_OK && request->record != 0)
		sim_journal_answered(request->record);
	sim_timer_cancel(&request->timer);
	sim_reply_clear(&request->reply);
	sim_buf_free(&request->body);
	free(request->method);
	free(request->path);
	free(request);
	*con_cls = NULL;
}

/* cls is not NULL for the connections that rules apply to. */
void
sim_server_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
					  enum MHD_ConnectionNotificationCode code)
{
	if (cls == NULL)
		return;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
	{
		SimFault *fault = sim_fault_pick(SIM_AT_CONNECT, NULL);

		sim_counters.connections++;
		if (++sim_counters.open_connections > sim_counters.max_open_connections)
			sim_counters.max_open_connections = sim_counters.open_connections;
		if (fault != NULL)
			cut_connection(connection, fault->reset);
	}
	else
		sim_counters.open_connections--;
}

void
sim_server_drop_waiting(void)
{
	stopping = true;
	while (suspended_head != NULL)
	{
		suspended_head->abandoned = true;
		suspended_head->stage = SIM_STAGE_SENDING;
		resume(suspended_head);
	}
}

bool
sim_server_take_resumed(void)
{
	bool any = resumed;

	resumed = false;
	return any;
}

const char *
sim_server_argument(const SimRequest *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *
sim_server_header(const SimRequest *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

bool
sim_server_from_loopback(const SimRequest *request)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info != NULL ? info->client_addr : NULL;

	if (address != NULL && address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24 == 127;
	if (address != NULL && address->sa_family == AF_INET6)
	{
		const struct in6_addr *in6 = &((const struct sockaddr_in6 *) address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
	}
	return false;
}
