/*-------------------------------------------------------------------------
 *
 * provision_rule.h
 *	  What the arguments of a trigger with bw_provision() say about a table.
 *
 * src/provision_rule.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_PROVISION_RULE_H
#define BW_PROVISION_RULE_H

#include "bandwidth.h"

#include "access/attnum.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

#include "place.h"

/* A property of the order: always the same, or from a column of the row. */
typedef struct BwProvisionInput
{
	const struct BwProvisionProperty *property;
	const char *constant;		/* NULL: from the column */
	AttrNumber	column;			/* of the source */
} BwProvisionInput;

typedef struct BwProvisionRule
{
	const Trigger *trigger;
	Relation	source;			/* new rows come in its shape */
	Oid			target;			/* where they are found again: the same, or
								 * the partitioned table above it */
	char	   *target_name;	/* qualified and quoted */
	const char *server;			/* NULL: bandwidth.default_server */
	bool		e164;			/* numbers are written as +15405514342 */

	/* The primary key. */
	int			key_count;
	AttrNumber *source_key;
	AttrNumber *target_key;

	/* Where the number is read from, and what the outcome is written to. */
	AttrNumber	source_number;
	AttrNumber	number_column;	/* these are the target's; 0: none */
	AttrNumber	status_column;
	AttrNumber	error_column;

	int			input_count;
	BwProvisionInput *inputs;
} BwProvisionRule;

/*
 * The rule of a trigger that "source" has.  Raises what is wrong with it: an
 * argument that is unknown or repeated, a column that does not exist or cannot
 * hold the outcome, a missing primary key, a right that the current role lacks.
 */
extern BwProvisionRule *bw_provision_rule(const Trigger *trigger, Relation source);

/*
 * Set a property of an order to what the rule, or the row, says; raises 22P02
 * and the like for texts that are none of its values.
 */
extern void bw_provision_set(const BwProvisionInput *input, const char *value,
							 BwSearchOrder *order);

#endif							/* BW_PROVISION_RULE_H */
