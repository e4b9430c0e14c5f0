/*-------------------------------------------------------------------------
 *
 * xml_fuzz.c
 *	  Any bytes at all, through every decoder of the codec.
 *
 * The first byte picks the decoder, so that one corpus serves all of them.
 * What is looked for is a crash, a leak, an overrun or a loop; a word from
 * libxml2 to anybody but us; and text that got in but cannot get out again,
 * so is not what it should be.  What a document means is for the unit tests.
 *
 * test/fuzz/xml_fuzz.c
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/xmlerror.h>

#include "xml_read.h"
#include "xml_write.h"

int			LLVMFuzzerInitialize(int *argc, char ***argv);
int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libxml2's global handler, which would print. */
static void
complain(void *arg, const char *format,...)
{
	(void) arg;
	(void) format;
	abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	xmlSetGenericErrorFunc(NULL, complain);
	return 0;
}

/* Is decoded text trimmed, not empty, and the same after a round trip? */
static void
check_text(const char *text)
{
	BwXmlProblem problem;
	BwOrderReply *reply;
	char	   *xml;

	if (text == NULL)
		return;
	xml = bw_xml_encode_close(text, NULL);
	if (xml == NULL)
		abort();
	reply = bw_xml_decode_order(xml, strlen(xml), &problem);
	if (reply == NULL || reply->name == NULL || strcmp(reply->name, text) != 0)
		abort();
	bw_xml_free_order(reply);
	free(xml);
}

static void
check_errors(const BwReplyErrors *errors)
{
	for (int i = 0; i < errors->count; i++)
	{
		check_text(errors->items[i].code);
		check_text(errors->items[i].text);
		for (int j = 0; j < errors->items[i].numbers.count; j++)
			check_text(errors->items[i].numbers.items[j]);
	}
}

/* It goes into an URL of ours. */
static void
check_query(const char *query)
{
	for (; query != NULL && *query != '\0'; query++)
		if (*query <= ' ' || *query > '~' || strchr("<>\"#", *query) != NULL)
			abort();
}

static void
read_list(BwListKind kind, const char *text, size_t len)
{
	BwList	   *list = bw_xml_list_open(kind, text, len);
	BwRow		row;
	BwNext		next;

	if (list == NULL)
		return;
	while ((next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
		for (int i = 0; i < BW_FIELD_COUNT_OF; i++)
			check_text(row.field[i]);
	if (bw_xml_list_next(list, &row) != next ||
		(next == BW_NEXT_ERROR) != (bw_xml_list_problem(list)[0] != '\0'))
		abort();
	check_errors(bw_xml_list_errors(list));
	check_query(bw_xml_list_next_query(list));
	bw_xml_list_close(list);
}

static void
read_order(const char *text, size_t len)
{
	BwXmlProblem problem;
	BwOrderReply *reply = bw_xml_decode_order(text, len, &problem);

	if (reply == NULL)
		return;
	check_text(reply->root);
	check_text(reply->name);
	check_text(reply->city);
	for (int i = 0; i < reply->completed.count; i++)
		check_text(reply->completed.items[i]);
	check_errors(&reply->errors);
	bw_xml_free_order(reply);
}

static void
read_errors(const char *text, size_t len)
{
	BwReplyErrors errors;
	BwXmlProblem problem;

	if (bw_xml_decode_errors(text, len, &errors, &problem))
		check_errors(&errors);
	bw_xml_free_errors(&errors);
}

static void
read_struct(int kind, const char *text, size_t len)
{
	BwXmlProblem problem;

	switch (kind)
	{
		case 0:
			read_order(text, len);
			break;
		case 1:
			bw_xml_free_notification(bw_xml_decode_notification(text, len, &problem));
			break;
		case 2:
			bw_xml_free_number(bw_xml_decode_number(text, len, &problem));
			break;
		default:
			read_errors(text, len);
			break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data + 1;

	if (size < 1)
		return 0;
	/* '0' to '7' and '8' on: seeds can be written with an editor */
	if (data[0] >= '0' && data[0] <= '7')
		read_list((BwListKind) (data[0] - '0'), text, size - 1);
	else
		read_struct(data[0] % 4, text, size - 1);
	return 0;
}
