/*
 * certificate.c
 *	  Certificates for tests, made anew by each run.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "certificate.h"

#define VALID_FOR_S 3600

typedef struct Identity
{
	EVP_PKEY *key;
	X509 *certificate;
	char file[64];
} Identity;

static Identity authority;
static Identity other_authority;
static Identity server;

static void
require(int condition, const char *what)
{
	if (!condition)
	{
		fprintf(stderr, "could not make a certificate: %s\n", what);
		abort();
	}
}

static void
add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	require(extension != NULL, value);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

/*
 * signer NULL makes an authority.
 */
static void
make_identity(Identity *identity, const char *name, const Identity *signer)
{
	static long serial = 1;
	X509 *certificate = X509_new();
	X509_NAME *subject;

	identity->key = EVP_EC_gen("P-256");
	require(identity->key != NULL && certificate != NULL, "key");
	identity->certificate = certificate;
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -VALID_FOR_S);
	X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_FOR_S);
	X509_set_pubkey(certificate, identity->key);
	subject = X509_get_subject_name(certificate);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *) name, -1, -1,
							   0);
	X509_set_issuer_name(certificate,
						 signer != NULL ? X509_get_subject_name(signer->certificate) : subject);
	if (signer != NULL)
		add_extension(certificate, NID_subject_alt_name, "DNS:localhost");
	else
		add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
	require(X509_sign(certificate, signer != NULL ? signer->key : identity->key, EVP_sha256()) > 0,
			"signature");
}

static void
write_file(Identity *identity)
{
	FILE *file;
	int fd;

	snprintf(identity->file, sizeof(identity->file), "/tmp/wa_unit_XXXXXX");
	fd = mkstemp(identity->file);
	require(fd >= 0, "file");
	file = fdopen(fd, "w");
	require(file != NULL && PEM_write_X509(file, identity->certificate) == 1, "file");
	fclose(file);
}

static void
make_all(void)
{
	if (server.key != NULL)
		return;
	make_identity(&authority, "Test authority", NULL);
	make_identity(&other_authority, "Another authority", NULL);
	make_identity(&server, "localhost", &authority);
	write_file(&authority);
	write_file(&other_authority);
}

SSL_CTX *
certificate_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	make_all();
	require(context != NULL && SSL_CTX_use_certificate(context, server.certificate) == 1 &&
				SSL_CTX_use_PrivateKey(context, server.key) == 1,
			"context");
	return context;
}

const char *
certificate_ca_file(void)
{
	make_all();
	return authority.file;
}

const char *
certificate_other_ca_file(void)
{
	make_all();
	return other_authority.file;
}

void
certificate_remove_files(void)
{
	Identity *all[] = {&authority, &other_authority, &server};

	for (int i = 0; i < 3; i++)
	{
		if (all[i]->file[0] != '\0')
			unlink(all[i]->file);
		EVP_PKEY_free(all[i]->key);
		X509_free(all[i]->certificate);
	}
}
