/*-------------------------------------------------------------------------
 *
 * xml.c
 *	  XML documents as elements, one after the other, in and out.
 *
 * The only file that knows libxml2, and plain C: nothing here throws, prints,
 * keeps global state or touches the network.  Documents come from strangers
 * (anybody may call the listener), so they are pulled through an
 * xmlTextReader element by element and nothing is believed about them:
 *
 * - Bytes are looked at before libxml2 sees them (see inspect()).  A DOCTYPE
 *   ends the reading there, so that libxml2's DTD code never runs; and only
 *   encodings pass whose conversion cannot fail, because libxml2 reports a
 *   failed conversion to a global handler, which prints.
 * - Depth and the length of a text are limited.
 * - A document that is cut short or goes on after its end is an error even if
 *   its elements were handed out before.
 *
 * src/xml.c
 *-------------------------------------------------------------------------
 */
#include "xml.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/chvalid.h>
#include <libxml/tree.h>
#include <libxml/xmlreader.h>
#include <libxml/xmlwriter.h>

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define HAS_NUL "document has a NUL character"

/* "<?xml ...?>" in full; encoding, version and standalone need half of it. */
#define MAX_DECLARATION 128

/* libxml2 2.12 made the error of a handler const. */
#if LIBXML_VERSION >= 21200
typedef const xmlError LibraryError;
#else
typedef xmlError LibraryError;
#endif

/* The bytes of a document as characters of one or, in UTF-16, two bytes. */
typedef struct Glance
{
	const unsigned char *data;
	size_t		count;
	size_t		at;
	int			width;
	int			low;			/* which of two bytes is the lower one */
} Glance;

/*
 * Encodings that are read.  libxml2 knows more, but those can fail to convert
 * and then it prints.
 */
static const struct
{
	const char *name;
	int			width;
	int			last;			/* last character */
}			encodings[] = {
	{"UTF-8", 1, 0xff},
	{"ISO-8859-1", 1, 0xff},
	{"US-ASCII", 1, 0x7f},
	{"UTF-16", 2, 0xffff}
};

static BwXmlStep stream_node(BwStream *stream);
static BwXmlStep stream_push(BwStream *stream);
static BwXmlStep stream_add_text(BwStream *stream);
static BwXmlStep stream_end_element(BwStream *stream);
static void stream_pop(BwStream *stream);
static BwXmlStep stream_end(BwStream *stream);
static void on_library_error(void *arg, LibraryError *error);
static const char *inspect(const char *data, size_t len);
static bool glance_width(Glance *glance);
static int	glance_at(const Glance *glance, size_t at);
static bool glance_skip(Glance *glance, const char *text);
static void glance_skip_past(Glance *glance, const char *text);
static const char *glance_declaration(Glance *glance,
									  char encoding[MAX_DECLARATION]);
static bool glance_doctype(Glance *glance);
static const char *glance_characters(const Glance *glance,
									 const char *encoding);
static bool is_space(int c);

/* ---------- reading ---------- */

bool
bw_stream_open(BwStream *stream, const char *data, size_t len)
{
	const char *refusal = inspect(data, len);

	memset(stream, 0, offsetof(BwStream, text));
	if (refusal == NULL)
	{
		xmlInitParser();
		stream->reader = xmlReaderForMemory(data, (int) len, NULL, NULL,
											XML_PARSE_NONET);
		if (stream->reader == NULL)
			refusal = BW_XML_OUT_OF_MEMORY;
	}
	if (refusal != NULL)
	{
		bw_stream_fail(stream, refusal);
		return false;
	}
	xmlTextReaderSetStructuredErrorHandler(stream->reader, on_library_error,
										   stream);
	return true;
}

void
bw_stream_close(BwStream *stream)
{
	if (stream->reader != NULL)
		xmlFreeTextReader(stream->reader);
	stream->reader = NULL;
}

BwXmlStep
bw_stream_next(BwStream *stream)
{
	BwXmlStep	step = BW_XML_STEP_NONE;

	if (stream->failed)
		return BW_XML_STEP_ERROR;
	if (stream->closing)
		stream_pop(stream);
	if (stream->empty)
		return stream_end_element(stream);
	while (step == BW_XML_STEP_NONE)
	{
		int			result = xmlTextReaderRead(stream->reader);

		if (stream->failed || result < 0)
			return bw_stream_fail(stream, "not well formed");
		step = result == 0 ? stream_end(stream) : stream_node(stream);
	}
	return step;
}

static BwXmlStep
stream_node(BwStream *stream)
{
	switch (xmlTextReaderNodeType(stream->reader))
	{
		case XML_READER_TYPE_ELEMENT:
			return stream_push(stream);
		case XML_READER_TYPE_END_ELEMENT:
			return stream_end_element(stream);
		case XML_READER_TYPE_TEXT:
		case XML_READER_TYPE_CDATA:
		case XML_READER_TYPE_WHITESPACE:
		case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
			return stream_add_text(stream);
		case XML_READER_TYPE_COMMENT:
		case XML_READER_TYPE_PROCESSING_INSTRUCTION:
		case XML_READER_TYPE_XML_DECLARATION:
			return BW_XML_STEP_NONE;
		default:
			return bw_stream_fail(stream, "document has a DOCTYPE or entities");
	}
}

static BwXmlStep
stream_push(BwStream *stream)
{
	const char *name = (const char *) xmlTextReaderConstLocalName(stream->reader);
	const char *colon;

	if (name == NULL)
		return bw_stream_fail(stream, BW_XML_OUT_OF_MEMORY);
	if (stream->depth == BW_XML_MAX_DEPTH)
		return bw_stream_fail(stream, "elements are nested too deeply");
	/* a prefix that was never declared is part of the "local" name */
	colon = strrchr(name, ':');
	stream->name[++stream->depth] = colon != NULL ? colon + 1 : name;
	stream->empty = xmlTextReaderIsEmptyElement(stream->reader) == 1;
	stream->leaf = true;
	stream->text_len = 0;
	return BW_XML_STEP_OPEN;
}

/* Text between elements is not kept, however long. */
static BwXmlStep
stream_add_text(BwStream *stream)
{
	const char *text = (const char *) xmlTextReaderConstValue(stream->reader);
	size_t		len = text != NULL ? strlen(text) : 0;

	if (stream->depth == 0 || !stream->leaf)
		return BW_XML_STEP_NONE;
	if (len > BW_XML_MAX_TEXT - stream->text_len)
		return bw_stream_fail(stream, "text of an element is too long");
	if (len > 0)
		memcpy(stream->text + stream->text_len, text, len);
	stream->text_len += len;
	return BW_XML_STEP_NONE;
}

static BwXmlStep
stream_end_element(BwStream *stream)
{
	char	   *begin = stream->text;
	char	   *end = begin + stream->text_len;

	stream->empty = false;
	stream->closing = true;
	stream->value = NULL;
	if (!stream->leaf)
		return BW_XML_STEP_CLOSE;
	while (begin < end && is_space(*begin))
		begin++;
	while (begin < end && is_space(end[-1]))
		end--;
	*end = '\0';
	if (!bw_xml_is_text(begin))
		return bw_stream_fail(stream, "text is not proper UTF-8");
	if (begin < end)
		stream->value = begin;
	return BW_XML_STEP_CLOSE;
}

/* The element that was reported closed goes; the one around it is no leaf. */
static void
stream_pop(BwStream *stream)
{
	stream->closing = false;
	stream->leaf = false;
	stream->value = NULL;
	stream->depth--;
}

/* Did the end come after the end of the document element? */
static BwXmlStep
stream_end(BwStream *stream)
{
	if (stream->depth > 0 || stream->name[1] == NULL)
		return bw_stream_fail(stream, "document is cut short");
	return BW_XML_STEP_END;
}

BwXmlStep
bw_stream_fail(BwStream *stream, const char *text)
{
	if (!stream->failed)
		bw_stream_problem(&stream->problem, text);
	stream->failed = true;
	return BW_XML_STEP_ERROR;
}

/*
 * Note what libxml2 complains about.
 *
 * Prefixes without a declaration are well formed XML, and namespaces mean
 * nothing here.
 */
static void
on_library_error(void *arg, LibraryError *error)
{
	BwStream   *stream = arg;
	char		text[sizeof(stream->problem.text)];

	if (error->level < XML_ERR_ERROR || error->domain == XML_FROM_NAMESPACE)
		return;
	snprintf(text, sizeof(text), "line %d: %s", error->line,
			 error->message != NULL ? error->message : "not well formed");
	bw_stream_fail(stream, text);
}

void
bw_stream_problem(BwXmlProblem *problem, const char *text)
{
	size_t		len = 0;

	for (; text[len] != '\0' && len < sizeof(problem->text) - 1; len++)
		problem->text[len] = text[len] < ' ' || text[len] > '~' ? ' ' : text[len];
	while (len > 0 && strchr(" .", problem->text[len - 1]) != NULL)
		len--;
	problem->text[len] = '\0';
}

bool
bw_stream_same(const char *a, const char *b, size_t len)
{
	return xmlStrncasecmp(BAD_CAST a, BAD_CAST b, (int) len) == 0;
}

/* ---------- a look at the bytes before libxml2 sees them ---------- */

/* Why the document is refused; NULL: it may be read. */
static const char *
inspect(const char *data, size_t len)
{
	Glance		glance = {(const unsigned char *) data, len, 0, 1, 0};
	char		encoding[MAX_DECLARATION] = "";
	const char *refusal;

	if (len == 0)
		return "document is empty";
	if (len > INT_MAX)
		return "document is too long";
	if (!glance_width(&glance))
		return "document is cut short";
	refusal = glance_declaration(&glance, encoding);
	if (refusal == NULL && glance_doctype(&glance))
		refusal = "document has a DOCTYPE";
	if (refusal == NULL)
		refusal = glance_characters(&glance, encoding);
	return refusal;
}

/* One byte or two?  False: half a character at the end. */
static bool
glance_width(Glance *glance)
{
	static const unsigned char marks[][3] = {
		{0xfe, 0xff, 1}, {0xff, 0xfe, 0}, {0, '<', 1}, {'<', 0, 0}
	};

	for (int i = 0; i < COUNT(marks) && glance->count >= 2; i++)
		if (memcmp(glance->data, marks[i], 2) == 0)
		{
			if (glance->count % 2 != 0)
				return false;
			glance->width = 2;
			glance->low = marks[i][2];
			glance->count /= 2;
			break;
		}
	if (glance_at(glance, 0) == 0xfeff)
		glance->at = 1;
	else if (glance->count >= 3 && memcmp(glance->data, "\xef\xbb\xbf", 3) == 0)
		glance->at = 3;
	return true;
}

static int
glance_at(const Glance *glance, size_t at)
{
	const unsigned char *data = glance->data + at * glance->width;

	if (at >= glance->count)
		return -1;
	if (glance->width == 1)
		return *data;
	return data[1 - glance->low] << 8 | data[glance->low];
}

/* Pass over "text" if it comes next. */
static bool
glance_skip(Glance *glance, const char *text)
{
	size_t		len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (glance_at(glance, glance->at + i) != text[i])
			return false;
	glance->at += len;
	return true;
}

/* Pass over everything up to and with "text". */
static void
glance_skip_past(Glance *glance, const char *text)
{
	while (glance->at < glance->count && !glance_skip(glance, text))
		glance->at++;
}

/*
 * Get the encoding from the XML declaration, "" if there is none.
 *
 * The word must not come twice, so that libxml2 cannot find another one.
 */
static const char *
glance_declaration(Glance *glance, char encoding[MAX_DECLARATION])
{
	char		text[MAX_DECLARATION];
	char	   *found;
	size_t		begin = glance->at;
	size_t		len = 0;

	if (!glance_skip(glance, "<?xml"))
		return NULL;
	glance_skip_past(glance, "?>");
	if (glance->at - begin >= sizeof(text))
		return "XML declaration is too long";
	for (; begin + len < glance->at; len++)
	{
		int			c = glance_at(glance, begin + len);

		text[len] = c > 0 && c < 0x7f ? c : '?';
	}
	text[len] = '\0';
	found = strstr(text, "encoding");
	if (found == NULL)
		return NULL;
	if (strstr(found + 1, "encoding") != NULL ||
		sscanf(found, "encoding%*[ \t\r\n=]%*[\"']%127[^\"']", encoding) != 1)
		return "XML declaration is not well formed";
	return NULL;
}

static bool
glance_doctype(Glance *glance)
{
	for (;;)
	{
		while (glance->at < glance->count &&
			   is_space(glance_at(glance, glance->at)))
			glance->at++;
		if (glance_skip(glance, "<?"))
			glance_skip_past(glance, "?>");
		else if (glance_skip(glance, "<!--"))
			glance_skip_past(glance, "-->");
		else
			return glance_skip(glance, "<!DOCTYPE");
	}
}

/* Can the characters be converted?  UTF-8 is not, libxml2 checks it. */
static const char *
glance_characters(const Glance *glance, const char *encoding)
{
	int			last = -1;
	int			before = 0;

	if (*encoding == '\0')
		encoding = glance->width == 1 ? "UTF-8" : "UTF-16";
	for (int i = 0; i < COUNT(encodings); i++)
		if (encodings[i].width == glance->width &&
			xmlStrcasecmp(BAD_CAST encoding, BAD_CAST encodings[i].name) == 0)
			last = encodings[i].last;
	if (last < 0)
		return "document is in an unsupported encoding";
	if (glance->width == 1 && last == 0xff)
		return memchr(glance->data, 0, glance->count) ? HAS_NUL : NULL;
	for (size_t i = 0; i <= glance->count; i++)
	{
		int			c = glance_at(glance, i);

		if (c == 0)
			return HAS_NUL;
		if (c > last || (glance->width == 2 &&
						 (before >> 10 == 0xd800 >> 10) != (c >> 10 == 0xdc00 >> 10)))
			return "characters do not fit the encoding";
		before = c;
	}
	return NULL;
}

/* ---------- characters ---------- */

static bool
is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool
bw_xml_is_text(const char *text)
{
	static const int smallest[] = {0, 0, 0x80, 0x800, 0x10000};

	while (*text != '\0')
	{
		int			len;
		int			c;

		/* most text is ASCII, of which the control characters are looked at */
		if (*text >= ' ' && *text <= '~')
		{
			text++;
			continue;
		}
		len = (int) strnlen(text, 4);
		c = xmlGetUTF8Char(BAD_CAST text, &len);
		if (c < smallest[len > 0 ? len : 0] || !xmlIsCharQ(c))
			return false;
		text += len;
	}
	return true;
}

/* ---------- writing ---------- */

void
bw_writer_begin(BwWriter *writer, const char *root)
{
	writer->buffer = xmlBufferCreate();
	writer->writer = writer->buffer != NULL ?
		xmlNewTextWriterMemory(writer->buffer, 0) : NULL;
	writer->failed = writer->writer == NULL ||
		xmlTextWriterStartDocument(writer->writer, NULL, "UTF-8", NULL) < 0;
	bw_writer_open(writer, root);
}

char *
bw_writer_end(BwWriter *writer)
{
	char	   *result = NULL;

	if (!writer->failed && xmlTextWriterEndDocument(writer->writer) >= 0 &&
		xmlTextWriterFlush(writer->writer) >= 0)
		result = strdup((const char *) xmlBufferContent(writer->buffer));
	if (writer->writer != NULL)
		xmlFreeTextWriter(writer->writer);
	if (writer->buffer != NULL)
		xmlBufferFree(writer->buffer);
	return result;
}

void
bw_writer_open(BwWriter *writer, const char *name)
{
	if (name == NULL || xmlValidateNCName(BAD_CAST name, 0) != 0)
		writer->failed = true;
	if (!writer->failed &&
		xmlTextWriterStartElement(writer->writer, BAD_CAST name) < 0)
		writer->failed = true;
}

void
bw_writer_close(BwWriter *writer)
{
	if (!writer->failed && xmlTextWriterEndElement(writer->writer) < 0)
		writer->failed = true;
}

void
bw_writer_text(BwWriter *writer, const char *name, const char *text)
{
	if (writer->failed || text == NULL)
		return;
	if (!bw_xml_is_text(text) ||
		xmlTextWriterWriteElement(writer->writer, BAD_CAST name,
								  BAD_CAST text) < 0)
		writer->failed = true;
}

void
bw_writer_flag(BwWriter *writer, const char *name, bool flag)
{
	bw_writer_text(writer, name, flag ? "true" : "false");
}

void
bw_writer_number(BwWriter *writer, const char *name, int64_t number)
{
	char		text[24];

	snprintf(text, sizeof(text), "%lld", (long long) number);
	bw_writer_text(writer, name, text);
}

void
bw_writer_list(BwWriter *writer, const char *wrapper, const char *name,
			   const char *const *items, int count)
{
	bw_writer_open(writer, wrapper);
	for (int i = 0; i < count; i++)
		bw_writer_text(writer, name, items[i]);
	bw_writer_close(writer);
}
