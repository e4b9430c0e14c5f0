/*-------------------------------------------------------------------------
 *
 * provision_rule.c
 *	  What the arguments of a trigger with bw_provision() say about a table.
 *
 * They are pairs: X and a value that all orders have, or X_column and the
 * column that has the value of each row.  They are looked at whenever the
 * trigger fires, since the table may have been altered in between; so are the
 * rights of whoever fired it, because a number that cannot be written into its
 * row was bought for nobody.
 *
 * src/provision_rule.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "order.h"
#include "provision_rule.h"

typedef enum Kind
{
	KIND_TEXT,					/* const char * */
	KIND_FLAG,					/* int: 0, 1 */
	KIND_BOOLEAN,				/* bool */
	KIND_INTEGER,				/* int */
	KIND_JSON					/* Datum */
} Kind;

/* A property of orders that can be named in an argument. */
typedef struct BwProvisionProperty
{
	const char *name;
	Kind		kind;
	size_t		offset;			/* in BwSearchOrder */
} Property;

#define SEARCH(member) offsetof(BwSearchOrder, criteria.search.member)
#define OPTION(member) offsetof(BwSearchOrder, options.member)

/* In the words of bw_order_search()'s arguments. */
static const Property properties[] = {
	{"npanxx", KIND_TEXT, SEARCH(npanxx)},
	{"area_code", KIND_TEXT, SEARCH(area_code)},
	{"npanxxx", KIND_TEXT, SEARCH(npanxxx)},
	{"rate_center", KIND_TEXT, SEARCH(rate_center)},
	{"city", KIND_TEXT, SEARCH(city)},
	{"state", KIND_TEXT, SEARCH(state)},
	{"zip", KIND_TEXT, SEARCH(zip)},
	{"lata", KIND_TEXT, SEARCH(lata)},
	{"local_vanity", KIND_TEXT, SEARCH(local_vanity)},
	{"ends_in", KIND_FLAG, SEARCH(ends_in)},
	{"toll_free_vanity", KIND_TEXT, SEARCH(toll_free_vanity)},
	{"toll_free_wildcard_pattern", KIND_TEXT, SEARCH(toll_free_wildcard_pattern)},
	{"lca", KIND_FLAG, SEARCH(lca)},
	{"protected", KIND_TEXT, SEARCH(protected_numbers)},
	{"max_tier", KIND_INTEGER, offsetof(BwSearchOrder, criteria.max_tier)},
	{"direct", KIND_BOOLEAN, offsetof(BwSearchOrder, direct)},
	{"site_id", KIND_TEXT, OPTION(site_id)},
	{"peer_id", KIND_TEXT, OPTION(peer_id)},
	{"name", KIND_TEXT, OPTION(name)},
	{"customer_order_id", KIND_TEXT, OPTION(customer_order_id)},
	{"attempts", KIND_INTEGER, OPTION(attempts)},
	{"back_order_requested", KIND_BOOLEAN, OPTION(back_order_requested)},
	{"tag", KIND_JSON, offsetof(BwSearchOrder, tag)},
};

static const char column_suffix[] = "_column";

static void read_argument(BwProvisionRule *rule, Relation target,
						  const char *name, const char *value);
static void check_repetition(const Trigger *trigger, int n);
static bool is_column_of(const char *name, const char *other);
static bool read_outcome_column(BwProvisionRule *rule, Relation target,
								const char *name, const char *value);
static void read_number_format(BwProvisionRule *rule, const char *value);
static void add_input(BwProvisionRule *rule, const char *name, const char *value);
static const Property *find_property(const char *name, size_t len);
pg_noreturn static void refuse_argument(const BwProvisionRule *rule, const char *name);
static AttrNumber find_column(Relation rel, const char *argument, const char *column);
static Oid	target_of(const Trigger *trigger, Relation source);
static bool has_primary_key(Oid relation);
static void read_key(BwProvisionRule *rule, Relation target);
static void check_outcome_column(const BwProvisionRule *rule, Relation target,
								 const char *argument, AttrNumber column);
static void check_outcome_values(const BwProvisionRule *rule, Relation target);
static void check_value(Relation target, const char *argument, AttrNumber column,
						const char *value);
static bool takes_value(Oid type, int32 typmod, const char *value);
static void refuse_column(Relation target, const char *argument, AttrNumber column,
						  const char *why);
static void check_rights(const BwProvisionRule *rule);
static void require(const BwProvisionRule *rule, AttrNumber column, AclMode right);

BwProvisionRule *
bw_provision_rule(const Trigger *trigger, Relation source)
{
	BwProvisionRule *rule = palloc0(sizeof(BwProvisionRule));
	Relation	target;

	rule->trigger = trigger;
	rule->source = source;
	rule->target = target_of(trigger, source);
	target = table_open(rule->target, AccessShareLock);
	rule->target_name =
		quote_qualified_identifier(get_namespace_name(RelationGetNamespace(target)),
								   RelationGetRelationName(target));
	if (target->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is temporary", RelationGetRelationName(target)),
				 errdetail("bw_provision() has the outcome of an order written by another session, which cannot reach the table.")));
	read_key(rule, target);
	if (trigger->tgnargs % 2 != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arguments of bw_provision() must be pairs of a name and a value"),
				 errhint("For example: EXECUTE FUNCTION bw_provision('number_column', 'phone', 'zip_column', 'postcode').")));
	rule->inputs = palloc0(sizeof(BwProvisionInput) * Max(trigger->tgnargs / 2, 1));
	for (int i = 0; i + 1 < trigger->tgnargs; i += 2)
	{
		read_argument(rule, target, trigger->tgargs[i], trigger->tgargs[i + 1]);
		check_repetition(trigger, i);
	}
	if (rule->number_column == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bw_provision() needs the argument \"number_column\""),
				 errhint("It names the column of table \"%s\" that gets the telephone number.",
						 RelationGetRelationName(source))));
	check_outcome_values(rule, target);
	check_rights(rule);
	table_close(target, NoLock);
	return rule;
}

/* Two values for one thing: either might be meant, and each would buy. */
static void
check_repetition(const Trigger *trigger, int n)
{
	const char *name = trigger->tgargs[n];

	for (int i = 0; i < n; i += 2)
	{
		const char *other = trigger->tgargs[i];

		if (strcmp(name, other) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"%s\" of bw_provision() is given twice", name)));
		if (is_column_of(name, other) || is_column_of(other, name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("arguments \"%s\" and \"%s\" of bw_provision() exclude each other",
							other, name)));
	}
}

/* Is it X_column, where the other one is X? */
static bool
is_column_of(const char *name, const char *other)
{
	size_t		len = strlen(other);

	return strncmp(name, other, len) == 0 && strcmp(name + len, column_suffix) == 0;
}

static void
read_argument(BwProvisionRule *rule, Relation target, const char *name,
			  const char *value)
{
	if (read_outcome_column(rule, target, name, value))
		return;
	if (strcmp(name, "server") == 0)
		rule->server = value;
	else if (strcmp(name, "number_format") == 0)
		read_number_format(rule, value);
	else
		add_input(rule, name, value);
}

/* False: the argument is another one. */
static bool
read_outcome_column(BwProvisionRule *rule, Relation target, const char *name,
					const char *value)
{
	AttrNumber *column;

	if (strcmp(name, "number_column") == 0)
		column = &rule->number_column;
	else if (strcmp(name, "status_column") == 0)
		column = &rule->status_column;
	else if (strcmp(name, "error_column") == 0)
		column = &rule->error_column;
	else
		return false;
	*column = find_column(target, name, value);
	check_outcome_column(rule, target, name, *column);
	if (column == &rule->number_column)
		rule->source_number = find_column(rule->source, name, value);
	return true;
}

static void
read_number_format(BwProvisionRule *rule, const char *value)
{
	rule->e164 = strcmp(value, "e164") == 0;
	if (!rule->e164 && strcmp(value, "ten_digits") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"number_format\" of bw_provision(): \"%s\"", value),
				 errhint("Formats are \"ten_digits\" (5405514342) and \"e164\" (+15405514342).")));
}

static void
add_input(BwProvisionRule *rule, const char *name, const char *value)
{
	size_t		len = strlen(name);
	BwProvisionInput *input = &rule->inputs[rule->input_count];

	input->property = find_property(name, len);
	if (input->property != NULL)
		input->constant = value;
	else if (len > strlen(column_suffix) &&
			 strcmp(name + len - strlen(column_suffix), column_suffix) == 0)
	{
		input->property = find_property(name, len - strlen(column_suffix));
		if (input->property != NULL)
			input->column = find_column(rule->source, name, value);
	}
	if (input->property == NULL)
		refuse_argument(rule, name);
	rule->input_count++;
}

static const Property *
find_property(const char *name, size_t len)
{
	for (int i = 0; i < (int) lengthof(properties); i++)
		if (strlen(properties[i].name) == len &&
			strncmp(properties[i].name, name, len) == 0)
			return &properties[i];
	return NULL;
}

static void
refuse_argument(const BwProvisionRule *rule, const char *name)
{
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; i < (int) lengthof(properties); i++)
		appendStringInfo(&known, "%s%s", i > 0 ? ", " : "", properties[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized argument of bw_provision(): \"%s\"", name),
			 errdetail("Trigger \"%s\" of table \"%s\" names it.", rule->trigger->tgname,
					   RelationGetRelationName(rule->source)),
			 errhint("Arguments are number_column, status_column, error_column, number_format and server; and each of the following, by itself with a constant, or with _column behind it and the name of a column: %s.",
					 known.data)));
}

static AttrNumber
find_column(Relation rel, const char *argument, const char *column)
{
	AttrNumber	number = get_attnum(RelationGetRelid(rel), column);

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column,
						RelationGetRelationName(rel)),
				 errdetail("Argument \"%s\" of bw_provision() names it.", argument)));
	return number;
}

/*
 * A trigger of a partitioned table fires in its partitions, but a row may move
 * to another of them: it is found again from above.
 */
static Oid
target_of(const Trigger *trigger, Relation source)
{
	List	   *ancestors;

	if (!trigger->tgisclone || !source->rd_rel->relispartition)
		return RelationGetRelid(source);
	ancestors = get_partition_ancestors(RelationGetRelid(source));
	for (int i = list_length(ancestors) - 1; i >= 0; i--)
		if (has_primary_key(list_nth_oid(ancestors, i)))
			return list_nth_oid(ancestors, i);
	return RelationGetRelid(source);
}

static bool
has_primary_key(Oid relation)
{
	Relation	rel = table_open(relation, AccessShareLock);
	bool		has = OidIsValid(bw_primary_key_index(rel));

	table_close(rel, NoLock);
	return has;
}

static void
read_key(BwProvisionRule *rule, Relation target)
{
	Oid			oid = bw_primary_key_index(target);
	Relation	index;

	if (!OidIsValid(oid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key", RelationGetRelationName(target)),
				 errdetail("bw_provision() finds the row again by it, to write the outcome."),
				 errhint("Run ALTER TABLE %s ADD PRIMARY KEY (...); a deferrable one does not do.",
						 rule->target_name)));
	index = index_open(oid, AccessShareLock);
	rule->key_count = index->rd_index->indnkeyatts;
	rule->source_key = palloc(sizeof(AttrNumber) * rule->key_count);
	rule->target_key = palloc(sizeof(AttrNumber) * rule->key_count);
	for (int i = 0; i < rule->key_count; i++)
	{
		AttrNumber	column = index->rd_index->indkey.values[i];

		rule->target_key[i] = column;
		rule->source_key[i] =
			get_attnum(RelationGetRelid(rule->source),
					   get_attname(rule->target, column, false));
	}
	index_close(index, NoLock);
}

static void
check_outcome_column(const BwProvisionRule *rule, Relation target,
					 const char *argument, AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(target), column - 1);
	const char *why = NULL;

	if (attribute->attgenerated != '\0')
		why = "It is a generated column.";
	else if (attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
		why = "It is an identity column.";
	for (int i = 0; i < rule->key_count; i++)
		if (rule->target_key[i] == column)
			why = "It is part of the primary key.";
	if (why != NULL)
		refuse_column(target, argument, column, why);
}

/* What is bought and does not fit into its column was bought for nobody. */
static void
check_outcome_values(const BwProvisionRule *rule, Relation target)
{
	static const BwOrderStatus ends[] = {
		BW_ORDER_COMPLETE, BW_ORDER_FAILED, BW_ORDER_REJECTED, BW_ORDER_CANCELLED
	};

	if (rule->status_column == rule->number_column)
		refuse_column(target, "status_column", rule->status_column,
					  "Argument \"number_column\" names it, too.");
	if (rule->error_column != InvalidAttrNumber &&
		(rule->error_column == rule->number_column ||
		 rule->error_column == rule->status_column))
		refuse_column(target, "error_column", rule->error_column,
					  "Another argument names it, too.");
	check_value(target, "number_column", rule->number_column,
				rule->e164 ? "+19999999999" : "9999999999");
	if (rule->status_column != InvalidAttrNumber)
		for (int i = 0; i < (int) lengthof(ends); i++)
			check_value(target, "status_column", rule->status_column,
						bw_order_status_name(ends[i]));
	if (rule->error_column == InvalidAttrNumber)
		return;
	check_value(target, "error_column", rule->error_column, "5005: taken");
	if (TupleDescAttr(RelationGetDescr(target), rule->error_column - 1)->attnotnull)
		refuse_column(target, "error_column", rule->error_column,
					  "It is NOT NULL, and gets null where there was no error.");
}

static void
check_value(Relation target, const char *argument, AttrNumber column, const char *value)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(target), column - 1);
	int32		typmod = attribute->atttypmod;
	Oid			type = getBaseTypeAndTypmod(attribute->atttypid, &typmod);

	if (!takes_value(type, typmod, value))
		refuse_column(target, argument, column,
					  psprintf("Its type %s does not take \"%s\".",
							   format_type_with_typemod(type, typmod), value));
}

/* Of types that are not PostgreSQL's own, only enums are asked. */
static bool
takes_value(Oid type, int32 typmod, const char *value)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile bool takes = true;
	Oid			input;
	Oid			param;

	if (type == TEXTOID || (type >= FirstNormalObjectId && !type_is_enum(type)))
		return true;
	getTypeInputInfo(type, &input, &param);
	PG_TRY();
	{
		(void) OidInputFunctionCall(input, unconstify(char *, value), param, typmod);
	}
	PG_CATCH();
	{
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		FlushErrorState();
		takes = false;
	}
	PG_END_TRY();
	return takes;
}

static void
refuse_column(Relation target, const char *argument, AttrNumber column,
			  const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("column \"%s\" of table \"%s\" cannot be written by bw_provision()",
					NameStr(TupleDescAttr(RelationGetDescr(target), column - 1)->attname),
					RelationGetRelationName(target)),
			 errdetail_internal("%s", why),
			 errhint("Name another column in argument \"%s\".", argument)));
}

/* The outcome is written as the role that ordered, with its rights. */
static void
check_rights(const BwProvisionRule *rule)
{
	for (int i = 0; i < rule->key_count; i++)
		require(rule, rule->target_key[i], ACL_SELECT);
	require(rule, rule->number_column, ACL_SELECT);
	require(rule, rule->number_column, ACL_UPDATE);
	if (rule->status_column != InvalidAttrNumber)
		require(rule, rule->status_column, ACL_UPDATE);
	if (rule->error_column != InvalidAttrNumber)
		require(rule, rule->error_column, ACL_UPDATE);
}

static void
require(const BwProvisionRule *rule, AttrNumber column, AclMode right)
{
	const char *name = get_attname(rule->target, column, false);
	const char *role = GetUserNameFromId(GetUserId(), false);

	if (pg_class_aclcheck(rule->target, GetUserId(), right) == ACLCHECK_OK ||
		pg_attribute_aclcheck(rule->target, column, GetUserId(), right) == ACLCHECK_OK)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for column \"%s\" of table \"%s\"", name,
					get_rel_name(rule->target)),
			 errdetail("The outcome of the order will be written into the row with the rights of role \"%s\".", role),
			 errhint("Run GRANT %s (%s) ON %s TO %s.",
					 right == ACL_SELECT ? "SELECT" : "UPDATE", quote_identifier(name),
					 rule->target_name, quote_identifier(role))));
}

void
bw_provision_set(const BwProvisionInput *input, const char *value,
				 BwSearchOrder *order)
{
	const Property *property = input->property;
	void	   *member = (char *) order + property->offset;
	bool		flag = false;

	if ((property->kind == KIND_FLAG || property->kind == KIND_BOOLEAN) &&
		!parse_bool(value, &flag))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid value for argument \"%s\" of bw_provision(): \"%s\"",
						property->name, value),
				 errhint("It is a boolean: true or false.")));
	switch (property->kind)
	{
		case KIND_TEXT:
			*(const char **) member = value;
			break;
		case KIND_FLAG:
			*(int *) member = flag;
			break;
		case KIND_BOOLEAN:
			*(bool *) member = flag;
			break;
		case KIND_INTEGER:
			*(int *) member = pg_strtoint32(value);
			break;
		case KIND_JSON:
			*(Datum *) member = DirectFunctionCall1(jsonb_in, CStringGetDatum(value));
			break;
	}
	if (member == &order->criteria.max_tier)
		order->has_max_tier = true;
}
