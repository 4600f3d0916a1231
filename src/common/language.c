/*
 * language.c
 *	  How numbers, dates and times are written in the languages we know.
 *
 * Not the server's locales: which of those exist differs from machine to
 * machine, and lc_time cannot be had per value.  The rules are those of the
 * Unicode CLDR, with plain spaces, and with groups in numbers of four digits,
 * too, as in invoices.
 */
#include "wa_c.h"

#include "common/language.h"

static const char *const months_en[] = {"January",	 "February", "March",	 "April",
										"May",		 "June",	 "July",	 "August",
										"September", "October",	 "November", "December"};
static const char *const months_es[] = {"enero",	  "febrero", "marzo",	  "abril",
										"mayo",		  "junio",	 "julio",	  "agosto",
										"septiembre", "octubre", "noviembre", "diciembre"};
static const char *const months_ca[] = {"de gener",	   "de febrer", "de març",	   "d’abril",
										"de maig",	   "de juny",	"de juliol",   "d’agost",
										"de setembre", "d’octubre", "de novembre", "de desembre"};
static const char *const months_gl[] = {"xaneiro",	"febreiro", "marzo",	"abril",
										"maio",		"xuño",		"xullo",	"agosto",
										"setembro", "outubro",	"novembro", "decembro"};
static const char *const months_eu[] = {"urtarrila", "otsaila", "martxoa", "apirila",
										"maiatza",	 "ekaina",	"uztaila", "abuztua",
										"iraila",	 "urria",	"azaroa",  "abendua"};
static const char *const months_pt[] = {"janeiro",	"fevereiro", "março",	 "abril",
										"maio",		"junho",	 "julho",	 "agosto",
										"setembro", "outubro",	 "novembro", "dezembro"};
static const char *const months_fr[] = {"janvier",	 "février", "mars",		"avril",
										"mai",		 "juin",	"juillet",	"août",
										"septembre", "octobre", "novembre", "décembre"};
static const char *const months_it[] = {"gennaio",	 "febbraio", "marzo",	 "aprile",
										"maggio",	 "giugno",	 "luglio",	 "agosto",
										"settembre", "ottobre",	 "novembre", "dicembre"};
static const char *const months_de[] = {"Januar",	 "Februar", "März",		"April",
										"Mai",		 "Juni",	"Juli",		"August",
										"September", "Oktober", "November", "Dezember"};

/* Variants stand before the language they belong to. */
static const WaLanguage languages[] = {
	{"ca", ".", ",", false, " ", "%d %m de %y", "%d/%n/%y", false, months_ca},
	{"de", ".", ",", false, " ", "%d. %m %y", "%D.%N.%y", false, months_de},
	{"en_GB", ",", ".", true, "", "%d %m %y", "%D/%N/%y", false, months_en},
	{"en", ",", ".", true, "", "%m %d, %y", "%n/%d/%y", true, months_en},
	{"es_MX", ",", ".", true, "", "%d de %m de %y", "%D/%N/%y", false, months_es},
	{"es", ".", ",", false, " ", "%d de %m de %y", "%d/%n/%y", false, months_es},
	{"eu", ".", ",", false, " ", "%y(e)ko %mren %d(a)", "%y/%n/%d", false, months_eu},
	{"fr", " ", ",", false, " ", "%o %m %y", "%D/%N/%y", false, months_fr},
	{"gl", ".", ",", false, " ", "%d de %m de %y", "%D/%N/%y", false, months_gl},
	{"it", ".", ",", false, " ", "%d %m %y", "%D/%N/%y", false, months_it},
	{"pt_BR", ".", ",", true, " ", "%d de %m de %y", "%D/%N/%y", false, months_pt},
	{"pt", " ", ",", false, " ", "%d de %m de %y", "%D/%N/%y", false, months_pt}};

static const WaCurrency currencies[] = {
	{"ARS", "$", 2},  {"BRL", "R$", 2}, {"CLP", "$", 0}, {"COP", "$", 2},  {"CZK", "Kč", 2},
	{"DKK", "kr", 2}, {"EUR", "€", 2},	{"GBP", "£", 2}, {"HUF", "Ft", 2}, {"INR", "₹", 2},
	{"JPY", "¥", 0},  {"KRW", "₩", 0},	{"MXN", "$", 2}, {"NOK", "kr", 2}, {"PEN", "S/", 2},
	{"PLN", "zł", 2}, {"SEK", "kr", 2}, {"USD", "$", 2}, {"UYU", "$", 2}};

bool
wa_language_is_code(const char *text)
{
	size_t language = strspn(text, "abcdefghijklmnopqrstuvwxyz");
	size_t region;

	if (language < 2 || language > 3)
		return false;
	if (text[language] == '\0')
		return true;
	if (text[language] != '_')
		return false;
	region = strspn(text + language + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
	return (region == 2 || region == 3) && text[language + 1 + region] == '\0';
}

const WaLanguage *
wa_language_find(const char *code)
{
	for (int i = 0; i < lengthof(languages); i++)
	{
		size_t len = strlen(languages[i].code);

		if (strncmp(code, languages[i].code, len) == 0 && (code[len] == '\0' || code[len] == '_'))
			return &languages[i];
	}
	return NULL;
}

const WaCurrency *
wa_currency_find(const char *code)
{
	for (int i = 0; i < lengthof(currencies); i++)
	{
		if (strcmp(code, currencies[i].code) == 0)
			return &currencies[i];
	}
	return NULL;
}
