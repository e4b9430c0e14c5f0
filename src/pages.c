/*-------------------------------------------------------------------------
 *
 * pages.c
 *	  Reads a list of Bandwidth's to its end, page by page.
 *
 * What must not happen is that a part of a list passes for the whole: every
 * page has to end well, the rows are counted against TotalCount, and a chain
 * of pages that comes back to where it was is an error, not a loop.
 *
 * A page is asked for by the query of the page before it ("Links/next"): its
 * host and path are not those that were called, and it may lack the filters.  Lists without pages are
 * lists of one.
 *
 * src/pages.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "encoding.h"
#include "pages.h"

typedef struct Walk
{
	const BwPages *pages;
	BwTakeRow	take;
	void	   *arg;
	char	   *query;			/* of the next page; NULL: there is none */
	int64		rows;
	int64		total;			/* smallest that any page named; -1: none did */
	char	   *anchor;			/* a query that must not come again */
	int			steps;			/* since it was set */
	int			reach;			/* steps until it is set anew */
} Walk;

typedef struct OwnedList
{
	MemoryContextCallback guard;
	BwList	   *list;
} OwnedList;

static void read_page(Walk *walk, MemoryContext owner);
static bool answer_is_empty(const BwPages *pages, const BwOutcome *outcome);
static BwList *open_list(const BwPages *pages, const BwHttpReply *reply);
static void end_page(Walk *walk, const BwList *list, MemoryContext owner);
static bool is_counted(BwListKind kind);
static char *with_filters(const char *next, const char *first);
static bool has_parameter(const char *query, const char *name, size_t len);
static void check_for_cycle(Walk *walk);
pg_noreturn static void unreadable(const BwPages *pages, const char *why);

void
bw_pages_read(const BwPages *pages, BwTakeRow take, void *arg)
{
	MemoryContext owner = CurrentMemoryContext;
	MemoryContext cxt = AllocSetContextCreate(owner, "bandwidth page",
											  ALLOCSET_DEFAULT_SIZES);
	Walk		walk = {.pages = pages,.take = take,.arg = arg,.total = -1,.reach = 1};

	walk.query = pages->call.query ? pstrdup(pages->call.query) : NULL;
	do
	{
		MemoryContextSwitchTo(cxt);
		read_page(&walk, owner);
		MemoryContextSwitchTo(owner);
		/* Ends the call, closes the list, forgets what the rows took. */
		MemoryContextReset(cxt);
	} while (walk.query != NULL);
	MemoryContextDelete(cxt);
	if (walk.rows < walk.total)
		unreadable(pages, psprintf("It ended after " INT64_FORMAT " of " INT64_FORMAT " entries",
								   walk.rows, walk.total));
}

/* In the page's memory context; what is to stay goes to "owner". */
static void
read_page(Walk *walk, MemoryContext owner)
{
	const BwPages *pages = walk->pages;
	BwCallSpec	spec = pages->call;
	const BwOutcome *outcome;
	BwList	   *list;
	BwRow		row;
	BwNext		next;

	spec.query = walk->query;
	outcome = bw_call_outcome(bw_api_perform(pages->account, &spec));
	if (answer_is_empty(pages, outcome))
	{
		walk->query = NULL;
		return;
	}
	if (outcome->kind != BW_OUTCOME_DONE)
		bw_outcome_raise(outcome, pages->account, pages->what);
	list = open_list(pages, outcome->reply);
	while ((next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
	{
		CHECK_FOR_INTERRUPTS();
		walk->take(&row, walk->arg);
		walk->rows++;
	}
	if (next == BW_NEXT_ERROR)
		unreadable(pages, bw_xml_list_problem(list));
	end_page(walk, list, owner);
}

/*
 * "Get orders" documents 204 and 404, "Get disconnects" a 404 with nothing but
 * Links in it.  An empty 404 may be a wrong address, so it is none of these.
 */
static bool
answer_is_empty(const BwPages *pages, const BwOutcome *outcome)
{
	static const char *const roots[] = {"Links", "ResponseSelectWrapper", "TNs"};
	BwXmlProblem problem;
	BwOrderReply *reply;
	bool		empty = false;

	if (outcome->status == 204)
		return true;
	if (pages->is_empty != NULL)
		return pages->is_empty(outcome);
	if (outcome->kind != BW_OUTCOME_NOT_FOUND || outcome->reply->body_len == 0)
		return false;
	reply = bw_xml_decode_order(outcome->reply->body, outcome->reply->body_len, &problem);
	for (int i = 0; reply != NULL && reply->root != NULL && i < lengthof(roots); i++)
		empty = empty || pg_strcasecmp(reply->root, roots[i]) == 0;
	bw_xml_free_order(reply);
	return empty;
}

static void
close_list(void *arg)
{
	bw_xml_list_close(((OwnedList *) arg)->list);
}

/* It is closed with the current memory context. */
static BwList *
open_list(const BwPages *pages, const BwHttpReply *reply)
{
	OwnedList  *owned = palloc0(sizeof(OwnedList));

	/* The list of nothing is a document too. */
	if (reply->body_len == 0)
		unreadable(pages, "The reply is empty");
	owned->guard.func = close_list;
	owned->guard.arg = owned;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owned->guard);
	owned->list = bw_xml_list_open(pages->kind, reply->body, reply->body_len);
	if (owned->list == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return owned->list;
}

/* TotalCount is to be relied on; the ResultCount of searches is not. */
static bool
is_counted(BwListKind kind)
{
	return kind == BW_LIST_ORDERS || kind == BW_LIST_NUMBERS;
}

/* What stood around the rows: errors, how many there are, the next page. */
static void
end_page(Walk *walk, const BwList *list, MemoryContext owner)
{
	const BwReplyErrors *errors = bw_xml_list_errors(list);
	const char *next = bw_xml_list_next_query(list);
	int64		total = bw_xml_list_total(list);

	if (errors->count > 0)
		ereport(ERROR,
				(errcode(ERRCODE_BW_REFUSED),
				 errmsg("%s: %s",
						errors->items[0].code ? errors->items[0].code : "error",
						errors->items[0].text ? bw_from_utf8(errors->items[0].text)
						: "the call was refused"),
				 errdetail("%s", bw_sentence(walk->pages->what))));

	/* Rows may go while the pages are read, so the smallest number counts. */
	if (is_counted(walk->pages->kind) && total >= 0 &&
		(walk->total < 0 || total < walk->total))
		walk->total = total;
	walk->query = next
		? MemoryContextStrdup(owner, with_filters(next, walk->pages->call.query)) : NULL;
	if (next != NULL)
		check_for_cycle(walk);
}

/*
 * The query of a next page need not repeat the filters: add what it lacks of
 * the first one.
 */
static char *
with_filters(const char *next, const char *first)
{
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfoString(&query, next);
	for (const char *p = first; p != NULL && *p != '\0';)
	{
		int			len = strcspn(p, "&");

		if (!has_parameter(next, p, strcspn(p, "=&")))
			appendStringInfo(&query, "&%.*s", len, p);
		p += len;
		p += *p == '&';
	}
	return query.data;
}

static bool
has_parameter(const char *query, const char *name, size_t len)
{
	for (const char *p = query; *p != '\0';)
	{
		if (pg_strncasecmp(p, name, len) == 0 && (p[len] == '=' || p[len] == '&' || p[len] == '\0'))
			return true;
		p += strcspn(p, "&");
		p += *p == '&';
	}
	return false;
}

/*
 * After Brent: one query is remembered, the next one after 1, 2, 4, ... pages.
 * It comes again if the pages go round in a circle, however long that is.
 */
static void
check_for_cycle(Walk *walk)
{
	if (walk->anchor != NULL && strcmp(walk->query, walk->anchor) == 0)
		unreadable(walk->pages, "Its pages lead back to one that was read before");
	if (walk->anchor == NULL || ++walk->steps == walk->reach)
	{
		walk->anchor = walk->query;
		walk->steps = 0;
		walk->reach *= 2;
	}
}

static void
unreadable(const BwPages *pages, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_BW_BAD_REPLY),
			 errmsg("could not read %s", pages->subject),
			 errdetail("%s.", why)));
}
