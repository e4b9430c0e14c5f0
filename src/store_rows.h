/*-------------------------------------------------------------------------
 *
 * store_rows.h
 *	  Statements on rows of users' tables, found by their primary key.
 *
 * Everything is qualified: what a user's search_path says changes nothing.
 * All of them run inside a scope, as the actor who was chosen (store.h).
 *
 * src/store_rows.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_STORE_ROWS_H
#define BW_STORE_ROWS_H

#include "store.h"

#include "access/attnum.h"

/* A row: attribute numbers of its primary key, and their values as text. */
typedef struct BwRowRef
{
	Oid			relation;
	int			key_count;
	AttrNumber *key_columns;
	char	  **key_values;
	/* of one that this transaction saw; NULL: it came from our tables */
	Oid		   *key_types;
	Datum	   *key_datums;
} BwRowRef;

/*
 * Is it there?  Asked as the table's owner, as foreign keys are checked: row
 * security hides nothing.  The key, whose types may run a user's code, is read
 * as "role".  False also if the table, or a column of the key, is gone.
 */
extern bool bw_store_row_exists(const BwRowRef *row, Oid role);

/* Is it the only one?  A key that is not the primary key any more may have many. */
extern bool bw_store_row_is_single(const BwRowRef *row, Oid role);

/* The same as the first, and what a column of it says, as text (NULL: null). */
extern bool bw_store_row_says(const BwRowRef *row, Oid role, AttrNumber column,
							  char **value);

/*
 * The same as the first at a glance, by the index of the primary key, and without a scope: a
 * SELECT would take longer than a user's whole INSERT.  No user's code is run.
 * False: look closer.
 */
extern bool bw_store_row_is_there(const BwRowRef *row);

/*
 * Why the row is gone, for certain; NULL: it is there, or that cannot be told
 * without waiting for somebody or running a user's code.  Changes "row".  What it
 * raises, in a subtransaction, means no more than NULL.
 */
extern const char *bw_store_row_is_gone(BwRowRef *row);

/* The same for a row that was not found. */
extern const char *bw_store_why_gone(const BwRowRef *row);

/* False: it was dropped, or its table was. */
extern bool bw_store_has_column(Oid relation, AttrNumber column);

/* Owner of its table; InvalidOid: there is no such table any more. */
extern Oid	bw_store_row_owner(const BwRowRef *row);

/*
 * Lock it and read a column as text (NULL: null).  False: there is none to see;
 * 55P03 if somebody else has it.
 */
extern bool bw_store_lock_row(const BwRowRef *row, AttrNumber column, char **value);

/* A column's new value, as text; NULL: null. */
typedef struct BwNewValue
{
	AttrNumber	column;
	const char *value;
} BwNewValue;

/* Returns how many rows were updated. */
extern uint64 bw_store_update_row(const BwRowRef *row, const BwNewValue *values,
								  int count);

#endif							/* BW_STORE_ROWS_H */
