/*
 * pinning.c
 *	  The PublicKey of a subscription: the certificate that its server shows.
 */
#include "sandbox.h"

#include <gnutls/x509.h>
#include <string.h>

static bool
is_certificate(const gnutls_datum_t * pem)
{
	gnutls_x509_crt_t certificate;
	bool		is = false;

	if (gnutls_x509_crt_init(&certificate) == 0)
	{
		is = gnutls_x509_crt_import(certificate, pem, GNUTLS_X509_FMT_PEM) == 0;
		gnutls_x509_crt_deinit(certificate);
	}
	return is;
}

char *
pinned_certificate(const char *public_key)
{
	gnutls_datum_t encoded = {(unsigned char *) public_key, (unsigned) strlen(public_key)};
	gnutls_datum_t pem;
	char	   *copy = NULL;

	if (gnutls_base64_decode2(&encoded, &pem) < 0)
		return NULL;
	if (is_certificate(&pem))
		copy = strndup((char *) pem.data, pem.size);
	gnutls_free(pem.data);
	return copy;
}
