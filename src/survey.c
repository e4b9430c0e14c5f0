/*-------------------------------------------------------------------------
 *
 * survey.c
 *	  What Bandwidth's list of subscriptions says about one of ours.
 *
 * Ours is what was recorded under its id and still is on its own URL; and what
 * is on our target with a user name that we have sent, or that can only be of
 * this database: a reply of Bandwidth's was lost then, or a backup restored.
 * All else on our target belongs to somebody else: to another database with
 * the same callback_url, to a copy of this one, or to a person.
 *
 * Passwords are not in the list.  So "altered" shows by URL, order type, user
 * name and the time that is left.
 *
 * src/survey.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "compat.h"
#include "encoding.h"
#include "survey.h"
#include "xml_read.h"

/* Bandwidth's text on the last callback may hold the body of the answer. */
#define STATUS_MAX 200

/* One line of the list, compared with our row. */
typedef struct Entry
{
	const char *id;
	const char *username;
	bool		recorded;		/* it has the id that we recorded */
	bool		on_url;			/* the same URL or address */
	bool		on_target;		/* and the same kind of news */
	int			key;			/* which of our pairs it has; -1: none */
	bool		marked;			/* its user name is of this database */
	bool		others;			/* it is another one of this database */
} Entry;

static BwNext read_lines(BwList *list, const BwSurveyed *ours, BwSurvey *survey);
static void judge(const BwRow *line, const BwSurveyed *ours, Entry *entry);
static void take(const Entry *entry, const BwRow *line, const BwSubscriptionRow *row,
				 BwSurvey *survey);
static bool is_ours(const Entry *entry, const BwSubscriptionRow *row);
static char *clean_status(const char *status);

bool
bw_survey_read(const BwOutcome *outcome, const BwSurveyed *ours, BwSurvey *survey,
			   const char **problem)
{
	BwList	   *list;
	volatile BwNext next = BW_NEXT_ERROR;

	memset(survey, 0, sizeof(BwSurvey));
	survey->left_s = -1;
	if (outcome->kind != BW_OUTCOME_DONE || outcome->reply->body_len == 0)
		return true;
	list = bw_xml_list_open(BW_LIST_SUBSCRIPTIONS, outcome->reply->body,
							outcome->reply->body_len);
	*problem = "out of memory";
	if (list == NULL)
		return false;
	PG_TRY();
	{
		next = read_lines(list, ours, survey);
		if (next == BW_NEXT_ERROR)
			*problem = pstrdup(bw_xml_list_problem(list));
	}
	PG_FINALLY();
	{
		bw_xml_list_close(list);
	}
	PG_END_TRY();
	return next == BW_NEXT_END;
}

static BwNext
read_lines(BwList *list, const BwSurveyed *ours, BwSurvey *survey)
{
	BwNext		next;
	BwRow		line;

	while ((next = bw_xml_list_next(list, &line)) == BW_NEXT_ROW)
	{
		Entry		entry;

		judge(&line, ours, &entry);
		if (entry.id != NULL)
			take(&entry, &line, ours->row, survey);
	}
	return next;
}

/* Is an element of the list what we want it to be?  NULL is nothing. */
static bool
same(const char *theirs, const char *ours)
{
	if (theirs == NULL || ours == NULL)
		return theirs == ours;
	return strcmp(bw_from_utf8(theirs), ours) == 0;
}

static void
judge(const BwRow *line, const BwSurveyed *ours, Entry *entry)
{
	const BwSubscriptionRow *row = ours->row;

	entry->id = line->field[BW_FIELD_ID];
	entry->username = line->field[BW_FIELD_USERNAME];
	entry->recorded = entry->id != NULL && row->bandwidth_subscription_id != NULL &&
		same(entry->id, row->bandwidth_subscription_id);
	entry->on_url = same(line->field[BW_FIELD_URL], row->url) &&
		same(line->field[BW_FIELD_EMAIL], row->email);
	entry->on_target = entry->on_url &&
		same(line->field[BW_FIELD_ORDER_TYPE], row->order_type) &&
		same(line->field[BW_FIELD_EVENT_TYPE], row->event_type) &&
		same(line->field[BW_FIELD_ORDER_ID], row->bandwidth_order_id);
	entry->marked = entry->username != NULL &&
		strncmp(entry->username, row->mark, strlen(row->mark)) == 0;
	entry->key = -1;
	for (int i = ours->key_count - 1; i >= 0; i--)
		if (same(entry->username, ours->keys[i].username))
			entry->key = i;
	entry->others = false;
	for (int i = 0; i < ours->other_count; i++)
		if (entry->id != NULL && same(entry->id, ours->other_ids[i]))
			entry->others = true;
}

static void
take(const Entry *entry, const BwRow *line, const BwSubscriptionRow *row,
	 BwSurvey *survey)
{
	const char *left = line->field[BW_FIELD_EXPIRY];

	if (entry->recorded && !entry->on_url)
	{
		survey->moved = true;
		return;
	}
	if (!entry->recorded && !entry->on_target)
		return;
	if (!entry->recorded && !is_ours(entry, row))
	{
		survey->stranger = pstrdup(entry->id);
		return;
	}
	if (survey->id != NULL && !entry->recorded)
	{
		survey->surplus = lappend(survey->surplus, pstrdup(entry->id));
		return;
	}
	if (survey->id != NULL)
		survey->surplus = lappend(survey->surplus, survey->id);
	survey->id = pstrdup(entry->id);
	survey->status = clean_status(line->field[BW_FIELD_STATUS]);
	survey->left_s = left ? strtoll(left, NULL, 10) : -1;
	survey->altered = entry->recorded &&
		(!entry->on_target || (row->url != NULL && entry->key < 0));
	survey->stale = row->url != NULL && entry->key != 0;
}

/*
 * One that we have not recorded.  Email comes without a user name: there, a
 * try of ours before this one is all there is to go by.
 */
static bool
is_ours(const Entry *entry, const BwSubscriptionRow *row)
{
	if (entry->others)
		return false;
	if (row->email != NULL)
		return row->tries > 1;
	return entry->key >= 0 || entry->marked;
}

/* On one line, and short. */
static char *
clean_status(const char *status)
{
	char	   *text;

	if (status == NULL)
		return NULL;
	text = pstrdup(bw_from_utf8(status));
	text[pg_mbcliplen(text, strlen(text), STATUS_MAX)] = '\0';
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			*p = ' ';
	return text;
}
