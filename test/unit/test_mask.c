/*
 * What is masked in texts that are kept, and what is not.
 */
#include "wa_c.h"

#include "graph/mask.h"
#include "tap.h"

static const struct
{
	const char *in;
	const char *out;
} cases[] = {
	{"", ""},
	{"(#130429) Rate limit hit", "(#130429) Rate limit hit"},
	{"(#2388012) Phone exists", "(#2388012) Phone exists"},
	{"(#23880125) no such code", "(#***25) no such code"},
	{"code 190, subcode 463", "code 190, subcode 463"},

	{"+34600000001", "+***01"},
	{"to 34600000001.", "to ***01."},
	{"to +34 600 000 001 failed", "to +***01 failed"},
	{"to +34 (600) 000-001 failed", "to +***01 failed"},
	{"(34) 600.000.001", "(***01"},
	{"12 rows, 345 columns", "12 rows, 345 columns"},
	{"retry in 60 s, not 120", "retry in 60 s, not 120"},
	{"1234567", "***67"},
	{"123456", "123456"},
	{"x34600000001y", "x***01y"},
	{"34600000001 34600000002", "***02"},
	{"600 00 00 0", "****0"},
	{"600 00 00 0 1", "****1"},
	{"132001 34 600 000 001", "***01"},

	{"Malformed access token EAABsbCS1iHgBO", "Malformed access token ***"},
	{"EAABsbCS1iHgBO", "***"},
	{"EAA is short", "EAA is short"},
	{"wamid.HBgLMzQ2MDAwMDAwMDEVAgARGBI5QTND=", "wamid.***="},
	{"template confirmacion_de_pedido_semanal_v2 does not exist",
	 "template confirmacion_de_pedido_semanal_v2 does not exist"},
	{"MESSAGE_TEMPLATE_DOES_NOT_EXIST", "MESSAGE_TEMPLATE_DOES_NOT_EXIST"},

	{"el ni\xc3\xb1o \xf0\x9f\x98\x80", "el ni\xc3\xb1o \xf0\x9f\x98\x80"},
	{"cut \xc3", "cut ?"},
	{"bad \xff\xfe bytes", "bad ?? bytes"},
	{"overlong \xc0\x80", "overlong ??"},
	{"surrogate \xed\xa0\x80", "surrogate ???"},
};

int
main(void)
{
	for (int i = 0; i < lengthof(cases); i++)
	{
		char text[256];

		strlcpy(text, cases[i].in, sizeof(text));
		wa_mask_text(text);
		is_str(text, cases[i].out, "\"%s\"", cases[i].in);
	}
	return done_testing();
}
