/*
 * mask.h
 *	  Takes out of a text what must not be kept: numbers and tokens.  Pure.
 */
#ifndef WA_GRAPH_MASK_H
#define WA_GRAPH_MASK_H

/*
 * In place; the text never grows.  Telephone numbers keep their last two
 * digits, tokens nothing.  Bytes that are not valid UTF-8 become "?".
 */
extern void wa_mask_text(char *text);

#endif
