/*-------------------------------------------------------------------------
 *
 * functions_numbers.c
 *	  Numbers that an account has, and such as it has reserved.
 *
 * bw_reserve() and bw_unreserve() change something at Bandwidth at once,
 * whatever becomes of the transaction; a reservation lapses by itself.
 *
 * "There is none" is an answer only where Bandwidth gives it, by a code.
 * Sources: "Get in-service numbers", "Get telephone number", "Get telephone
 * number details" and "Reservations" of the numbers API.
 *
 * src/functions_numbers.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "encoding.h"
#include "functions.h"
#include "pages.h"
#include "xml_write.h"

PG_FUNCTION_INFO_V1(bw_numbers);
PG_FUNCTION_INFO_V1(bw_number);
PG_FUNCTION_INFO_V1(bw_reserve);
PG_FUNCTION_INFO_V1(bw_reservation);
PG_FUNCTION_INFO_V1(bw_unreserve);

/* "Get in-service numbers" names no limit; more than 500 were never seen. */
#define NUMBERS_PAGE_SIZE "500"

/* Ten years: four hours are usual, and what lasts longer than this is a mistake. */
#define EXPIRY_MAX_S INT64CONST(315360000)

/* What to ask of Bandwidth, and how it says that there is none. */
typedef struct Question
{
	const BwAccount *account;
	BwCallSpec	call;
	const char *const *none;	/* codes */
	const char *what;			/* "could not look up ..." */
} Question;

typedef struct OwnedReply
{
	MemoryContextCallback guard;
	BwNumberReply *reply;
} OwnedReply;

static const char *const no_number[] = {"15610", "15506", "4017", NULL};
static const char *const no_reservation[] = {"5042", "5043", NULL};

static char *numbers_query(FunctionCallInfo fcinfo);
static void put_number(const BwRow *row, void *arg);
static void put_details(ReturnSetInfo *rsinfo, const BwNumberReply *number,
						const BwNumberReply *details);
static const BwNumberReply *ask(const Question *question);
static bool is_one_of(const char *code, const char *const *codes);
static char *reserve(const BwAccount *account, const BwNumber *number);
static bool may_be_reserved(const BwOutcome *outcome);
static const BwNumberReply *read_reservation(const BwAccount *account, const char *id);
static const BwNumberReply *try_reservation(const BwAccount *account, const char *id);
static void put_reservation(ReturnSetInfo *rsinfo, const char *id,
							const char *telephone_number,
							const BwNumberReply *reservation);
static char *reservation_argument(FunctionCallInfo fcinfo);

/* GET .../inserviceNumbers, of the account or of a site. */
Datum
bw_numbers(PG_FUNCTION_ARGS)
{
	BwPages		pages = {.kind = BW_LIST_NUMBERS,
		.what = "could not list the telephone numbers in service",
	.subject = "the list of telephone numbers in service"};
	const char *site = bw_arg_text(fcinfo, 7);

	bw_init_materialized_column(fcinfo);
	bw_check_site_id(site);
	pages.call.query = numbers_query(fcinfo);
	pages.account = bw_account(bw_arg_text(fcinfo, 8), GetUserId());
	pages.call.class = BW_CLASS_INSERVICE_NPANXX;
	pages.call.method = "GET";
	pages.call.path = site == NULL
		? bw_api_path(pages.account, "inserviceNumbers", NULL)
		: psprintf("%s/inserviceNumbers", bw_api_path(pages.account, "sites", site));
	bw_pages_read(&pages, put_number, fcinfo->resultinfo);
	return (Datum) 0;
}

static char *
numbers_query(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"areacode", "npanxx", "lata", "state", "ratecenter"};
	StringInfoData query;
	TimestampTz start;
	TimestampTz end;

	bw_check_digits("area_code", bw_arg_text(fcinfo, 0), 3, 3);
	bw_check_digits("npanxx", bw_arg_text(fcinfo, 1), 6, 6);
	bw_check_digits("lata", bw_arg_text(fcinfo, 2), 1, 5);
	bw_check_state(bw_arg_text(fcinfo, 3));
	if (!PG_ARGISNULL(4) && PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rate_center needs state")));
	initStringInfo(&query);
	bw_api_append(&query, "page", "1");
	bw_api_append(&query, "size", NUMBERS_PAGE_SIZE);
	for (int i = 0; i < lengthof(names); i++)
		if (!PG_ARGISNULL(i))
			bw_api_append(&query, names[i], bw_to_utf8(bw_arg_text(fcinfo, i)));
	if (bw_arg_days(fcinfo, 5, &start, &end))
	{
		bw_api_append(&query, "startdate", psprintf("20%s", bw_api_format_day(start)));
		bw_api_append(&query, "enddate", psprintf("20%s", bw_api_format_day(end)));
	}
	return query.data;
}

static void
put_number(const BwRow *row, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		v[1];
	bool		n[1];

	v[0] = bw_digits_or_null(row->field[BW_FIELD_NUMBER], &n[0]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}

/*
 * GET /tns/{number} says which order brought it, .../tndetails the rest.  No
 * row: Bandwidth says that the number is not the account's.
 */
Datum
bw_number(PG_FUNCTION_ARGS)
{
	static const BwNumberReply nothing = {0};
	Question	question = {.none = no_number,.call = {.class = BW_CLASS_HISTORY,.method = "GET"}};
	const BwNumberReply *reply;
	const BwNumberReply *details;
	BwNumber	number;

	bw_init_materialized_srf(fcinfo);
	bw_arg_number(fcinfo, 0, &number);
	question.account = bw_account(bw_arg_text(fcinfo, 1), GetUserId());
	question.what = psprintf("could not look up telephone number %s", number.digits);
	question.call.path = psprintf("/tns/%s", number.digits);
	reply = ask(&question);
	if (reply == NULL)
		return (Datum) 0;
	question.call.path = psprintf("/tns/%s/tndetails", number.digits);
	details = ask(&question);
	put_details((ReturnSetInfo *) fcinfo->resultinfo, reply, details ? details : &nothing);
	return (Datum) 0;
}

static void
put_details(ReturnSetInfo *rsinfo, const BwNumberReply *number,
			const BwNumberReply *details)
{
	Datum		v[17];
	bool		n[17];

#define EITHER(member) (number->member ? number->member : details->member)
	v[0] = bw_digits_or_null(number->telephone_number, &n[0]);
	v[1] = bw_text_or_null(EITHER(status), &n[1]);
	v[2] = bw_text_or_null(EITHER(account_id), &n[2]);
	v[3] = bw_text_or_null(EITHER(site_id), &n[3]);
	v[4] = bw_text_or_null(EITHER(peer_id), &n[4]);
	v[5] = bw_text_or_null(EITHER(order_id), &n[5]);
	v[6] = bw_text_or_null(EITHER(order_type), &n[6]);
	v[7] = bw_date_or_null(EITHER(order_created), &n[7]);
	v[8] = bw_date_or_null(EITHER(in_service_date), &n[8]);
	v[9] = bw_date_or_null(EITHER(last_modified), &n[9]);
	v[10] = bw_text_or_null(EITHER(city), &n[10]);
	v[11] = bw_text_or_null(EITHER(state), &n[11]);
	v[12] = bw_text_or_null(EITHER(rate_center), &n[12]);
	v[13] = bw_text_or_null(EITHER(lata), &n[13]);
	v[14] = bw_int_or_null(EITHER(tier), &n[14]);
	v[15] = bw_int_or_null(EITHER(vendor_id), &n[15]);
	v[16] = bw_text_or_null(EITHER(vendor_name), &n[16]);
#undef EITHER
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}

static void
free_reply(void *arg)
{
	bw_xml_free_number(((OwnedReply *) arg)->reply);
}

/*
 * The answer, good as long as the current memory context; NULL if Bandwidth
 * says that there is none.  Whatever else happens is raised.
 */
static const BwNumberReply *
ask(const Question *question)
{
	OwnedReply *owned = palloc0(sizeof(OwnedReply));
	const BwOutcome *outcome;
	const BwReplyError *error;
	BwXmlProblem problem;

	outcome = bw_call_outcome(bw_api_perform(question->account, &question->call));
	if (outcome->kind == BW_OUTCOME_REFUSED && is_one_of(outcome->code, question->none))
		return NULL;
	if (outcome->kind != BW_OUTCOME_DONE)
		bw_outcome_raise(outcome, question->account, question->what);
	owned->guard.func = free_reply;
	owned->guard.arg = owned;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owned->guard);
	owned->reply = bw_xml_decode_number(outcome->reply->body, outcome->reply->body_len,
										&problem);
	error = owned->reply && owned->reply->errors.count > 0 ? owned->reply->errors.items : NULL;
	if (error != NULL && is_one_of(error->code, question->none))
		return NULL;
	if (error != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_BW_REFUSED),
				 errmsg("%s: %s", error->code ? error->code : "error",
						error->text ? bw_from_utf8(error->text) : "the call was refused"),
				 errdetail("%s", bw_sentence(question->what))));
	if (owned->reply == NULL || owned->reply->telephone_number == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_BW_BAD_REPLY),
				 errmsg("%s", question->what),
				 errdetail("%s.", owned->reply ? "The reply names no telephone number"
						   : problem.text)));
	return owned->reply;
}

static bool
is_one_of(const char *code, const char *const *codes)
{
	for (; code != NULL && *codes != NULL; codes++)
		if (strcmp(code, *codes) == 0)
			return true;
	return false;
}

Datum
bw_reserve(PG_FUNCTION_ARGS)
{
	BwAccount  *account;
	BwNumber	number;
	char	   *id;

	PreventCommandIfReadOnly("bw_reserve()");
	bw_init_materialized_srf(fcinfo);
	bw_arg_number(fcinfo, 0, &number);
	account = bw_account(bw_arg_text(fcinfo, 1), GetUserId());
	id = reserve(account, &number);
	put_reservation((ReturnSetInfo *) fcinfo->resultinfo, id, number.digits,
					try_reservation(account, id));
	return (Datum) 0;
}

/* POST .../tnreservation; the new reservation's id. */
static char *
reserve(const BwAccount *account, const BwNumber *number)
{
	BwCallSpec	spec = {.class = BW_CLASS_RESERVATION,.method = "POST"};
	char	   *body = bw_xml_encode_reservation(number->digits);
	const BwOutcome *outcome;
	char	   *id;

	if (body == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	spec.path = bw_api_path(account, "tnreservation", NULL);
	spec.body = pstrdup(body);
	free(body);
	outcome = bw_call_outcome(bw_api_perform(account, &spec));
	if (may_be_reserved(outcome))
		ereport(ERROR,
				(errcode(ERRCODE_BW_UNAVAILABLE),
				 errmsg("could not tell whether telephone number %s is reserved", number->digits),
				 outcome->status == 0 ? errdetail("%s.", outcome->text)
				 : errdetail("The server answered with status %d.", outcome->status),
				 errhint("If it is, the reservation lapses by itself.")));
	if (outcome->kind != BW_OUTCOME_DONE)
		bw_outcome_raise(outcome, account,
						 psprintf("could not reserve telephone number %s", number->digits));
	id = bw_api_location_id(outcome->reply);
	if (id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_BW_BAD_REPLY),
				 errmsg("could not tell the reservation of telephone number %s", number->digits),
				 errdetail("The reply has no Location."),
				 errhint("The reservation lapses by itself.")));
	return id;
}

static bool
may_be_reserved(const BwOutcome *outcome)
{
	return outcome->kind == BW_OUTCOME_UNKNOWN;
}

static const BwNumberReply *
read_reservation(const BwAccount *account, const char *id)
{
	Question	question = {.account = account,.none = no_reservation,
	.call = {.class = BW_CLASS_RESERVATION,.method = "GET"}};

	question.what = psprintf("could not look up reservation \"%s\"", id);
	question.call.path = bw_api_path(account, "tnreservation", id);
	return ask(&question);
}

/*
 * The same, but a failure is a warning: the number is reserved, and its
 * reservation's id must not be lost because of what came after.
 */
static const BwNumberReply *
try_reservation(const BwAccount *account, const char *id)
{
	MemoryContext cxt = CurrentMemoryContext;
	const BwNumberReply *volatile reservation = NULL;

	PG_TRY();
	{
		reservation = read_reservation(account, id);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (ERRCODE_TO_CATEGORY(geterrcode()) != MAKE_SQLSTATE('T', 'N', '0', '0', '0'))
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		ereport(WARNING,
				(errmsg("could not ask when reservation \"%s\" expires", id),
				 errdetail("%s.", error->message)));
	}
	PG_END_TRY();
	return reservation;
}

static void
put_reservation(ReturnSetInfo *rsinfo, const char *id, const char *telephone_number,
				const BwNumberReply *reservation)
{
	const char *left = reservation ? reservation->reservation_expires : NULL;
	int64		seconds = left ? strtoll(left, NULL, 10) : -1;
	Datum		v[3];
	bool		n[3];

	v[0] = bw_text_or_null(id, &n[0]);
	v[1] = bw_digits_or_null(telephone_number, &n[1]);
	n[2] = (seconds < 0 || seconds > EXPIRY_MAX_S);
	v[2] = TimestampTzGetDatum(n[2] ? 0 : GetCurrentTimestamp() + seconds * USECS_PER_SEC);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, v, n);
}

/* No row: Bandwidth says that there is no such reservation (any more). */
Datum
bw_reservation(PG_FUNCTION_ARGS)
{
	char	   *id = reservation_argument(fcinfo);
	const BwNumberReply *reservation;

	bw_init_materialized_srf(fcinfo);
	reservation = read_reservation(bw_account(bw_arg_text(fcinfo, 1), GetUserId()), id);
	if (reservation != NULL)
		put_reservation((ReturnSetInfo *) fcinfo->resultinfo, id,
						reservation->telephone_number, reservation);
	return (Datum) 0;
}

Datum
bw_unreserve(PG_FUNCTION_ARGS)
{
	char	   *id = reservation_argument(fcinfo);
	BwCallSpec	spec = {.class = BW_CLASS_RESERVATION,.method = "DELETE"};
	BwAccount  *account;
	const BwOutcome *outcome;

	PreventCommandIfReadOnly("bw_unreserve()");
	account = bw_account(bw_arg_text(fcinfo, 1), GetUserId());
	spec.path = bw_api_path(account, "tnreservation", id);
	outcome = bw_call_outcome(bw_api_perform(account, &spec));
	if (outcome->kind == BW_OUTCOME_REFUSED && is_one_of(outcome->code, no_reservation))
		PG_RETURN_BOOL(false);
	if (outcome->kind != BW_OUTCOME_DONE)
		bw_outcome_raise(outcome, account,
						 psprintf("could not end reservation \"%s\"", id));
	PG_RETURN_BOOL(true);
}

static char *
reservation_argument(FunctionCallInfo fcinfo)
{
	char	   *id = bw_arg_text(fcinfo, 0);
	BwProblem	problem;

	if (id == NULL || id[0] == '\0')
		ereport(ERROR,
				(errcode(id ? ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("reservation_id must not be %s", id ? "empty" : "null")));
	if (!bw_reservation_id_check("reservation_id", id, &problem))
		bw_problem_raise(&problem);
	return id;
}
