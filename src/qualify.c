/*-------------------------------------------------------------------------
 *
 * qualify.c
 *	  The names of our own tables and functions in a statement, with a schema.
 *
 * Were the extension's schema in the search_path, somebody who may CREATE there
 * could have us call a function of theirs: one that fits the arguments exactly
 * is preferred to a polymorphic one of pg_catalog, whatever the path's order.
 *
 * src/qualify.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "qualify.h"

#define PREFIX "bw_"
#define SEQUENCE_SUFFIX "_seq"

static size_t word_length(const char *text);
static bool begins_our_name(const char *statement, const char *at);
static const char *add_literal(StringInfo result, const char *at, const char *schema);

char *
bw_qualify(const char *statement, const char *schema)
{
	const char *quoted = quote_identifier(schema);
	const char *at = statement;
	StringInfoData result;

	initStringInfo(&result);
	while (*at != '\0')
	{
		if (*at == '\'')
		{
			at = add_literal(&result, at, quoted);
			continue;
		}
		if (begins_our_name(statement, at))
			appendStringInfo(&result, "%s.", quoted);
		appendStringInfoChar(&result, *at++);
	}
	return result.data;
}

static size_t
word_length(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

static bool
begins_our_name(const char *statement, const char *at)
{
	if (strncmp(at, PREFIX, strlen(PREFIX)) != 0)
		return false;
	return at == statement || (word_length(at - 1) == 0 && strchr(".$\"", at[-1]) == NULL);
}

/* Returns what comes after it. */
static const char *
add_literal(StringInfo result, const char *at, const char *schema)
{
	const char *word = at + 1;
	size_t		len = word_length(word);
	size_t		suffix = strlen(SEQUENCE_SUFFIX);
	const char *end;

	if (strncmp(word, PREFIX, strlen(PREFIX)) == 0 && word[len] == '\'' &&
		strncmp(word + len - suffix, SEQUENCE_SUFFIX, suffix) == 0)
	{
		appendStringInfoString(result, quote_literal_cstr(psprintf("%s.%.*s", schema,
																   (int) len, word)));
		return word + len + 1;
	}
	/* A doubled quote is two literals beside each other, which is as good. */
	end = strchr(word, '\'');
	end = end == NULL ? word + strlen(word) : end + 1;
	appendBinaryStringInfo(result, at, (int) (end - at));
	return end;
}
