/*-------------------------------------------------------------------------
 *
 * certificate.h
 *	  TLS certificates and keys from files: read, and judged before use.
 *
 * src/certificate.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_CERTIFICATE_H
#define BW_CERTIFICATE_H

#include "bandwidth.h"

#include <time.h>

/*
 * The content of a PEM file, malloc'd; NULL and a line in "error" if it cannot
 * be read.  "name" is what the file is for, as in the configuration.
 */
extern char *bw_certificate_read(const char *name, const char *path,
								 char *error, size_t size);

/*
 * Can they be shown to callers at this time: a certificate that is valid now
 * (the first one of the file), and its key?  False: "error" says why not.
 */
extern bool bw_certificate_usable(const char *cert, const char *key, time_t now,
								  char *error, size_t size);

/*
 * The first certificate of the file's content, in PEM, malloc'd, without the
 * key or the others that may be there as well.  NULL: there is none.
 */
extern char *bw_certificate_first(const char *content);

#endif							/* BW_CERTIFICATE_H */
