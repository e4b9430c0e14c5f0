/*-------------------------------------------------------------------------
 *
 * xml_fuzz.c
 *	  Any bytes at all, through every decoder of the codec.
 *
 * The first byte picks the decoder, so that one corpus serves all of them.
 * What is looked for is a crash, a leak, an overrun or a loop; what a
 * document means is for the unit tests.
 *
 * test/fuzz/xml_fuzz.c
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <stdint.h>

#include "xml.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_list(BwListKind kind, const char *text, size_t len)
{
	BwList	   *list = bw_xml_list_open(kind, text, len);
	BwRow		row;

	while (list != NULL && bw_xml_list_next(list, &row) == BW_NEXT_ROW)
		;
	bw_xml_list_close(list);
}

static void
read_struct(int kind, const char *text, size_t len)
{
	BwReplyErrors errors;
	BwXmlProblem problem;

	switch (kind)
	{
		case 0:
			bw_xml_free_order(bw_xml_decode_order(text, len, &problem));
			break;
		case 1:
			bw_xml_free_notification(bw_xml_decode_notification(text, len, &problem));
			break;
		case 2:
			bw_xml_free_number(bw_xml_decode_number(text, len, &problem));
			break;
		default:
			if (bw_xml_decode_errors(text, len, &errors, &problem))
				bw_xml_free_errors(&errors);
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
