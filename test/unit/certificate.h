/*
 * certificate.h
 *	  Certificates for tests, made anew by each run.
 */
#ifndef CERTIFICATE_H
#define CERTIFICATE_H

#include <openssl/ssl.h>

/* A server's context with a certificate for "localhost". */
extern SSL_CTX *certificate_context(void);

/* PEM files: the authority that has signed it, and another one. */
extern const char *certificate_ca_file(void);
extern const char *certificate_other_ca_file(void);
extern void certificate_remove_files(void);

#endif
