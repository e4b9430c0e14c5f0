/*-------------------------------------------------------------------------
 *
 * numbers.h
 *	  Is this telephone number among those?
 *
 * Bandwidth lists numbers in any spelling and order, and thousands of them.  A
 * list that is asked once is searched as it came; one that is asked for each
 * number of an order is made a set first.
 *
 * Plain C without postgres.h, so that unit tests can drive it.  Nothing here
 * allocates: callers own all memory.
 *
 * src/numbers.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_NUMBERS_H
#define BW_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>

#include "request.h"
#include "xml_read.h"

/* Sorted; a number that was listed twice stands here twice. */
typedef struct BwNumberSet
{
	BwNumber   *items;
	int			count;
} BwNumberSet;

/* How many bytes the numbers of a list need. */
extern size_t bw_numbers_size(const BwTexts *texts);

/*
 * Make a set of a list.  "room" has bw_numbers_size() bytes and becomes its
 * items.  What is no number is left out: false if there was any of that.
 */
extern bool bw_numbers_read(BwNumberSet *set, const BwTexts *texts,
							BwNumber *room);

/* "digits" are ten, here and below. */
extern bool bw_numbers_have(const BwNumberSet *set, const char *digits);

extern bool bw_numbers_equal(const BwNumberSet *a, const BwNumberSet *b);

/* Does a list have the number, in whatever spelling? */
extern bool bw_numbers_list_has(const BwTexts *texts, const char *digits);

#endif							/* BW_NUMBERS_H */
