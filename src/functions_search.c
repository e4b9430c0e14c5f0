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

#include "compat.h"
#include "encoding.h"
#include "functions.h"
#include "pages.h"

PG_FUNCTION_INFO_V1(bw_e164);
PG_FUNCTION_INFO_V1(bw_ten_digits);
PG_FUNCTION_INFO_V1(bw_search);

/* Columns of bw_search(). */
#define SEARCH_COLUMNS 8

static void read_search_arguments(FunctionCallInfo fcinfo, BwSearch *search);
static void put_row(const BwRow *row, void *arg);

Datum
bw_e164(PG_FUNCTION_ARGS)
{
	BwNumber	number;

	bw_arg_number(fcinfo, 0, &number);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("+1%s", number.digits)));
}

Datum
bw_ten_digits(PG_FUNCTION_ARGS)
{
	BwNumber	number;

	bw_arg_number(fcinfo, 0, &number);
	PG_RETURN_TEXT_P(cstring_to_text(number.digits));
}

/* GET /accounts/{id}/availableNumbers. */
Datum
bw_search(PG_FUNCTION_ARGS)
{
	BwSearch	search;
	BwProblem	problem;
	BwAccount  *account;
	BwPages		pages = {.kind = BW_LIST_AVAILABLE_NUMBERS,
		.what = "could not search for telephone numbers",
	.subject = "the reply to the search"};

	bw_init_materialized_srf(fcinfo);
	read_search_arguments(fcinfo, &search);
	if (!bw_search_check(&search, &problem))
		bw_problem_raise(&problem);
	pages.account = account = bw_account(bw_arg_text(fcinfo, 17), GetUserId());
	pages.call.class = BW_CLASS_SEARCH;
	pages.call.method = "GET";
	pages.call.path = bw_api_path(account, "availableNumbers", NULL);
	bw_criteria_to_utf8(&search);
	pages.call.query = bw_api_search_query(&search);
	bw_pages_read(&pages, put_row, fcinfo->resultinfo);
	return (Datum) 0;
}

static void
read_search_arguments(FunctionCallInfo fcinfo, BwSearch *search)
{
	memset(search, 0, sizeof(BwSearch));
	search->npanxx = bw_arg_text(fcinfo, 0);
	search->quantity = PG_ARGISNULL(1) ? 20 : PG_GETARG_INT32(1);
	bw_arg_criteria(fcinfo, search);
	search->detail = bw_arg_flag(fcinfo, 16) != 0;
}

static void
put_row(const BwRow *row, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		v[SEARCH_COLUMNS];
	bool		n[SEARCH_COLUMNS];

	v[0] = bw_digits_or_null(row->field[BW_FIELD_NUMBER], &n[0]);
	v[1] = bw_text_or_null(row->field[BW_FIELD_CITY], &n[1]);
	v[2] = bw_text_or_null(row->field[BW_FIELD_STATE], &n[2]);
	v[3] = bw_text_or_null(row->field[BW_FIELD_RATE_CENTER], &n[3]);
	v[4] = bw_text_or_null(row->field[BW_FIELD_LATA], &n[4]);
	v[5] = bw_int_or_null(row->field[BW_FIELD_TIER], &n[5]);
	v[6] = bw_int_or_null(row->field[BW_FIELD_VENDOR_ID], &n[6]);
	v[7] = bw_text_or_null(row->field[BW_FIELD_VENDOR_NAME], &n[7]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}
