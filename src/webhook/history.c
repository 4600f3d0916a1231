/*
 * history.c
 *	  The app's history, in pieces.
 *
 * When a number is connected that is also in the app on a phone, Meta sends up to six
 * months of its conversations, as much in one change as fits into a webhook.  As one
 * document that would be megabytes for the JSON functions of SQL, several times over.
 * So the change is cut between messages; each piece names the conversation and the
 * number again, and stands for itself.  What a piece says is copied out of the body as
 * it is, so all pieces together are hardly larger than the body.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "webhook/field.h"
#include "webhook/history.h"
#include "webhook/park.h"

/* A piece is a few hundred messages.  One message may be larger. */
#define PIECE_SIZE (64 * 1024)

/* What is said of a number, a chunk or a conversation; more than that is none. */
#define MAX_HEAD 2048

typedef struct Piece
{
	WaWebhook *webhook;
	WaHistoryTake take;
	void *arg;
	const char *value;		/* how it begins ... */
	const char *value_end;	/* ... and ends */
	const char *thread;		/* the same of a conversation within it; "" if there are none */
	const char *thread_end; /* ... */
	StringInfoData text;
	int threads;  /* begun */
	int messages; /* in all of them */
	bool is_open; /* a conversation is */
	int in_thread;
	bool complete;
} Piece;

/* The text of a node in the body, or null. */
static const char *
head_text(const WaWebhook *webhook, uint32 node)
{
	const WaJsonNode *nodes = webhook->json->nodes;

	if (node == WA_JSON_NONE || nodes[node].end - nodes[node].start > MAX_HEAD)
		return "null";
	return wa_webhook_text(webhook, node);
}

static void
close_thread(Piece *piece)
{
	if (piece->is_open)
		appendStringInfoString(&piece->text, piece->thread_end);
	piece->is_open = false;
}

/* Hands it out, if there is anything in it, and begins another. */
static void
close_piece(Piece *piece)
{
	close_thread(piece);
	if (piece->messages > 0)
	{
		appendStringInfoString(&piece->text, piece->value_end);
		piece->take(piece->webhook, pstrdup(piece->text.data), piece->arg);
	}
	resetStringInfo(&piece->text);
	piece->threads = piece->messages = 0;
}

static void
open_thread(Piece *piece)
{
	if (piece->text.len == 0)
		appendStringInfoString(&piece->text, piece->value);
	if (piece->threads++ > 0)
		appendStringInfoChar(&piece->text, ',');
	appendStringInfoString(&piece->text, piece->thread);
	piece->is_open = true;
	piece->in_thread = 0;
}

static void
add_message(Piece *piece, uint32 message)
{
	const WaJson *json = piece->webhook->json;
	const WaJsonNode *n = &json->nodes[message];
	int len = (int) (n->end - n->start);

	if (!wa_json_is(json, message, WA_JSON_OBJECT))
		return;
	if (wa_webhook_is_too_large(piece->webhook, message))
	{
		piece->complete = false;
		return;
	}
	if (piece->messages > 0 && piece->text.len + len > PIECE_SIZE)
		close_piece(piece);
	if (!piece->is_open)
		open_thread(piece);
	if (piece->in_thread++ > 0)
		appendStringInfoChar(&piece->text, ',');
	appendBinaryStringInfo(&piece->text, json->text + n->start, len);
	piece->messages++;
}

static void
add_messages(Piece *piece, uint32 messages)
{
	const WaJson *json = piece->webhook->json;

	for (uint32 message = wa_json_first(json, messages); message != WA_JSON_NONE;
		 message = wa_json_after(json, messages, message))
		add_message(piece, message);
	close_thread(piece);
}

/* One element of "history": the conversations of a stretch of time. */
static void
add_chunk(Piece *piece, const char *number, uint32 chunk)
{
	const WaJson *json = piece->webhook->json;
	uint32 threads = wa_json_member(json, chunk, "threads");

	piece->value = psprintf("{\"metadata\":%s,\"history\":[{\"metadata\":%s,\"threads\":[", number,
							head_text(piece->webhook, wa_json_member(json, chunk, "metadata")));
	piece->value_end = "]}]}";
	piece->thread_end = "]}";
	for (uint32 thread = wa_json_first(json, threads); thread != WA_JSON_NONE;
		 thread = wa_json_after(json, threads, thread))
	{
		piece->thread = psprintf("{\"id\":%s,\"messages\":[",
								 head_text(piece->webhook, wa_json_member(json, thread, "id")));
		add_messages(piece, wa_json_member(json, thread, "messages"));
	}
	close_piece(piece);
}

bool
wa_webhook_read_history(WaWebhook *webhook, uint32 value, WaHistoryTake take, void *arg)
{
	const WaJson *json = webhook->json;
	Piece piece = {.webhook = webhook, .take = take, .arg = arg, .complete = true};
	const char *number = head_text(webhook, wa_json_member(json, value, "metadata"));
	uint32 chunks = wa_json_member(json, value, "history");

	initStringInfo(&piece.text);
	for (uint32 chunk = wa_json_first(json, chunks); chunk != WA_JSON_NONE;
		 chunk = wa_json_after(json, chunks, chunk))
		add_chunk(&piece, number, chunk);

	/* the files of messages that had a placeholder only */
	piece.value = psprintf("{\"metadata\":%s,\"messages\":[", number);
	piece.value_end = "]}";
	piece.thread = piece.thread_end = "";
	add_messages(&piece, wa_json_member(json, value, "messages"));
	close_piece(&piece);
	return piece.complete;
}
