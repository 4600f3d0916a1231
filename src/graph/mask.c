/*
 * mask.c
 *	  Takes out of a text what must not be kept: numbers and tokens.
 *
 * Meta's error texts quote what they dislike: "Malformed access token EAAB...",
 * "Recipient +34 600 ... is not in allowed list".  They end in tables that
 * people read who must see neither.  The rules are crude on purpose: losing
 * an id from an error text costs little, and it stands in a column of its own.
 */
#include "wa_c.h"

#include "mb/pg_wchar.h"

#include "graph/mask.h"

/* The shortest telephone number. */
#define MIN_PHONE_DIGITS 7

/* An error code after "(#" has as many digits as a number, but at most these. */
#define MAX_CODE_DIGITS 7

/* Random text of this length is a token; Meta's begin with EAA. */
#define MIN_TOKEN 24
#define MIN_PREFIXED_TOKEN 10
#define TOKEN_PREFIX "EAA"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

/*
 * What may stand between two digits of one number.
 */
static bool
is_separator(char c)
{
	return c == ' ' || c == '-' || c == '(' || c == ')' || c == '.';
}

static void
clean_utf8(char *text)
{
	char *p = text;
	char *end = p + strlen(text);

	while (p < end)
	{
		int len = pg_encoding_verifymbchar(PG_UTF8, p, end - p);

		if (len > 0)
			p += len;
		else
			*p++ = '?';
	}
}

/*
 * The length of the run of digits at p, separators between them included,
 * and how many digits it has.
 */
static size_t
phone_run(const char *p, int *digits)
{
	size_t len = 0;
	size_t i = 0;

	*digits = 0;
	while (p[i] != '\0')
	{
		if (is_digit(p[i]))
		{
			(*digits)++;
			len = ++i;
		}
		else if (is_separator(p[i]) && i - len < 2)
			i++; /* at most two, as in ") " */
		else
			break;
	}
	return len;
}

/*
 * The length of the token at p, or 0 if the word there is none.
 */
static size_t
token_run(const char *p)
{
	size_t len = 0;
	bool upper = false;
	bool digit = false;

	for (; is_word(p[len]); len++)
	{
		upper |= p[len] >= 'A' && p[len] <= 'Z';
		digit |= is_digit(p[len]);
	}
	if (len >= MIN_PREFIXED_TOKEN && strncmp(p, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) == 0)
		return len;
	return len >= MIN_TOKEN && upper && digit ? len : 0;
}

void
wa_mask_text(char *text)
{
	const char *in = text;
	char *out = text;

	clean_utf8(text);
	while (*in != '\0')
	{
		bool word_start = in == text || !is_word(in[-1]);
		bool number_start = in == text || !is_digit(in[-1]);
		size_t len;
		int digits;

		if (word_start && (len = token_run(in)) > 0)
		{
			memcpy(out, "***", 3);
			out += 3;
			in += len;
		}
		else if (number_start && is_digit(*in))
		{
			bool code = in - text >= 2 && in[-1] == '#' && in[-2] == '(';

			len = phone_run(in, &digits);
			if (digits < MIN_PHONE_DIGITS || (code && strspn(in, "0123456789") <= MAX_CODE_DIGITS))
			{
				/* no further than the first group: the next may begin a number */
				len = strspn(in, "0123456789");
				memmove(out, in, len);
				out += len;
			}
			else
			{
				char last[2] = {is_digit(in[len - 2]) ? in[len - 2] : '*', in[len - 1]};

				memcpy(out, "***", 3);
				memcpy(out + 3, last, 2);
				out += 5;
			}
			in += len;
		}
		else
			*out++ = *in++;
	}
	*out = '\0';
}
