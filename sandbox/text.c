/*
 * text.c
 *	  Growing strings, XML and JSON output, and reading of XML bodies.
 */
#include "sandbox.h"

#include <libxml/parser.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void
make_room(Text *text, size_t more)
{
	if (text->len + more + 1 <= text->room)
		return;
	text->room = (text->len + more + 1) * 2;
	text->data = realloc(text->data, text->room);
	if (text->data == NULL)
		abort();
}

void
text_add_bytes(Text *text, const char *bytes, size_t len)
{
	make_room(text, len);
	memcpy(text->data + text->len, bytes, len);
	text->len += len;
	text->data[text->len] = '\0';
}

void
text_add(Text *text, const char *format,...)
{
	va_list		args;
	int			len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	make_room(text, (size_t) len);
	va_start(args, format);
	vsnprintf(text->data + text->len, (size_t) len + 1, format, args);
	va_end(args);
	text->len += (size_t) len;
}

void
text_element(Text *text, const char *name, const char *value)
{
	if (value == NULL)
		return;
	text_add(text, "<%s>", name);
	for (; *value != '\0'; value++)
	{
		if (*value == '&')
			text_add(text, "&amp;");
		else if (*value == '<')
			text_add(text, "&lt;");
		else if (*value == '>')
			text_add(text, "&gt;");
		else
			text_add_bytes(text, value, 1);
	}
	text_add(text, "</%s>", name);
}

void
text_element_int(Text *text, const char *name, long value)
{
	text_add(text, "<%s>%ld</%s>", name, value, name);
}

void
text_element_bool(Text *text, const char *name, bool value)
{
	text_element(text, name, value ? "true" : "false");
}

void
text_json(Text *text, const char *value)
{
	if (value == NULL)
	{
		text_add(text, "null");
		return;
	}
	text_add(text, "\"");
	for (; *value != '\0'; value++)
	{
		if (*value == '"' || *value == '\\')
			text_add(text, "\\%c", *value);
		else if ((unsigned char) *value < 0x20)
			text_add(text, "\\u%04x", *value);
		else
			text_add_bytes(text, value, 1);
	}
	text_add(text, "\"");
}

void
text_free(Text *text)
{
	free(text->data);
	memset(text, 0, sizeof(*text));
}

char *
copy_string(const char *text)
{
	return text ? strdup(text) : NULL;
}

xmlDoc *
xml_read(const char *data, size_t len)
{
	return xmlReadMemory(data, (int) len, NULL, NULL,
						 XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
}

xmlNode *
xml_child(xmlNode *node, const char *name)
{
	for (xmlNode *child = node ? node->children : NULL; child != NULL; child = child->next)
		if (child->type == XML_ELEMENT_NODE && strcmp((const char *) child->name, name) == 0)
			return child;
	return NULL;
}

char *
xml_child_text(xmlNode *node, const char *name)
{
	xmlNode    *child = xml_child(node, name);
	xmlChar    *content;
	char	   *copy;

	if (child == NULL)
		return NULL;
	content = xmlNodeGetContent(child);
	copy = strdup((const char *) content);
	xmlFree(content);
	return copy;
}

bool
xml_child_bool(xmlNode *node, const char *name, bool otherwise)
{
	char	   *text = xml_child_text(node, name);
	bool		value = text ? strcmp(text, "true") == 0 : otherwise;

	free(text);
	return value;
}

long
xml_child_int(xmlNode *node, const char *name, long otherwise)
{
	char	   *text = xml_child_text(node, name);
	long		value = text ? strtol(text, NULL, 10) : otherwise;

	free(text);
	return value;
}

static bool
is_order_type(const xmlNode *node)
{
	static const char suffix[] = "OrderType";
	size_t		len = strlen((const char *) node->name);

	return node->type == XML_ELEMENT_NODE && len > sizeof(suffix) &&
		strcmp((const char *) node->name + len + 1 - sizeof(suffix), suffix) == 0;
}

/* Is this element meant?  "name" has "len" characters; 0: see xml_edit. */
static bool
is_meant(const xmlNode *node, const char *name, size_t len)
{
	const char *own = (const char *) node->name;

	if (node->type != XML_ELEMENT_NODE)
		return false;
	if (len == 0)
		return is_order_type(node->parent) && strcmp(own, "Quantity") != 0;
	return strlen(own) == len && strncmp(own, name, len) == 0;
}

static void
edit_below(xmlNode *parent, const char *what)
{
	size_t		len = strcspn(what, "=");
	xmlNode    *next;

	for (xmlNode *node = parent->children; node != NULL; node = next)
	{
		next = node->next;
		if (!is_meant(node, what, len))
			edit_below(node, what);
		else if (what[len] == '=')
		{
			xmlNodeSetContent(node, NULL);
			xmlNodeAddContent(node, (const xmlChar *) what + len + 1);
		}
		else
		{
			xmlUnlinkNode(node);
			xmlFreeNode(node);
		}
	}
}

char *
xml_edit(const char *data, size_t len, const char *what)
{
	xmlDoc	   *doc = xml_read(data, len);
	xmlNode    *root = doc ? xmlDocGetRootElement(doc) : NULL;
	xmlChar    *dump = NULL;
	char	   *copy;
	int			size;

	if (root != NULL)
	{
		edit_below(root, what);
		xmlDocDumpMemory(doc, &dump, &size);
	}
	copy = copy_string((const char *) dump);
	xmlFree(dump);
	xmlFreeDoc(doc);
	return copy;
}
