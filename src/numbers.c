/*-------------------------------------------------------------------------
 *
 * numbers.c
 *	  Is this telephone number among those?
 *
 * src/numbers.c
 *-------------------------------------------------------------------------
 */
#include "numbers.h"

#include <stdlib.h>
#include <string.h>

static int	compare_numbers(const void *a, const void *b);
static int	compare_digits(const void *digits, const void *number);

/* Never 0, which some allocators refuse. */
size_t
bw_numbers_size(const BwTexts *texts)
{
	return sizeof(BwNumber) * (texts->count > 0 ? (size_t) texts->count : 1);
}

bool
bw_numbers_read(BwNumberSet *set, const BwTexts *texts, BwNumber *room)
{
	BwProblem	problem;

	set->items = room;
	set->count = 0;
	for (int i = 0; i < texts->count; i++)
		if (bw_number_parse(texts->items[i], &room[set->count], &problem))
			set->count++;
	qsort(set->items, (size_t) set->count, sizeof(BwNumber), compare_numbers);
	return set->count == texts->count;
}

static int
compare_numbers(const void *a, const void *b)
{
	return strcmp(((const BwNumber *) a)->digits, ((const BwNumber *) b)->digits);
}

bool
bw_numbers_have(const BwNumberSet *set, const char *digits)
{
	return bsearch(digits, set->items, (size_t) set->count, sizeof(BwNumber),
				   compare_digits) != NULL;
}

static int
compare_digits(const void *digits, const void *number)
{
	return strcmp(digits, ((const BwNumber *) number)->digits);
}

bool
bw_numbers_equal(const BwNumberSet *a, const BwNumberSet *b)
{
	if (a->count != b->count)
		return false;
	for (int i = 0; i < a->count; i++)
		if (strcmp(a->items[i].digits, b->items[i].digits) != 0)
			return false;
	return true;
}

bool
bw_numbers_list_has(const BwTexts *texts, const char *digits)
{
	for (int i = 0; i < texts->count; i++)
	{
		BwNumber	number;
		BwProblem	problem;

		if (bw_number_parse(texts->items[i], &number, &problem) &&
			strcmp(number.digits, digits) == 0)
			return true;
	}
	return false;
}
