/*
 * Which recipients are taken, how they are written down, and which are not.
 */
#include "wa_c.h"

#include "common/recipient.h"
#include "tap.h"

typedef struct Case
{
	const char *in;
	WaRecipientKind kind;
	const char *out;
} Case;

static const Case cases[] = {
	{"+34600000001", WA_RECIPIENT_PHONE, "+34600000001"},
	{"+34 600 000 001", WA_RECIPIENT_PHONE, "+34600000001"},
	{"+34 (600) 000-001", WA_RECIPIENT_PHONE, "+34600000001"},
	{"(+34) 600000001", WA_RECIPIENT_PHONE, "+34600000001"},
	{"  +34600000001  ", WA_RECIPIENT_PHONE, "+34600000001"},
	{"+1234567", WA_RECIPIENT_PHONE, "+1234567"},
	{"+123456789012345", WA_RECIPIENT_PHONE, "+123456789012345"},

	{"", WA_RECIPIENT_EMPTY, ""},
	{"   ", WA_RECIPIENT_EMPTY, ""},
	{"()-", WA_RECIPIENT_EMPTY, ""},
	{"34600000001", WA_RECIPIENT_NO_PLUS, ""},
	{"0034600000001", WA_RECIPIENT_NO_PLUS, ""},
	{"600 00 00 01", WA_RECIPIENT_NO_PLUS, ""},
	{"+034600000001", WA_RECIPIENT_LEADING_ZERO, ""},
	{"+0", WA_RECIPIENT_LEADING_ZERO, ""},
	{"+34 (0) 600000001", WA_RECIPIENT_TRUNK_ZERO, ""},
	{"+44(0)2079460000", WA_RECIPIENT_TRUNK_ZERO, ""},
	{"(+49) ( 0 ) 1701234567", WA_RECIPIENT_TRUNK_ZERO, ""},
	{"+49 (0170) 1234567", WA_RECIPIENT_TRUNK_ZERO, ""},
	{"+49 ((0)170) 1234567", WA_RECIPIENT_TRUNK_ZERO, ""},
	{"+39 (0) 612345678", WA_RECIPIENT_TRUNK_ZERO, ""},
	{"+39 (06) 12345678", WA_RECIPIENT_PHONE, "+390612345678"},
	{"+225 (07) 01020304", WA_RECIPIENT_PHONE, "+2250701020304"},
	{"+1 (800) 5550100", WA_RECIPIENT_PHONE, "+18005550100"},
	{"+34 600 (000) 001", WA_RECIPIENT_PHONE, "+34600000001"},
	{"(034) 600000001", WA_RECIPIENT_NO_PLUS, ""},
	{"+34 (0) 600x", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"+", WA_RECIPIENT_BAD_LENGTH, ""},
	{"+123456", WA_RECIPIENT_BAD_LENGTH, ""},
	{"+1234567890123456", WA_RECIPIENT_BAD_LENGTH, ""},
	{"+12345678901234567890123456789012345678901234567890", WA_RECIPIENT_BAD_LENGTH, ""},
	{"++34600000001", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"34+600000001", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"+34600000001x", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"+34.600.000.001", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"+34\t600000001", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"+34600000001\n", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"+34\xc2\xa0"
	 "600000001",
	 WA_RECIPIENT_BAD_CHARACTER, ""},
	{"+\xd9\xa3\xd9\xa4"
	 "600000001",
	 WA_RECIPIENT_BAD_CHARACTER, ""},

	{"ES.7001234567890123", WA_RECIPIENT_USER_ID, "ES.7001234567890123"},
	{" ES.7001234567890123 ", WA_RECIPIENT_USER_ID, "ES.7001234567890123"},
	{"ES.ENT.a1B2c3", WA_RECIPIENT_USER_ID, "ES.ENT.a1B2c3"},
	{"ES.ENT", WA_RECIPIENT_USER_ID, "ES.ENT"},
	{"ES.ENT.", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"ES.", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"es.7001234567890123", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"ESP.700123456789012", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"ES.70012345-7890123", WA_RECIPIENT_BAD_CHARACTER, ""},
	{"ES.7001.34567890123", WA_RECIPIENT_BAD_CHARACTER, ""},
};

/* Both ways; NULL: there is no other spelling. */
static const struct
{
	const char *one;
	const char *other;
} spellings[] = {
	{"+525512345678", "+5215512345678"}, /* Mexico */
	{"+541123456789", "+5491123456789"}, /* Argentina */
	{"+551187654321", "+5511987654321"}, /* Brazil: a mobile phone */
	{"+556161234567", "+5561961234567"}, /* 6 is the lowest digit of one */
	{"+551151234567", NULL},			 /* a landline */
	{"+5511951234567", NULL},			 /* never had eight digits: those are a landline's */
	{"+52551234567", NULL},				 /* a digit short */
	{"+52255123456789", NULL},			 /* a digit too many */
	{"+5225512345678", NULL},			 /* eleven digits, but not this one */
	{"+5511087654321", NULL},			 /* the same */
	{"+34600000001", NULL},				 /* Spain */
	{"+5", NULL},
	{"+52", NULL},
	{"+55", NULL},
	{"ES.7001234567890123", NULL},
	{"MX.5512345678", NULL},
	{"+52551234567x", NULL},
	{"", NULL},
};

static void
is_spelt(const char *phone, const char *other)
{
	char out[WA_RECIPIENT_SPELLINGS][WA_RECIPIENT_SIZE];
	int n = wa_recipient_spellings(phone, out);

	if (other == NULL)
		is_int(n, 0, "\"%s\" has one spelling", phone);
	else
		is_str(n == 1 ? out[0] : "none", other, "\"%s\" has another", phone);
}

static void
test_spellings(void)
{
	for (int i = 0; i < lengthof(spellings); i++)
	{
		is_spelt(spellings[i].one, spellings[i].other);
		if (spellings[i].other != NULL)
			is_spelt(spellings[i].other, spellings[i].one);
	}
}

int
main(void)
{
	char out[WA_RECIPIENT_SIZE];
	char longest[256] = "ES.ENT.";
	size_t len;

	for (int i = 0; i < lengthof(cases); i++)
	{
		const Case *c = &cases[i];
		WaRecipientKind kind = wa_recipient_normalise(c->in, strlen(c->in), out, sizeof(out));

		is_int(kind, c->kind, "\"%s\"", c->in);
		is_str(out, c->out, "its form");
	}

	len = strlen(longest) + 128;
	memset(longest + strlen(longest), 'A', 128);
	is_int(wa_recipient_normalise(longest, len, out, sizeof(out)), WA_RECIPIENT_USER_ID,
		   "the longest user id fits WA_RECIPIENT_SIZE");
	longest[len] = 'A';
	is_int(wa_recipient_normalise(longest, len + 1, out, sizeof(out)), WA_RECIPIENT_BAD_CHARACTER,
		   "one character more is none");

	is_int(wa_recipient_normalise("+34600000001", 11, out, sizeof(out)), WA_RECIPIENT_PHONE,
		   "the length counts, not a terminator");
	is_str(out, "+3460000000", "and nothing behind it is read");
	is_int(wa_recipient_normalise("+34600\0"
								  "0001",
								  11, out, sizeof(out)),
		   WA_RECIPIENT_BAD_CHARACTER, "a NUL is no digit");
	is_int(wa_recipient_normalise("+34600000001", 12, out, 12), WA_RECIPIENT_BAD_LENGTH,
		   "a buffer too small by one is not overrun");
	is_int(wa_recipient_normalise("+34600000001", 12, out, 13), WA_RECIPIENT_PHONE,
		   "one that just fits is enough");
	test_spellings();
	return done_testing();
}
