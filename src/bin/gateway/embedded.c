/*
 * embedded.c
 *	  The files of pages/, as bytes.
 *
 * The Makefile lists the files that are there in build/pages.list, as
 * GW_PAGE(number, "folder/name"); the assembler puts in their contents.
 */
#include "bin/gateway/embedded.h"

#include <string.h>

#define GW_PAGE(number, name)                                                                      \
	__asm__(".pushsection .rodata\n"                                                               \
			"gw_page_" #number ":\n"                                                               \
			".incbin \"pages/" name "\"\n"                                                         \
			"gw_page_" #number "_end:\n"                                                           \
			".byte 0\n"                                                                            \
			".popsection\n");                                                                      \
	extern const char gw_page_##number[] __attribute__((visibility("hidden")));                    \
	extern const char gw_page_##number##_end[] __attribute__((visibility("hidden")));
#include "build/pages.list"
#undef GW_PAGE

static const GwEmbedded files[] = {
#define GW_PAGE(number, name) {name, gw_page_##number, gw_page_##number##_end},
#include "build/pages.list"
#undef GW_PAGE
	{NULL, NULL, NULL},
};

const GwEmbedded *
gw_embedded_find(const char *name)
{
	for (const GwEmbedded *file = files; file->name != NULL; file++)
	{
		if (strcmp(file->name, name) == 0)
			return file;
	}
	return NULL;
}

const GwEmbedded *
gw_embedded_at(size_t number)
{
	return number < sizeof(files) / sizeof(files[0]) - 1 ? &files[number] : NULL;
}
