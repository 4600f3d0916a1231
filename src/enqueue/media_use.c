/*
 * media_use.c
 *	  Messages whose file is a row of whatsapp_media.
 *
 * If Meta has the file, its id goes into the payload at once.  If not, the
 * message is held and its payload has no id until the sender puts it there.
 * The row is read and not locked: an upload that is recorded meanwhile does not
 * see this message, and the sender looks again when it commits.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/jsonb.h"
#include "base/quote.h"
#include "base/rows.h"
#include "base/statement.h"
#include "enqueue/media_use.h"

#define FILE_COLUMNS                                                                               \
	"m.id, m.kind, m.mime_type, m.filename, m.status, m.media_id, m.content IS NOT NULL, m.error," \
	" @extschema@.wa_internal_media_usable(m, $3, $4)"

enum
{
	FILE_ID = 1,
	FILE_KIND,
	FILE_MIME_TYPE,
	FILE_NAME,
	FILE_STATUS,
	FILE_MEDIA_ID,
	FILE_HAS_CONTENT,
	FILE_ERROR,
	FILE_USABLE
};

static WaStatement find_statement = {
	.sql = "SELECT " FILE_COLUMNS " FROM @extschema@.whatsapp_media AS m"
		   " WHERE m.id OPERATOR(pg_catalog.=) $1 AND m.tenant_id OPERATOR(pg_catalog.=) $2",
	.nargs = 4,
	.argtypes = {INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID},
	.expected = SPI_OK_SELECT};

static WaStatement find_used_statement = {
	.sql = "SELECT " FILE_COLUMNS " FROM @extschema@.whatsapp_media_uses AS u"
		   " LEFT JOIN @extschema@.whatsapp_media AS m ON m.id OPERATOR(pg_catalog.=) u.medium AND "
		   "m.tenant_id OPERATOR(pg_catalog.=) $2"
		   " WHERE u.message_id OPERATOR(pg_catalog.=) $1",
	.nargs = 4,
	.argtypes = {INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID},
	.expected = SPI_OK_SELECT};

static WaStatement note_statement = {
	.sql = "INSERT INTO @extschema@.whatsapp_media_uses (message_id, medium) VALUES ($1, $2)"
		   " ON CONFLICT DO NOTHING",
	.nargs = 2,
	.argtypes = {INT8OID, INT8OID},
	.expected = SPI_OK_INSERT};

/* A column of the row found, as text; NULL if it is NULL. */
static char *
column(const WaRows *file, int number)
{
	return wa_rows_text(file, 0, number);
}

static bool
is_true(const WaRows *file, int number)
{
	return wa_rows_int(file, 0, number, 0) != 0;
}

static WaRows
find(WaStatement *statement, const WaEnqueue *e, int64 key)
{
	Datum values[4];
	char nulls[4] = {' ', ' ', e->phone_number_id == NULL ? 'n' : ' ', ' '};

	values[0] = Int64GetDatum(key);
	values[1] = PointerGetDatum(e->tenant_id);
	values[2] = PointerGetDatum(e->phone_number_id);
	values[3] = TimestampTzGetDatum(e->due_at);
	return wa_statement_run_latest(statement, e->schema, values, nulls);
}

/* What Meta had of it is of no use, or it refused it, and the bytes are gone. */
static void
check_obtainable(const WaRows *file)
{
	if (strcmp(column(file, FILE_STATUS), "failed") == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("file %s could not be uploaded", column(file, FILE_ID)),
						errdetail_internal("%s", column(file, FILE_ERROR)),
						errhint("Mend it, and give it to wa_upload_media() again.")));
	if (!is_true(file, FILE_HAS_CONTENT) && !is_true(file, FILE_USABLE))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("file %s is not kept any longer", column(file, FILE_ID)),
				 errdetail("Meta's id of it is of another number, or will have ended when the "
						   "message is due."),
				 errhint("Give it to wa_upload_media() again.")));
}

/* ---- its place in the payload ---- */

/*
 * The object that names the file: all of the payload, or in a template the
 * header's, which template/build.c puts first.
 */
static Datum
path_of_header(const char *kind)
{
	const char *const path[] = {"components", "0", "parameters", "0", kind};
	Datum elements[lengthof(path)];

	for (int i = 0; i < lengthof(path); i++)
		elements[i] = CStringGetTextDatum(path[i]);
	return PointerGetDatum(
		construct_array(elements, lengthof(path), TEXTOID, -1, false, TYPALIGN_INT));
}

static bool
is_template(const WaEnqueue *e)
{
	return strcmp(text_to_cstring(e->message_type), "template") == 0;
}

static Datum
get_medium(const WaEnqueue *e, const char *kind)
{
	if (!is_template(e))
		return JsonbPGetDatum(e->payload);
	return DirectFunctionCall2(jsonb_extract_path, JsonbPGetDatum(e->payload),
							   path_of_header(kind));
}

static void
set_medium(WaEnqueue *e, const char *kind, Datum medium)
{
	if (is_template(e))
		medium = DirectFunctionCall4(jsonb_set, JsonbPGetDatum(e->payload), path_of_header(kind),
									 medium, BoolGetDatum(false));
	e->payload = DatumGetJsonbP(medium);
}

/*
 * Meta's id, or none; and the file's own name, if it has one that nothing else
 * was given for.
 */
static void
complete_medium(WaEnqueue *e, const WaRows *file, const char *kind, const char *id)
{
	WaJsonbWriter w = {0};
	Datum medium = DirectFunctionCall2(jsonb_delete, get_medium(e, kind),
									   PointerGetDatum(cstring_to_text("id")));
	char *name = column(file, FILE_NAME);

	wa_jsonb_begin_object(&w, NULL);
	if (id != NULL)
		wa_jsonb_put_string(&w, "id", id);
	if (name != NULL && strcmp(kind, "document") == 0)
		wa_jsonb_put_string(&w, "filename", name);
	wa_jsonb_end_object(&w);
	set_medium(e, kind,
			   DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(wa_jsonb_finish(&w)), medium));
}

/* ---- enqueueing ---- */

void
wa_media_use(WaEnqueue *e, const char *kind)
{
	WaRows file = find(&find_statement, e, e->media);

	if (file.count == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("file %lld of tenant \"%s\" does not exist", (long long) e->media,
							   wa_quote_text(e->tenant_id)),
						errhint("wa_upload_media() returns the id of a file.")));
	if (strcmp(column(&file, FILE_KIND), kind) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("file %s cannot be sent as \"%s\"", column(&file, FILE_ID), kind),
						errdetail("It is of type %s; a file of that type is sent as \"%s\".",
								  column(&file, FILE_MIME_TYPE), column(&file, FILE_KIND))));
	check_obtainable(&file);
	e->awaits_media = !is_true(&file, FILE_USABLE);
	complete_medium(e, &file, kind, e->awaits_media ? NULL : column(&file, FILE_MEDIA_ID));
	wa_rows_free(&file);
}

void
wa_media_note_use(const WaEnqueue *e, int64 id)
{
	Datum values[2] = {Int64GetDatum(id), Int64GetDatum(e->media)};

	wa_statement_run(&note_statement, e->schema, values, NULL);
}

void
wa_media_use_again(WaEnqueue *e, int64 id)
{
	WaRows file = find(&find_used_statement, e, id);

	if (file.count == 0)
		return;
	if (column(&file, FILE_ID) == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the file of message %lld is not kept any longer", (long long) id),
						errhint("Enqueue the message anew, with the file.")));
	check_obtainable(&file);
	e->awaits_media = true;
	wa_rows_free(&file);
}
