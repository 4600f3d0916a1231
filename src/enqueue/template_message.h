/*
 * template_message.h
 *	  The content of a template message.
 *
 * For a WaEnqueue that has been looked up; called in its owner section.
 */
#ifndef WA_ENQUEUE_TEMPLATE_MESSAGE_H
#define WA_ENQUEUE_TEMPLATE_MESSAGE_H

#include "enqueue/enqueue.h"
#include "template/template.h"

/*
 * The template of e->template_name and e->template_language, checked to be
 * usable, and whether it is marketing; NULL if the registry is empty.  Raises
 * if the template does not exist, or not for this recipient.
 */
extern const WaTemplateSpec *wa_template_message_find(WaEnqueue *e);

/*
 * Makes it a message of the template e->template_name: chooses the language
 * unless the caller has, checks the parameters and builds the payload.
 */
extern void wa_template_message_fill(WaEnqueue *e, Jsonb *parameters);

#endif
