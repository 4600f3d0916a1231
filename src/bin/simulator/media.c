/*
 * media.c
 *	  Uploaded files: kept in memory for 30 days of the simulator's clock.
 */
#include "bin/simulator/media.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/buf.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"
#include "bin/simulator/map.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/text.h"

#define LIFE_US (INT64_C(30) * 24 * 3600 * 1000000)
#define MB ((size_t) 1024 * 1024)

typedef struct Media
{
	char id[24];
	char type[128];
	char sha256[65];
	HttpdBuf data;
	int64_t uploaded_us;
} Media;

static SimMap media_by_id;

/* What Meta accepts, and up to which size. */
static const struct
{
	const char *type;
	size_t max;
} accepted_types[] = {
	{"image/jpeg", 5 * MB},
	{"image/png", 5 * MB},
	{"image/webp", 500 * 1024},
	{"audio/aac", 16 * MB},
	{"audio/amr", 16 * MB},
	{"audio/mpeg", 16 * MB},
	{"audio/mp4", 16 * MB},
	{"audio/ogg", 16 * MB},
	{"video/mp4", 16 * MB},
	{"video/3gpp", 16 * MB},
	{"text/plain", 100 * MB},
	{"application/pdf", 100 * MB},
	{"application/vnd.ms-powerpoint", 100 * MB},
	{"application/msword", 100 * MB},
	{"application/vnd.ms-excel", 100 * MB},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", 100 * MB},
	{"application/vnd.openxmlformats-officedocument.presentationml.presentation", 100 * MB},
	{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", 100 * MB},
};

/* The parts of a multipart form. */
typedef struct Form
{
	HttpdBuf product;
	HttpdBuf type;
	HttpdBuf file;
	bool has_file;
	char file_type[128]; /* of the part itself */
} Form;

static enum MHD_Result
take_part(void *cls, enum MHD_ValueKind kind, const char *key, const char *filename,
		  const char *content_type, const char *transfer_encoding, const char *data, uint64_t off,
		  size_t size)
{
	Form *form = cls;

	if (strcmp(key, "file") == 0)
	{
		form->has_file = true;
		if (content_type != NULL)
			snprintf(form->file_type, sizeof(form->file_type), "%s", content_type);
		httpd_buf_add(&form->file, data, size);
	}
	else if (strcmp(key, "type") == 0)
		httpd_buf_add(&form->type, data, size);
	else if (strcmp(key, "messaging_product") == 0)
		httpd_buf_add(&form->product, data, size);
	return MHD_YES;
}

static bool
read_form(SimRequest *request, Form *form)
{
	struct MHD_PostProcessor *processor =
		MHD_create_post_processor(request->http.connection->mhd, 65536, take_part, form);
	bool good;

	if (processor == NULL)
		return false;
	good = MHD_post_process(processor, request->http.body.data, request->http.body.len) == MHD_YES;
	return MHD_destroy_post_processor(processor) == MHD_YES && good;
}

static void
hash_data(Media *media)
{
	unsigned char digest[32];

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, media->data.data, media->data.len, digest) != 0)
		httpd_die("could not hash a file");
	sim_hex(media->sha256, digest, sizeof(digest));
}

/* NULL, with the error response filled in, if the form is not acceptable. */
static const char *
checked_type(SimRequest *request, const Form *form)
{
	char title[300];
	const char *type = form->type.len > 0 ? form->type.data : form->file_type;
	size_t i;

	if (form->product.len == 0 || strcmp(form->product.data, "whatsapp") != 0)
		snprintf(title, sizeof(title), "(#100) The parameter messaging_product is required.");
	else if (!form->has_file || form->file.len == 0)
		snprintf(title, sizeof(title), "(#100) The parameter file is required.");
	else
	{
		for (i = 0; i < sizeof(accepted_types) / sizeof(accepted_types[0]); i++)
		{
			/* "audio/ogg; codecs=opus" */
			size_t len = strlen(accepted_types[i].type);

			if (strncmp(type, accepted_types[i].type, len) == 0 &&
				(type[len] == '\0' || type[len] == ';'))
				break;
		}
		if (i == sizeof(accepted_types) / sizeof(accepted_types[0]))
			snprintf(title, sizeof(title),
					 "(#100) Param file must be a file of a supported type. Received file of type "
					 "'%.100s'.",
					 type);
		else if (form->file.len > accepted_types[i].max)
			snprintf(title, sizeof(title),
					 "(#100) Param file is too large: at most %zu bytes of type %s.",
					 accepted_types[i].max, accepted_types[i].type);
		else
			return type;
	}
	sim_reply_error(request, &(SimGraphFault){.code = 100, .title = title});
	return NULL;
}

void
sim_media_upload(SimRequest *request, const SimPath *path)
{
	static int64_t last_id = INT64_C(900000000000000);
	Form form = {0};
	const char *type;

	if (!read_form(request, &form))
		sim_reply_error(
			request, &(SimGraphFault){.code = 100,
									  .title = "(#100) The request is not multipart/form-data."});
	else if ((type = checked_type(request, &form)) != NULL)
	{
		Media *media = httpd_alloc0(sizeof(Media));

		snprintf(media->id, sizeof(media->id), "%lld", (long long) ++last_id);
		snprintf(media->type, sizeof(media->type), "%s", type);
		media->data = form.file;
		memset(&form.file, 0, sizeof(form.file));
		media->uploaded_us = httpd_now_us();
		hash_data(media);
		*sim_map_put(&media_by_id, media->id) = media;
		sim_reply_json(request, 200, json_pack("{s:s}", "id", media->id));
	}
	httpd_buf_free(&form.product);
	httpd_buf_free(&form.type);
	httpd_buf_free(&form.file);
}

static void
free_media(void *arg)
{
	Media *media = arg;

	httpd_buf_free(&media->data);
	free(media);
}

static Media *
find(const char *id)
{
	Media *media = sim_map_get(&media_by_id, id);

	if (media != NULL && httpd_now_us() - media->uploaded_us > LIFE_US)
	{
		sim_map_remove(&media_by_id, id);
		free_media(media);
		media = NULL;
	}
	return media;
}

bool
sim_media_exists(const char *id)
{
	return find(id) != NULL;
}

bool
sim_media_node(SimRequest *request, const SimPath *path)
{
	Media *media = find(path->node);
	const char *host = httpd_request_header(&request->http, "Host");
	bool get = strcmp(request->http.method, "GET") == 0;

	if (media == NULL)
		return false;
	if (get && strcmp(path->edge, "content") == 0)
	{
		request->http.reply.status = 200;
		request->http.reply.content_type = "application/octet-stream";
		httpd_buf_add(&request->http.reply.body, media->data.data, media->data.len);
	}
	else if (path->edge[0] != '\0')
		return false;
	else if (get)
		sim_reply_json(
			request, 200,
			json_pack("{s:s, s:s, s:s, s:I, s:s, s:o}", "messaging_product", "whatsapp",
					  "mime_type", media->type, "sha256", media->sha256, "file_size",
					  (json_int_t) media->data.len, "id", media->id, "url",
					  json_sprintf("%s://%s/%s/%s/content", sim_settings.tls ? "https" : "http",
								   host != NULL ? host : "", path->version, media->id)));
	else if (strcmp(request->http.method, "DELETE") == 0)
	{
		sim_map_remove(&media_by_id, media->id);
		free_media(media);
		sim_reply_json(request, 200, json_pack("{s:b}", "success", 1));
	}
	else
		return false;
	return true;
}

void
sim_media_reset(void)
{
	sim_map_clear(&media_by_id, free_media);
}
