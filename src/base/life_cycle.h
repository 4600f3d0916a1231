/*
 * life_cycle.h
 *	  The server log's lines about the installation's life: one for each event.
 *
 * Each line is "whatsapp_shared WORD: ...", and docs/operating.md lists the words.
 * None is written for a message, however it fares.
 */
#ifndef WA_BASE_LIFE_CYCLE_H
#define WA_BASE_LIFE_CYCLE_H

/* What each of the lines begins with, for errmsg(); word: a string constant. */
#define WA_LIFE_CYCLE(word) "whatsapp_shared " word ": "

#endif
