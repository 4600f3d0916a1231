/*
 * trust.h
 *	  Which certificate authorities a sender's HTTP client trusts.
 */
#ifndef WA_SENDER_TRUST_H
#define WA_SENDER_TRUST_H

/* Has whatsapp_shared.ca_file changed, or what is in it, so that the client is to be opened anew?
 */
extern bool wa_trust_changed(void);

/* Milliseconds until it is to be asked again because the file could not be used; -1: it could. */
extern long wa_trust_wait_ms(void);

/*
 * The bundle for WaHttpConfig.ca_file: the system's authorities and those of
 * whatsapp_shared.ca_file; NULL: libcurl's default.  Reads what has changed; a file
 * that cannot be used is logged, and leaves what is in force as it is.  Valid until
 * the next call: whoever was given it before must open no more connections then.
 */
extern const char *wa_trust_bundle(void);

/* The same without reading anything: what the last call of that has given. */
extern const char *wa_trust_bundle_in_force(void);

#endif
