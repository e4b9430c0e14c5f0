/*-------------------------------------------------------------------------
 *
 * xml.h
 *	  XML documents as elements, one after the other, in and out.
 *
 * Plain C, for xml_read.c and xml_write.c.  What the elements mean is theirs.
 *
 * src/xml.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_XML_H
#define BW_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deepest nesting that is read; Bandwidth's own documents have 8 levels. */
#define BW_XML_MAX_DEPTH 32
/* Longest text of one element; names and descriptions stay far below. */
#define BW_XML_MAX_TEXT 16384

/* Why a document could not be decoded. */
typedef struct BwXmlProblem
{
	char		text[256];		/* one line, no secrets, no period */
} BwXmlProblem;

/* Level 1 is the document element. */
#define BW_XML_LEVELS (BW_XML_MAX_DEPTH + 1)

#define BW_XML_OUT_OF_MEMORY "out of memory"

/* Those before BW_XML_STEP_END go on. */
typedef enum BwXmlStep
{
	BW_XML_STEP_NONE,
	BW_XML_STEP_OPEN,			/* an element begins */
	BW_XML_STEP_CLOSE,			/* an element ends */
	BW_XML_STEP_END,			/* the document ended well */
	BW_XML_STEP_ERROR			/* it did not; "problem" says why */
} BwXmlStep;

/*
 * A document that is read.
 *
 * After BW_XML_STEP_CLOSE, "value" is the trimmed text of the element that ends,
 * or NULL if it has none or has elements inside.
 */
typedef struct BwStream
{
	void	   *reader;			/* the library's */
	const char *name[BW_XML_LEVELS];	/* local names; they live as long as
										 * reader */
	int			depth;
	bool		closing;		/* the innermost element was reported closed */
	bool		empty;			/* it is "<a/>", its end is yet to be reported */
	bool		leaf;			/* it has no element inside so far */
	bool		failed;
	BwXmlProblem problem;
	const char *value;
	size_t		text_len;
	char		text[BW_XML_MAX_TEXT + 1];
} BwStream;

/*
 * Begin to read.  False: "problem" says why.  bw_stream_close() follows in any
 * case.
 */
extern bool bw_stream_open(BwStream *stream, const char *data, size_t len);
extern void bw_stream_close(BwStream *stream);

/* Go on to the next start or end of an element. */
extern BwXmlStep bw_stream_next(BwStream *stream);

/* End the reading.  The first problem is the cause, so it stays. */
extern BwXmlStep bw_stream_fail(BwStream *stream, const char *text);

/* Keep it one line of plain text: it may quote the document. */
extern void bw_stream_problem(BwXmlProblem *problem, const char *text);

/* Are so many bytes the same but for the case of ASCII letters? */
extern bool bw_stream_same(const char *a, const char *b, size_t len);

/* Is it UTF-8, of characters that XML has? */
extern bool bw_xml_is_text(const char *text);

/*
 * A document that is written.  After a failure the others do nothing, and
 * bw_writer_end() tells.
 */
typedef struct BwWriter
{
	void	   *buffer;			/* the library's, as is the next one */
	void	   *writer;
	bool		failed;
} BwWriter;

extern void bw_writer_begin(BwWriter *writer, const char *root);

/* The document, malloc'd; NULL after a failure. */
extern char *bw_writer_end(BwWriter *writer);

/* An element around others; NULL, or what is no name, is a failure. */
extern void bw_writer_open(BwWriter *writer, const char *name);
extern void bw_writer_close(BwWriter *writer);

/* An element with a text; NULL is left out. */
extern void bw_writer_text(BwWriter *writer, const char *name, const char *text);
extern void bw_writer_flag(BwWriter *writer, const char *name, bool flag);
extern void bw_writer_number(BwWriter *writer, const char *name, int64_t number);

/* "wrapper" around an element for each item. */
extern void bw_writer_list(BwWriter *writer, const char *wrapper, const char *name,
						   const char *const *items, int count);

#endif							/* BW_XML_H */
