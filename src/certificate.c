/*-------------------------------------------------------------------------
 *
 * certificate.c
 *	  TLS certificates and keys from files: read, and judged before use.
 *
 * libmicrohttpd takes any certificate, and callers then find out that it has
 * expired.  GnuTLS is what libmicrohttpd itself uses for TLS.
 *
 * The only file that includes GnuTLS.
 *
 * src/certificate.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <gnutls/x509.h>

#include "certificate.h"

#define FILE_MAX (1024 * 1024)

static bool valid_now(gnutls_x509_crt_t cert, time_t now, char *error, size_t size);
static bool belong_together(gnutls_x509_crt_t cert, gnutls_x509_privkey_t key);

char *
bw_certificate_read(const char *name, const char *path, char *error, size_t size)
{
	FILE	   *file;
	char	   *content;
	size_t		len;

	if (path == NULL || path[0] == '\0')
	{
		snprintf(error, size, "%s is not set", name);
		return NULL;
	}
	file = fopen(path, "r");
	if (file == NULL)
	{
		snprintf(error, size, "%s \"%s\" cannot be read: %s", name, path, strerror(errno));
		return NULL;
	}
	content = malloc(FILE_MAX + 1);
	if (content != NULL)
	{
		len = fread(content, 1, FILE_MAX, file);
		content[len] = '\0';
	}
	else
		strlcpy(error, "out of memory", size);
	fclose(file);
	return content;
}

bool
bw_certificate_usable(const char *cert, const char *key, time_t now,
					  char *error, size_t size)
{
	gnutls_datum_t cert_data = {(unsigned char *) unconstify(char *, cert), strlen(cert)};
	gnutls_datum_t key_data = {(unsigned char *) unconstify(char *, key), strlen(key)};
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t private_key;
	bool		usable = false;

	if (gnutls_x509_crt_init(&crt) < 0)
	{
		strlcpy(error, "out of memory", size);
		return false;
	}
	if (gnutls_x509_privkey_init(&private_key) < 0)
	{
		gnutls_x509_crt_deinit(crt);
		strlcpy(error, "out of memory", size);
		return false;
	}
	if (gnutls_x509_crt_import(crt, &cert_data, GNUTLS_X509_FMT_PEM) < 0)
		strlcpy(error, "tls_cert_file holds no certificate", size);
	else if (gnutls_x509_privkey_import2(private_key, &key_data, GNUTLS_X509_FMT_PEM,
										 NULL, 0) < 0)
		strlcpy(error, "tls_key_file holds no key that can be used", size);
	else if (!belong_together(crt, private_key))
		strlcpy(error, "tls_key_file is not the key of tls_cert_file", size);
	else
		usable = valid_now(crt, now, error, size);
	gnutls_x509_privkey_deinit(private_key);
	gnutls_x509_crt_deinit(crt);
	return usable;
}

char *
bw_certificate_first(const char *content)
{
	gnutls_datum_t data = {(unsigned char *) unconstify(char *, content), strlen(content)};
	gnutls_datum_t pem;
	gnutls_x509_crt_t crt;
	char	   *copy = NULL;

	if (gnutls_x509_crt_init(&crt) < 0)
		return NULL;
	if (gnutls_x509_crt_import(crt, &data, GNUTLS_X509_FMT_PEM) >= 0 &&
		gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) >= 0)
	{
		copy = strndup((const char *) pem.data, pem.size);
		gnutls_free(pem.data);
	}
	gnutls_x509_crt_deinit(crt);
	return copy;
}

static bool
valid_now(gnutls_x509_crt_t cert, time_t now, char *error, size_t size)
{
	time_t		from = gnutls_x509_crt_get_activation_time(cert);
	time_t		until = gnutls_x509_crt_get_expiration_time(cert);
	time_t		when = now < from ? from : until;
	struct tm	tm;
	char		day[32] = "?";

	if (now >= from && now <= until)
		return true;
	if (gmtime_r(&when, &tm) != NULL)
		strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S UTC", &tm);
	snprintf(error, size, "the certificate %s %s",
			 now < from ? "is not valid before" : "expired on", day);
	return false;
}

/* By the id of the public key. */
static bool
belong_together(gnutls_x509_crt_t cert, gnutls_x509_privkey_t key)
{
	unsigned char of_cert[64];
	unsigned char of_key[64];
	size_t		cert_size = sizeof(of_cert);
	size_t		key_size = sizeof(of_key);

	return gnutls_x509_crt_get_key_id(cert, 0, of_cert, &cert_size) >= 0 &&
		gnutls_x509_privkey_get_key_id(key, 0, of_key, &key_size) >= 0 &&
		cert_size == key_size && memcmp(of_cert, of_key, cert_size) == 0;
}
