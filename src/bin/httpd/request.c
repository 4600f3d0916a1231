/*
 * request.c
 *	  A request: from bytes to a whole request, and from a reply to bytes.
 *
 * libmicrohttpd calls httpd_request_access() when the head of a request is
 * there, for every piece of its body, when it is whole, and whenever it was
 * resumed.  What is to be done then depends on the stage alone, so everything
 * else here only moves the stage and resumes.
 */
#include "bin/httpd/request.h"

#include <stdlib.h>
#include <string.h>

#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"

/* How often the connection of a waiting request is checked for a client that left. */
#define CLIENT_CHECK_US 100000

static bool resumed; /* since httpd_request_take_resumed() */
static bool closing;
static bool aborting;
static int count;
static HttpdLink suspended = HTTPD_LIST_EMPTY(suspended);

/*
 * Waiting
 */

static void
suspend(HttpdRequest *request)
{
	request->suspended = true;
	httpd_list_push(&suspended, &request->link);
	MHD_suspend_connection(request->connection->mhd);
}

static void
cancel_timers(HttpdRequest *request)
{
	httpd_timer_cancel(&request->timer);
	httpd_timer_cancel(&request->client_check);
}

static void
resume(HttpdRequest *request)
{
	cancel_timers(request);
	if (!request->suspended)
		return;
	request->suspended = false;
	httpd_list_remove(&request->link);
	MHD_resume_connection(request->connection->mhd);
	resumed = true;
}

void
httpd_request_defer(HttpdRequest *request)
{
	request->deferred = true;
}

void
httpd_request_finish(HttpdRequest *request)
{
	request->deferred = false;
	if (request->stage == HTTPD_WAITING)
		request->stage = HTTPD_READY;
	resume(request);
}

static void
timer_fired(void *arg)
{
	HttpdRequest *request = arg;

	request->expired(request);
}

void
httpd_request_expire(HttpdRequest *request, int64_t due_us, void (*expired)(HttpdRequest *request))
{
	request->expired = expired;
	httpd_timer_set(&request->timer, due_us, timer_fired, request);
}

void
httpd_request_delay(HttpdRequest *request, int64_t delay_us)
{
	httpd_request_defer(request);
	httpd_request_expire(request, httpd_now_us() + delay_us, httpd_request_finish);
}

void
httpd_request_pause(HttpdRequest *request, int64_t pause_us)
{
	suspend(request);
	httpd_request_expire(request, httpd_now_us() + pause_us, resume);
}

/* A suspended connection is not watched, so somebody has to look. */
static void
check_client(void *arg)
{
	HttpdRequest *request = arg;

	if (httpd_connection_client_has_left(request->connection))
		httpd_request_abort(request, false);
	else
		httpd_request_watch_client(request);
}

void
httpd_request_watch_client(HttpdRequest *request)
{
	httpd_timer_set(&request->client_check, httpd_now_us() + CLIENT_CHECK_US, check_client,
					request);
}

void
httpd_request_hold(HttpdRequest *request)
{
	suspend(request);
	httpd_request_watch_client(request);
}

void
httpd_request_go_on(HttpdRequest *request)
{
	resume(request);
}

void
httpd_request_abort(HttpdRequest *request, bool reset)
{
	if (!request->aborted)
		httpd_connection_abort(request->connection, reset);
	request->aborted = true;
	resume(request);
}

/*
 * Sending
 */

static ssize_t
produce_piece(void *arg, uint64_t pos, char *out, size_t max)
{
	HttpdRequest *request = arg;
	ssize_t len;

	if (request->aborted)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	len = request->reply.produce(request, (size_t) pos, out, max);
	return len < 0 ? MHD_CONTENT_READER_END_WITH_ERROR : len;
}

static struct MHD_Response *
create_response(HttpdRequest *request)
{
	HttpdReply *reply = &request->reply;
	struct MHD_Response *response;

	if (reply->produce != NULL)
		return MHD_create_response_from_callback(reply->length > 0 ? reply->length
																   : reply->body.len,
												 reply->block, produce_piece, request, NULL);

	/* libmicrohttpd frees the body; the next request makes its own. */
	response =
		MHD_create_response_from_buffer(reply->body.len, reply->body.data, MHD_RESPMEM_MUST_FREE);
	if (response != NULL)
		memset(&reply->body, 0, sizeof(reply->body));
	return response;
}

static enum MHD_Result
send_reply(HttpdRequest *request)
{
	HttpdReply *reply = &request->reply;
	struct MHD_Response *response = create_response(request);
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	if (reply->content_type != NULL)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
	for (int i = 0; i < reply->nheaders; i++)
		MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
	if (closing || !httpd_connection_keep_open(request->connection))
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	request->stage = HTTPD_SENDING;
	httpd_connection_start_deadline(request->connection);
	result = MHD_queue_response(request->connection->mhd, (unsigned int) reply->status, response);
	MHD_destroy_response(response);
	return result;
}

/*
 * Receiving
 */

static HttpdRequest *
create_request(struct MHD_Connection *mhd, const HttpdService *service, const char *path,
			   const char *method, const char *version)
{
	HttpdRequest *request = httpd_alloc0(service->request_size);

	request->connection = httpd_connection_of(mhd);
	request->method = httpd_strdup(method);
	request->path = httpd_strdup(path);
	request->target = request->connection->target;
	request->connection->target = NULL;
	request->method_at = method;
	request->target_at = request->connection->target_at;
	request->version = version;
	count++;
	return request;
}

static enum MHD_Result
receive_head(HttpdRequest *request, const HttpdService *service)
{
	if (service->on_head != NULL)
		service->on_head(request);
	if (request->aborted)
		return MHD_NO;
	return request->reply.status != 0 ? send_reply(request) : MHD_YES;
}

static enum MHD_Result
receive_body(HttpdRequest *request, const HttpdService *service, const char *data, size_t *size)
{
	if (service->on_body != NULL)
		service->on_body(request, *size);
	if (request->aborted)
		return MHD_NO;
	if (*size > service->max_body - request->body.len)
		request->too_large = true;
	else if (!request->too_large)
		httpd_buf_add(&request->body, data, *size);
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result
receive_end(HttpdRequest *request, const HttpdService *service)
{
	httpd_connection_end_deadline(request->connection);
	request->stage = HTTPD_READY;
	service->on_request(request);
	if (request->aborted)
		return MHD_NO;
	if (!request->deferred)
		return send_reply(request);
	request->stage = HTTPD_WAITING;
	suspend(request);
	return MHD_YES;
}

/*
 * Before the library decodes the target, which it does in place.  It takes the
 * result for *con_cls: the request is not created before its head is whole.
 */
void *
httpd_request_begun(void *cls, const char *target, struct MHD_Connection *mhd)
{
	HttpdConnection *connection = httpd_connection_of(mhd);

	free(connection->target);
	connection->target = httpd_strdup(target);
	connection->target_at = target;
	httpd_connection_is_used(connection);
	return NULL;
}

enum MHD_Result
httpd_request_access(void *cls, struct MHD_Connection *mhd, const char *path, const char *method,
					 const char *version, const char *upload_data, size_t *upload_data_size,
					 void **con_cls)
{
	const HttpdService *service = cls;
	HttpdRequest *request = *con_cls;

	if (aborting || (request != NULL && request->aborted))
		return MHD_NO;
	if (request == NULL)
	{
		*con_cls = request = create_request(mhd, service, path, method, version);
		return receive_head(request, service);
	}
	switch (request->stage)
	{
		case HTTPD_READING:
			if (*upload_data_size > 0)
				return receive_body(request, service, upload_data, upload_data_size);
			return receive_end(request, service);
		case HTTPD_READY:
			return send_reply(request);
		case HTTPD_WAITING:
		case HTTPD_SENDING:
			break;
	}
	return MHD_YES;
}

void
httpd_request_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
						enum MHD_RequestTerminationCode reason)
{
	HttpdRequest *request = *con_cls;
	bool sent = reason == MHD_REQUEST_TERMINATED_COMPLETED_OK;
	const HttpdService *service;

	if (request == NULL)
		return;
	service = request->connection->service;
	if (service->on_end != NULL)
		service->on_end(request, sent);
	if (sent)
		httpd_connection_becomes_idle(request->connection);
	count--;
	cancel_timers(request);
	httpd_reply_clear(&request->reply);
	httpd_buf_free(&request->body);
	free(request->method);
	free(request->target);
	free(request->path);
	free(request);
	*con_cls = NULL;
}

/*
 * All of them
 */

bool
httpd_request_take_resumed(void)
{
	bool any = resumed;

	resumed = false;
	return any;
}

int
httpd_request_count(void)
{
	return count;
}

void
httpd_request_close_connections(void)
{
	closing = true;
}

void
httpd_request_abort_all(void)
{
	aborting = true;
	while (!httpd_list_is_empty(&suspended))
		httpd_request_abort(HTTPD_ELEMENT(HttpdRequest, link, suspended.next), false);
}

const char *
httpd_request_argument(const HttpdRequest *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection->mhd, MHD_GET_ARGUMENT_KIND, name);
}

const char *
httpd_request_header(const HttpdRequest *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection->mhd, MHD_HEADER_KIND, name);
}
