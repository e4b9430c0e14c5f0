/*-------------------------------------------------------------------------
 *
 * criteria.c
 *	  The criteria of an order as bw_orders.criteria holds them.
 *
 * They are kept in the words of bw_order_search()'s arguments, so that a user
 * can read and query them, and so that orders that want the same compare equal
 * and can be searched for together.
 *
 * src/criteria.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "criteria.h"
#include "encoding.h"

typedef struct Text
{
	const char *name;
	size_t		offset;
} Text;

static const Text texts[] = {
	{"area_code", offsetof(BwSearch, area_code)},
	{"npanxx", offsetof(BwSearch, npanxx)},
	{"npanxxx", offsetof(BwSearch, npanxxx)},
	{"rate_center", offsetof(BwSearch, rate_center)},
	{"city", offsetof(BwSearch, city)},
	{"state", offsetof(BwSearch, state)},
	{"zip", offsetof(BwSearch, zip)},
	{"lata", offsetof(BwSearch, lata)},
	{"local_vanity", offsetof(BwSearch, local_vanity)},
	{"toll_free_vanity", offsetof(BwSearch, toll_free_vanity)},
	{"toll_free_wildcard_pattern", offsetof(BwSearch, toll_free_wildcard_pattern)},
	{"order_by", offsetof(BwSearch, order_by)},
	{"protected", offsetof(BwSearch, protected_numbers)},
};

static const char **member(const BwSearch *search, const Text *text);
static void add(StringInfo json, const char *name, const char *value);
static bool get(Jsonb *json, const char *name, JsonbValue *value);
static int	get_flag(Jsonb *json, const char *name);

void
bw_criteria_init(BwCriteria *criteria)
{
	memset(criteria, 0, sizeof(BwCriteria));
	criteria->search.ends_in = -1;
	criteria->search.lca = -1;
	criteria->max_tier = -1;
}

static const char **
member(const BwSearch *search, const Text *text)
{
	return (const char **) ((char *) unconstify(BwSearch *, search) + text->offset);
}

char *
bw_criteria_to_json(const BwCriteria *criteria)
{
	const BwSearch *search = &criteria->search;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		const char *value = *member(search, &texts[i]);
		StringInfoData quoted;

		if (value == NULL)
			continue;
		initStringInfo(&quoted);
		escape_json(&quoted, value);
		add(&json, texts[i].name, quoted.data);
	}
	if (search->local_vanity != NULL && search->ends_in >= 0)
		add(&json, "ends_in", search->ends_in ? "true" : "false");
	if (search->lca >= 0 && bw_criteria_has_lca(search))
		add(&json, "lca", search->lca ? "true" : "false");
	if (criteria->max_tier >= 0)
		add(&json, "max_tier", psprintf("%d", criteria->max_tier));
	appendStringInfoChar(&json, '}');
	return json.data;
}

static void
add(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\": %s", json->len > 1 ? ", " : "", name, value);
}

void
bw_criteria_from_json(const char *text, BwCriteria *criteria)
{
	Jsonb	   *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	JsonbValue	value;

	bw_criteria_init(criteria);
	for (int i = 0; i < (int) lengthof(texts); i++)
		if (get(json, texts[i].name, &value) && value.type == jbvString)
			*member(&criteria->search, &texts[i]) =
				pnstrdup(value.val.string.val, value.val.string.len);
	criteria->search.ends_in = get_flag(json, "ends_in");
	criteria->search.lca = get_flag(json, "lca");
	if (get(json, "max_tier", &value) && value.type == jbvNumeric)
		criteria->max_tier =
			DatumGetInt32(DirectFunctionCall1(numeric_int4,
											  NumericGetDatum(value.val.numeric)));
}

void
bw_criteria_to_utf8(BwSearch *search)
{
	for (int i = 0; i < (int) lengthof(texts); i++)
		*member(search, &texts[i]) = bw_to_utf8(*member(search, &texts[i]));
}

static bool
get(Jsonb *json, const char *name, JsonbValue *value)
{
	return JB_ROOT_IS_OBJECT(json) &&
		getKeyJsonValueFromContainer(&json->root, name, strlen(name), value) != NULL;
}

/* -1: not given */
static int
get_flag(Jsonb *json, const char *name)
{
	JsonbValue	value;

	return get(json, name, &value) && value.type == jbvBool ? value.val.boolean : -1;
}

/*
 * "Order types" of "Ordering numbers".  One for each criterion that stands
 * alone, and one for all combinations.  A LATA goes with those as well: its own
 * type is spelled in two ways in Bandwidth's documents, and a reply that the
 * Python library recorded had lost it.
 */
const char *
bw_criteria_order_type(const BwSearch *search)
{
	int			given = 0;

	for (int i = 0; i < (int) lengthof(texts); i++)
		given += *member(search, &texts[i]) != NULL;
	if (search->state != NULL && given == 2 && search->rate_center != NULL)
		return "RateCenterSearchAndOrderType";
	if (search->state != NULL && given == 2 && search->city != NULL)
		return "CitySearchAndOrderType";
	if (given > 1)
		return "CombinedSearchAndOrderType";
	if (search->area_code != NULL)
		return "AreaCodeSearchAndOrderType";
	if (search->npanxx != NULL)
		return "NPANXXSearchAndOrderType";
	if (search->state != NULL)
		return "StateSearchAndOrderType";
	if (search->zip != NULL)
		return "ZIPSearchAndOrderType";
	if (search->toll_free_vanity != NULL)
		return "TollFreeVanitySearchAndOrderType";
	if (search->toll_free_wildcard_pattern != NULL)
		return "TollFreeWildCharSearchAndOrderType";
	return "CombinedSearchAndOrderType";
}

bool
bw_criteria_has_lca(const BwSearch *search)
{
	return search->npanxx != NULL || search->npanxxx != NULL ||
		search->rate_center != NULL;
}
