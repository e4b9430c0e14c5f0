/*-------------------------------------------------------------------------
 *
 * write_back.c
 *	  The outcome of an order is written into the row that it was for.
 *
 * What runs here is the user's: triggers, defaults, constraints, policies.  It
 * runs as the role that ordered, which ran it already when it inserted the row.
 * A superuser is not lent to the owner of a table: then it runs as that owner.
 *
 * src/write_back.c
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "write_back.h"

static const char *why_pointless(const BwProvision *provision);
static bool has_column(const BwProvision *provision, AttrNumber column);
static Oid	acting_role(const BwProvision *provision);
static const char *write_row(const BwProvision *provision, Oid role, Oid trusting);
static const char *why_not_seen(const BwProvision *provision, Oid role);
static bool same_number(const char *a, const char *b);
static void update(const BwProvision *provision);

void
bw_write_back(const BwProvision *provision, Oid trusting)
{
	const char *why_not = why_pointless(provision);

	if (why_not == NULL)
		why_not = write_row(provision, acting_role(provision), trusting);
	bw_store_written_back(provision->order_id, why_not);
}

/* What will not come back is not waited for. */
static const char *
why_pointless(const BwProvision *provision)
{
	if (get_rel_name(provision->row.relation) == NULL)
		return bw_store_why_gone(&provision->row);
	for (int i = 0; i < provision->row.key_count; i++)
		if (!has_column(provision, provision->row.key_columns[i]))
			return "a column of its table's primary key was dropped";
	if (!has_column(provision, provision->number_column) ||
		!has_column(provision, provision->status_column) ||
		!has_column(provision, provision->error_column))
		return "a column of its table that the outcome goes to was dropped";
	return NULL;
}

static bool
has_column(const BwProvision *provision, AttrNumber column)
{
	return column == InvalidAttrNumber ||
		bw_store_has_column(provision->row.relation, column);
}

static Oid
acting_role(const BwProvision *provision)
{
	Oid			role = get_role_oid(provision->ordered_by, true);
	Oid			owner = bw_store_row_owner(&provision->row);

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", provision->ordered_by)));
	return superuser_arg(role) && OidIsValid(owner) ? owner : role;
}

/* NULL: written; else why that has become pointless. */
static const char *
write_row(const BwProvision *provision, Oid role, Oid trusting)
{
	char	   *number_now;
	bool		found;
	BwActor		before;

	int			flags = role == trusting ? 0 : SECURITY_RESTRICTED_OPERATION;

	bw_store_act_as(&before, role, flags);
	found = bw_store_lock_row(&provision->row, provision->number_column, &number_now);
	bw_store_act_again(&before);
	if (!found)
		return why_not_seen(provision, role);
	if (!bw_store_row_is_single(&provision->row, role))
		return "its table got another primary key, and several rows have the key that the row had";
	if (!same_number(number_now, provision->number_before))
		return "the row got another telephone number meanwhile";

	/* Whoever replaced the row has said so before we could lock the new one. */
	if (!bw_store_row_waits(provision->order_id))
		return BW_ROW_REPLACED;
	bw_store_act_as(&before, role, flags);
	update(provision);
	bw_store_act_again(&before);
	return NULL;
}

static const char *
why_not_seen(const BwProvision *provision, Oid role)
{
	if (bw_store_row_exists(&provision->row, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security hides the row from role \"%s\"",
						GetUserNameFromId(role, false))));
	return bw_store_why_gone(&provision->row);
}

/* Blanks that pad a character(n) are no part of it. */
static bool
same_number(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	while (*a != '\0' && *a == *b)
	{
		a++;
		b++;
	}
	return a[strspn(a, " ")] == '\0' && b[strspn(b, " ")] == '\0';
}

static void
update(const BwProvision *provision)
{
	BwNewValue	values[3];
	int			count = 0;
	uint64		updated;

	if (provision->number != NULL)
		values[count++] = (BwNewValue)
	{
		provision->number_column,
			provision->e164 ? psprintf("+1%s", provision->number) : provision->number
	};
	if (provision->status_column != InvalidAttrNumber)
		values[count++] = (BwNewValue)
	{
		provision->status_column, bw_order_status_name(provision->status)
	};
	if (provision->error_column != InvalidAttrNumber)
		values[count++] = (BwNewValue)
	{
		provision->error_column, provision->error
	};
	updated = count > 0 ? bw_store_update_row(&provision->row, values, count) : 1;
	if (updated > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("several rows would have been updated")));
	if (updated == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("the row was not updated"),
				 errdetail("A trigger, or a row-level security policy, kept it as it is.")));
}
