/*-------------------------------------------------------------------------
 *
 * functions_search.c
 *	  bw_search(), bw_e164(), bw_ten_digits().
 *
 * src/functions_search.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "encoding.h"
#include "functions.h"
#include "xml.h"

PG_FUNCTION_INFO_V1(bw_e164);
PG_FUNCTION_INFO_V1(bw_ten_digits);
PG_FUNCTION_INFO_V1(bw_search);

/* Columns of bw_search(). */
#define SEARCH_COLUMNS 8

static void read_search_arguments(FunctionCallInfo fcinfo, BwSearch *search);
static void return_rows(ReturnSetInfo *rsinfo, BwList *list,
						const BwAccount *account);
static void put_row(ReturnSetInfo *rsinfo, const BwRow *row);
static Datum number_or_null(const char *text, bool *isnull);
static void close_list(void *list);

static void
parse_number(const char *text, BwNumber *number)
{
	BwProblem	problem;

	if (!bw_number_parse(text, number, &problem))
		bw_problem_raise(&problem);
}

Datum
bw_e164(PG_FUNCTION_ARGS)
{
	BwNumber	number;

	parse_number(text_to_cstring(PG_GETARG_TEXT_PP(0)), &number);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("+1%s", number.digits)));
}

Datum
bw_ten_digits(PG_FUNCTION_ARGS)
{
	BwNumber	number;

	parse_number(text_to_cstring(PG_GETARG_TEXT_PP(0)), &number);
	PG_RETURN_TEXT_P(cstring_to_text(number.digits));
}

/*
 * GET /accounts/{id}/availableNumbers.
 *
 * Rows are read one by one, but none is returned before the document has
 * ended well: a reply that breaks off must not look like a short result.
 */
Datum
bw_search(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	BwSearch	search;
	BwProblem	problem;
	BwAccount  *account;
	BwCallSpec	spec = {.class = BW_CLASS_SEARCH,.method = "GET"};
	BwCall	   *call;
	const BwOutcome *outcome;

	bw_init_materialized_srf(fcinfo);
	read_search_arguments(fcinfo, &search);
	if (!bw_search_check(&search, &problem))
		bw_problem_raise(&problem);
	account = bw_account(bw_arg_text(fcinfo, 17), GetUserId());
	spec.path = bw_api_path(account, "availableNumbers", NULL);
	bw_criteria_to_utf8(&search);
	spec.query = bw_api_search_query(&search);
	call = bw_api_perform(account, &spec);
	outcome = bw_call_outcome(call);
	if (outcome->kind != BW_OUTCOME_DONE)
		bw_outcome_raise(outcome, account, "could not search for telephone numbers");
	/* The list of no numbers is a document too. */
	if (outcome->reply->body_len == 0 && outcome->status != 204)
		ereport(ERROR,
				(errcode(ERRCODE_BW_BAD_REPLY),
				 errmsg("could not read the reply to the search"),
				 errdetail("The reply is empty.")));
	return_rows(rsinfo,
				bw_xml_list_open(BW_LIST_AVAILABLE_NUMBERS, outcome->reply->body,
								 outcome->reply->body_len),
				account);
	bw_call_release(call);
	return (Datum) 0;
}

static void
read_search_arguments(FunctionCallInfo fcinfo, BwSearch *search)
{
	memset(search, 0, sizeof(BwSearch));
	search->npanxx = bw_arg_text(fcinfo, 0);
	search->quantity = PG_ARGISNULL(1) ? 20 : PG_GETARG_INT32(1);
	search->area_code = bw_arg_text(fcinfo, 2);
	search->npanxxx = bw_arg_text(fcinfo, 3);
	search->rate_center = bw_arg_text(fcinfo, 4);
	search->city = bw_arg_text(fcinfo, 5);
	search->state = bw_arg_text(fcinfo, 6);
	search->zip = bw_arg_text(fcinfo, 7);
	search->lata = bw_arg_text(fcinfo, 8);
	search->local_vanity = bw_arg_text(fcinfo, 9);
	search->ends_in = bw_arg_flag(fcinfo, 10);
	search->toll_free_vanity = bw_arg_text(fcinfo, 11);
	search->toll_free_wildcard_pattern = bw_arg_text(fcinfo, 12);
	search->lca = bw_arg_flag(fcinfo, 13);
	search->order_by = bw_arg_text(fcinfo, 14);
	search->protected_numbers = bw_arg_text(fcinfo, 15);
	search->detail = bw_arg_flag(fcinfo, 16) != 0;
}

static void
close_list(void *list)
{
	bw_xml_list_close(*(BwList **) list);
}

static void
return_rows(ReturnSetInfo *rsinfo, BwList *list, const BwAccount *account)
{
	struct
	{
		MemoryContextCallback guard;
		BwList	   *list;
	}		   *owned = palloc0(sizeof(*owned));
	const BwReplyErrors *errors;
	BwRow		row;
	BwNext		next;

	if (list == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	owned->list = list;
	owned->guard.func = close_list;
	owned->guard.arg = &owned->list;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owned->guard);

	while ((next = bw_xml_list_next(list, &row)) == BW_NEXT_ROW)
	{
		CHECK_FOR_INTERRUPTS();
		put_row(rsinfo, &row);
	}
	if (next == BW_NEXT_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_BW_BAD_REPLY),
				 errmsg("could not read the reply to the search"),
				 errdetail("%s.", bw_xml_list_problem(list))));
	errors = bw_xml_list_errors(list);
	if (errors->count > 0)
		ereport(ERROR,
				(errcode(ERRCODE_BW_REFUSED),
				 errmsg("%s: %s",
						errors->items[0].code ? errors->items[0].code : "error",
						errors->items[0].text ? errors->items[0].text : "search refused")));
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = (text == NULL || text[0] == '\0');
	return *isnull ? (Datum) 0 : CStringGetTextDatum(bw_from_utf8(text));
}

static Datum
number_or_null(const char *text, bool *isnull)
{
	char	   *end;
	long		value = text ? strtol(text, &end, 10) : 0;

	*isnull = (text == NULL || text[0] == '\0' || *end != '\0' ||
			   value < 0 || value > INT_MAX);
	return Int32GetDatum((int32) value);
}

static void
put_row(ReturnSetInfo *rsinfo, const BwRow *row)
{
	const char *tn = row->field[BW_FIELD_NUMBER];
	Datum		values[SEARCH_COLUMNS];
	bool		nulls[SEARCH_COLUMNS];
	BwNumber	number;
	BwProblem	problem;

	if (tn == NULL)
		return;
	/* Numbers outside North America stay as they came. */
	if (bw_number_parse(tn, &number, &problem))
		tn = number.digits;
	values[0] = text_or_null(tn, &nulls[0]);
	values[1] = text_or_null(row->field[BW_FIELD_CITY], &nulls[1]);
	values[2] = text_or_null(row->field[BW_FIELD_STATE], &nulls[2]);
	values[3] = text_or_null(row->field[BW_FIELD_RATE_CENTER], &nulls[3]);
	values[4] = text_or_null(row->field[BW_FIELD_LATA], &nulls[4]);
	values[5] = number_or_null(row->field[BW_FIELD_TIER], &nulls[5]);
	values[6] = number_or_null(row->field[BW_FIELD_VENDOR_ID], &nulls[6]);
	values[7] = text_or_null(row->field[BW_FIELD_VENDOR_NAME], &nulls[7]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}
