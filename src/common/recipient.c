/*
 * recipient.c
 *	  Telephone numbers and business-scoped user ids.
 *
 * A number without "+" is an error and never repaired: Meta would put the
 * calling code of the sending number before it and reach a stranger.
 */
#include "wa_c.h"

#include "common/recipient.h"

/* E.164: a country code that does not begin with 0, 15 digits in all. */
#define MIN_DIGITS 7
#define MAX_DIGITS 15
#define MAX_CALLING_CODE 3

/* "CC." or "CC.ENT.", then up to 128 letters and digits. */
#define MAX_USER_ID_TAIL 128
#define PARENT_INFIX "ENT."

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

/*
 * What people write between the digits of a number.
 */
static bool
is_separator(char c)
{
	return c == ' ' || c == '-' || c == '(' || c == ')';
}

static bool
is_user_id(const char *in, size_t len)
{
	size_t i = 3;

	if (len < 4 || !is_upper(in[0]) || !is_upper(in[1]) || in[2] != '.')
		return false;
	if (len > i + strlen(PARENT_INFIX) && memcmp(in + i, PARENT_INFIX, strlen(PARENT_INFIX)) == 0)
		i += strlen(PARENT_INFIX);
	if (len - i > MAX_USER_ID_TAIL)
		return false;
	for (; i < len; i++)
	{
		if (!is_digit(in[i]) && !is_upper(in[i]) && !(in[i] >= 'a' && in[i] <= 'z'))
			return false;
	}
	return true;
}

/*
 * Where numbers keep their zero when they are called from abroad: Italy and what lies
 * in it, Ivory Coast, Gabon, Congo.
 */
static bool
keeps_zero(const char *digits, size_t count)
{
	static const char *const codes[] = {"39", "378", "225", "241", "242"};

	for (size_t i = 0; i < lengthof(codes); i++)
	{
		if (count == strlen(codes[i]) && memcmp(digits, codes[i], count) == 0)
			return true;
	}
	return false;
}

/*
 * Whether in, which begins after a calling code and an opening parenthesis, is the zero
 * that is dialled within a country only: (0) alone, or an area code with it, such as
 * (0171).
 */
static bool
is_trunk_zero(const char *in, size_t len, const char *digits, size_t count)
{
	while (len > 0 && in[0] == ' ')
		in++, len--;
	if (count == 0 || count > MAX_CALLING_CODE || len == 0 || in[0] != '0')
		return false;
	do
		in++, len--;
	while (len > 0 && in[0] == ' ');
	return len == 0 || !is_digit(in[0]) || !keeps_zero(digits, count);
}

static WaRecipientKind
normalise_phone(const char *in, size_t len, char *out, size_t out_size)
{
	char digits[MAX_DIGITS + 1];
	size_t count = 0;
	bool plus = false;
	bool trunk_zero = false;

	for (size_t i = 0; i < len; i++)
	{
		if (in[i] == '(' && is_trunk_zero(in + i + 1, len - i - 1, digits, count))
			trunk_zero = true;
		if (is_separator(in[i]))
			continue;
		if (in[i] == '+' && !plus && count == 0)
			plus = true;
		else if (!is_digit(in[i]))
			return WA_RECIPIENT_BAD_CHARACTER;
		else if (count++ < MAX_DIGITS)
			digits[count - 1] = in[i];
	}

	if (count == 0 && !plus)
		return WA_RECIPIENT_EMPTY;
	if (!plus)
		return WA_RECIPIENT_NO_PLUS;
	if (count > 0 && digits[0] == '0')
		return WA_RECIPIENT_LEADING_ZERO;
	if (trunk_zero)
		return WA_RECIPIENT_TRUNK_ZERO;
	if (count < MIN_DIGITS || count > MAX_DIGITS || out_size < count + 2)
		return WA_RECIPIENT_BAD_LENGTH;

	out[0] = '+';
	memcpy(out + 1, digits, count);
	out[count + 1] = '\0';
	return WA_RECIPIENT_PHONE;
}

/*
 * in need not be terminated.  out holds the canonical form if the answer is
 * one of the first two kinds, else an empty string; WA_RECIPIENT_SIZE bytes
 * are always enough.
 */
WaRecipientKind
wa_recipient_normalise(const char *in, size_t len, char *out, size_t out_size)
{
	if (out_size > 0)
		out[0] = '\0';
	while (len > 0 && in[0] == ' ')
		in++, len--;
	while (len > 0 && in[len - 1] == ' ')
		len--;
	if (len == 0)
		return WA_RECIPIENT_EMPTY;

	if (is_user_id(in, len) && len < out_size)
	{
		memcpy(out, in, len);
		out[len] = '\0';
		return WA_RECIPIENT_USER_ID;
	}
	return normalise_phone(in, len, out, out_size);
}

/* ---- spellings -------------------------------------------------------------------- */

/* A digit that stands after the prefix in the longer spelling, and not in the shorter one. */
typedef struct Spelling
{
	const char *country; /* calling code, with "+" */
	size_t area;		 /* digits between it and the digit */
	char digit;
	size_t digits; /* after the calling code, in the shorter spelling */
} Spelling;

static const Spelling spellings[] = {
	{"+52", 0, '1', 10},
	{"+54", 0, '9', 10},
	{"+55", 2, '9', 10},
};

/*
 * Brazil's landline numbers begin with 2 to 5 and have never got another digit; those of
 * mobile phones begin with 6 to 9.
 */
static bool
has_spellings(const Spelling *rule, const char *national)
{
	return rule->area == 0 || national[rule->area] >= '6';
}

int
wa_recipient_spellings(const char *phone, char out[WA_RECIPIENT_SPELLINGS][WA_RECIPIENT_SIZE])
{
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
	{
		const Spelling *rule = &spellings[i];
		size_t prefix = strlen(rule->country) + rule->area;
		size_t digits = rule->digits;
		const char *national = phone + strlen(rule->country);
		const char *rest = phone + prefix;
		bool is_longer;

		if (strncmp(phone, rule->country, strlen(rule->country)) != 0 ||
			strspn(national, "0123456789") != strlen(national))
			continue;
		is_longer = strlen(national) == digits + 1 && rest[0] == rule->digit;
		if (!is_longer && strlen(national) != digits)
			continue;
		if (!has_spellings(rule, is_longer ? national + 1 : national))
			continue;
		memcpy(out[0], phone, prefix);
		if (is_longer)
			strlcpy(out[0] + prefix, rest + 1, WA_RECIPIENT_SIZE - prefix);
		else
		{
			out[0][prefix] = rule->digit;
			strlcpy(out[0] + prefix + 1, rest, WA_RECIPIENT_SIZE - prefix - 1);
		}
		return 1;
	}
	return 0;
}
