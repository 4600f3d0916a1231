/*
 * multipart.c
 *	  The body of an upload: multipart/form-data (RFC 7578).
 *
 * POST /{phone_number_id}/media wants three fields: the product, the type and
 * the file.  A line that begins with the boundary ends a field, so the boundary
 * must not occur in the file; and nothing that a user gave may break out of the
 * header it stands in.
 */
#include "wa_c.h"

#include "graph/multipart.h"

#define PREFIX "whatsapp_shared-"

StaticAssertDecl(sizeof(PREFIX) + 2 * WA_MULTIPART_BOUNDARY_RANDOM <= WA_MULTIPART_BOUNDARY_SIZE,
				 "WA_MULTIPART_BOUNDARY_SIZE is too small");

bool
wa_multipart_boundary(char *boundary, const WaMultipart *form, const unsigned char *random)
{
	char *end = boundary + strlen(PREFIX);

	memcpy(boundary, PREFIX, strlen(PREFIX));
	for (int i = 0; i < WA_MULTIPART_BOUNDARY_RANDOM; i++)
		end += snprintf(end, 3, "%02x", random[i]);
	return memmem(form->content, form->size, boundary, strlen(boundary)) == NULL;
}

static void
begin_field(StringInfo out, const char *boundary, const char *name)
{
	appendStringInfo(out, "--%s\r\nContent-Disposition: form-data; name=\"%s\"", boundary, name);
}

static void
append_field(StringInfo out, const char *boundary, const char *name, const char *value)
{
	begin_field(out, boundary, name);
	appendStringInfo(out, "\r\n\r\n%s\r\n", value);
}

/*
 * As browsers do it (the URL standard's multipart/form-data encoding): UTF-8, with
 * the three characters that would end the header percent-encoded.
 */
static void
append_filename(StringInfo out, const char *filename)
{
	for (const char *p = filename; *p != '\0'; p++)
	{
		if (*p == '"' || *p == '\r' || *p == '\n')
			appendStringInfo(out, "%%%02X", *p);
		else
			appendStringInfoChar(out, *p);
	}
}

void
wa_multipart_write(StringInfo out, const WaMultipart *form, const char *boundary)
{
	append_field(out, boundary, "messaging_product", "whatsapp");
	append_field(out, boundary, "type", form->mime_type);
	begin_field(out, boundary, "file");
	appendStringInfoString(out, "; filename=\"");
	append_filename(out, form->filename != NULL ? form->filename : "file");
	appendStringInfo(out, "\"\r\nContent-Type: %s\r\n\r\n", form->mime_type);
	appendBinaryStringInfo(out, form->content, (int) form->size);
	appendStringInfo(out, "\r\n--%s--\r\n", boundary);
}

void
wa_multipart_content_type(StringInfo out, const char *boundary)
{
	appendStringInfo(out, "multipart/form-data; boundary=%s", boundary);
}
