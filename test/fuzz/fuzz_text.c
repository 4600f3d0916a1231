/*
 * fuzz_text.c
 *	  Texts from outside that are taken apart by hand: callback data, recipients,
 *	  and error texts that are masked.
 *
 * What is accepted must be written back in the same form, and a masked text has
 * neither a long number nor broken UTF-8, and is not longer than it was.
 */
#include "wa_c.h"

#include "mb/pg_wchar.h"

#include "common/message_state.h"
#include "graph/mask.h"
#include "common/recipient.h"

static void
expect(bool truth)
{
	if (!truth)
		__builtin_trap();
}

static void
check_opaque(const char *text, size_t len)
{
	char installation[9];
	char again[WA_OPAQUE_SIZE];
	int64_t id;
	int attempt;

	if (!wa_message_opaque_read(text, len, installation, sizeof(installation), &id, &attempt))
		return;
	expect(id > 0 && attempt > 0 && attempt <= INT16_MAX);
	wa_message_opaque_write(again, sizeof(again), installation, id, attempt);
	expect(strlen(again) == len && memcmp(again, text, len) == 0);
}

static void
check_recipient(const char *text, size_t len)
{
	char out[WA_RECIPIENT_SIZE];
	char again[WA_RECIPIENT_SIZE];
	WaRecipientKind kind = wa_recipient_normalise(text, len, out, sizeof(out));

	if (kind != WA_RECIPIENT_PHONE && kind != WA_RECIPIENT_USER_ID)
	{
		expect(out[0] == '\0');
		return;
	}
	expect(wa_recipient_normalise(out, strlen(out), again, sizeof(again)) == kind);
	expect(strcmp(out, again) == 0);
	if (kind == WA_RECIPIENT_PHONE)
		expect(out[0] == '+' && out[1] >= '1' && out[1] <= '9' && strlen(out) >= 8 &&
			   strlen(out) <= 16 && strspn(out + 1, "0123456789") == strlen(out) - 1);
}

static void
check_mask(char *text)
{
	size_t before = strlen(text);

	wa_mask_text(text);
	expect(strlen(text) <= before);
	for (const unsigned char *p = (const unsigned char *) text; *p != '\0';)
	{
		int len = pg_encoding_mblen(PG_UTF8, (const char *) p);

		expect(pg_utf8_islegal(p, len));
		p += len;
	}
	/* seven digits may follow "(#", eight may not */
	for (const char *p = text; *p != '\0'; p++)
		expect(strspn(p, "0123456789") <= 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	expect(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	check_opaque(text, size);
	check_recipient(text, size);
	check_mask(text);
	free(text);
	return 0;
}
