/*
 * journal.c
 *	  What was asked, so that a test can say "one order, one POST".
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct Entry
{
	long		seq;
	int64_t		at_us;
	char		method[8];
	char	   *path;
	char	   *query;
	Class		class;
	int			status;
	char		auth[24];
	char	   *body;
	char		fault[24];
} Entry;

static Entry *entries;
static size_t entry_count;
static size_t entry_room;
static long next_seq = 1;

void
journal_add(const Request *request, int64_t at_us, int status, const char *fault)
{
	Entry	   *entry;

	if (entry_count == entry_room)
	{
		entry_room = entry_room ? entry_room * 2 : 1024;
		entries = realloc(entries, entry_room * sizeof(Entry));
	}
	entry = &entries[entry_count++];
	memset(entry, 0, sizeof(*entry));
	entry->seq = next_seq++;
	entry->at_us = at_us;
	snprintf(entry->method, sizeof(entry->method), "%s", request->method);
	entry->path = strdup(request->path);
	entry->query = strdup(request->query);
	entry->class = request->class;
	entry->status = status;
	snprintf(entry->auth, sizeof(entry->auth), "%s",
			 request->authorization == NULL ? "none"
			 : strncasecmp(request->authorization, "Bearer ", 7) == 0 ? "bearer" : "basic");
	/* Secrets of a token request stay out of it. */
	if (options.journal_bodies && request->class != CLASS_TOKEN)
		entry->body = strndup(request->body, request->body_len);
	snprintf(entry->fault, sizeof(entry->fault), "%s", fault ? fault : "");
}

static bool
matches(const Entry *entry, const Request *filter)
{
	char	   *method = parameter(filter, "method");
	char	   *class = parameter(filter, "class");
	char	   *path = parameter(filter, "path");
	char	   *query = parameter(filter, "query");
	long		status = parameter_int(filter, "status", -1);
	bool		good = (!method || strcmp(method, entry->method) == 0) &&
	(!class || strcmp(class, class_names[entry->class]) == 0) &&
	(!path || strstr(entry->path, path) != NULL) &&
	(!query || strstr(entry->query, query) != NULL) &&
	(status < 0 || status == entry->status) &&
	entry->seq > parameter_int(filter, "since", 0);

	free(method);
	free(class);
	free(path);
	free(query);
	return good;
}

long
journal_count(const Request *filter)
{
	long		count = 0;

	for (size_t i = 0; i < entry_count; i++)
		count += matches(&entries[i], filter) ? 1 : 0;
	return count;
}

void
journal_json(const Request *filter, Text *out)
{
	bool		first = true;

	text_add(out, "[");
	for (size_t i = 0; i < entry_count; i++)
	{
		const Entry *e = &entries[i];

		if (!matches(e, filter))
			continue;
		text_add(out, "%s{\"seq\":%ld,\"at_us\":%lld,\"method\":\"%s\",\"path\":",
				 first ? "" : ",\n", e->seq, (long long) e->at_us, e->method);
		text_json(out, e->path);
		text_add(out, ",\"query\":");
		text_json(out, e->query);
		text_add(out, ",\"class\":\"%s\",\"status\":%d,\"auth\":\"%s\",\"fault\":",
				 class_names[e->class], e->status, e->auth);
		text_json(out, e->fault[0] ? e->fault : NULL);
		text_add(out, ",\"body\":");
		text_json(out, e->body ? e->body : "");
		text_add(out, "}");
		first = false;
	}
	text_add(out, "]");
}

void
journal_clear(void)
{
	for (size_t i = 0; i < entry_count; i++)
	{
		free(entries[i].path);
		free(entries[i].query);
		free(entries[i].body);
	}
	free(entries);
	entries = NULL;
	entry_count = entry_room = 0;
}
