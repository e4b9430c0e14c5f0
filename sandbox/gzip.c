/*
 * gzip.c
 *	  Compressed replies, for clients that ask for them.
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

/* Windows of 32 kB, and gzip's own header around the result. */
#define GZIP_WINDOW (15 + 16)

bool
gzip_accepted(const char *accept_encoding)
{
	const char *p = accept_encoding;

	while (p != NULL && *p != '\0')
	{
		char		token[40];
		char	   *quality;

		p += strspn(p, " \t,");
		snprintf(token, sizeof(token), "%.*s", (int) strcspn(p, ","), p);
		quality = strstr(token, "q=");
		if (strncasecmp(token, "gzip", 4) == 0 && strcspn(token, " \t;") == 4)
			return quality == NULL || strtod(quality + 2, NULL) > 0;
		p += strcspn(p, ",");
	}
	return false;
}

/* Compress in place; false: left as it was. */
bool
gzip_text(Text *text)
{
	z_stream	stream = {0};
	Text		packed = {0};
	bool		done;

	if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	packed.room = deflateBound(&stream, text->len);
	packed.data = malloc(packed.room);
	stream.next_in = (Bytef *) text->data;
	stream.avail_in = (uInt) text->len;
	stream.next_out = (Bytef *) packed.data;
	stream.avail_out = (uInt) packed.room;
	done = packed.data != NULL && deflate(&stream, Z_FINISH) == Z_STREAM_END;
	packed.len = stream.total_out;
	deflateEnd(&stream);
	if (!done)
	{
		text_free(&packed);
		return false;
	}
	text_free(text);
	*text = packed;
	return true;
}
