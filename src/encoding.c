/*-------------------------------------------------------------------------
 *
 * encoding.c
 *	  Texts to and from Bandwidth, which speaks UTF-8, in the database's encoding.
 *
 * src/encoding.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/string.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "encoding.h"

static void add_character(StringInfo out, Oid conversion, const char *character,
						  int len);

char *
bw_from_utf8(const char *text)
{
	int			encoding = GetDatabaseEncoding();
	Oid			conversion = InvalidOid;
	StringInfoData out;
	int			len;

	if (text == NULL || encoding == PG_UTF8 || encoding == PG_SQL_ASCII ||
		pg_is_ascii(text))
		return unconstify(char *, text);
	/* The catalog is not to be had while the worker is on the network. */
	if (IsTransactionState())
		conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	initStringInfo(&out);
	for (; *text != '\0'; text += len)
	{
		len = strnlen(text, pg_encoding_mblen(PG_UTF8, text));
		add_character(&out, conversion, text, len);
	}
	return out.data;
}

static void
add_character(StringInfo out, Oid conversion, const char *character, int len)
{
	unsigned char converted[MAX_CONVERSION_GROWTH * 4 + 1];

	if (!IS_HIGHBIT_SET(*character))
		appendStringInfoChar(out, *character);
	else if (OidIsValid(conversion) &&
			 pg_do_encoding_conversion_buf(conversion, PG_UTF8, GetDatabaseEncoding(),
										   (unsigned char *) unconstify(char *, character),
										   len, converted, sizeof(converted), true) == len)
		appendStringInfoString(out, (char *) converted);
	else
		appendStringInfoChar(out, '?');
}

char *
bw_to_utf8(const char *text)
{
	if (text == NULL || pg_is_ascii(text))
		return unconstify(char *, text);
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

bool
bw_is_visible_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}
