/*-------------------------------------------------------------------------
 *
 * numbers_test.c
 *	  Lists of telephone numbers, as they come and as sets.
 *
 * test/unit/numbers_test.c
 *-------------------------------------------------------------------------
 */
#include "numbers.h"
#include "tap.h"

#include <stdlib.h>

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

static const BwTexts nothing = {NULL, 0};

/* Of exactly the room that it wants, so that the sanitizer sees any more. */
static BwNumberSet
read_set(const BwTexts *texts, bool all_are_numbers)
{
	BwNumberSet set = {NULL, -1};
	BwNumber   *room = malloc(bw_numbers_size(texts));

	ok(bw_numbers_read(&set, texts, room) == all_are_numbers,
	   "%s %d texts is a number", all_are_numbers ? "each of" : "not each of",
	   texts->count);
	return set;
}

/* Spelling and order mean nothing. */
static void
test_spellings(void)
{
	char	   *spelled[] = {"(919) 200-0003", "+19192000001", "9192000002"};
	char	   *plain[] = {"9192000002", "9192000003", "9192000001"};
	BwTexts		texts = {spelled, COUNT(spelled)};
	BwTexts		others = {plain, COUNT(plain)};
	BwNumberSet set = read_set(&texts, true);
	BwNumberSet same = read_set(&others, true);

	is_str(set.items[0].digits, "9192000001", "the least is the first");
	is_str(set.items[2].digits, "9192000003", "and the greatest the last");
	for (int i = 0; i < COUNT(plain); i++)
	{
		ok(bw_numbers_have(&set, plain[i]), "the set has %s", plain[i]);
		ok(bw_numbers_list_has(&texts, plain[i]), "so has the list");
	}
	ok(!bw_numbers_have(&set, "9192000004"), "the set has no other");
	ok(!bw_numbers_list_has(&texts, "9192000004"), "nor has the list");
	ok(bw_numbers_equal(&set, &same), "sets of the same numbers are equal");
	free(set.items);
	free(same.items);
}

static void
test_differences(void)
{
	char	   *two[] = {"9192000001", "9192000002"};
	char	   *other[] = {"9192000001", "9192000003"};
	char	   *twice[] = {"9192000001", "+19192000001"};
	BwTexts		texts = {two, 2};
	BwTexts		less = {two, 1};
	BwTexts		others = {other, 2};
	BwTexts		again = {twice, 2};
	BwNumberSet set = read_set(&texts, true);
	BwNumberSet shorter = read_set(&less, true);
	BwNumberSet different = read_set(&others, true);
	BwNumberSet doubled = read_set(&again, true);

	ok(!bw_numbers_equal(&set, &shorter), "one less is a difference");
	ok(!bw_numbers_equal(&set, &different), "so is another one");
	is_int(doubled.count, 2, "a number that is listed twice counts twice");
	ok(!bw_numbers_equal(&doubled, &shorter), "which is a difference, too");
	ok(!bw_numbers_equal(&doubled, &set), "as is the one that is missing");
	free(set.items);
	free(shorter.items);
	free(different.items);
	free(doubled.items);
}

static void
test_what_is_no_number(void)
{
	char	   *mixed[] = {"911", "9192000002", "", "9192000001", "none"};
	BwTexts		texts = {mixed, COUNT(mixed)};
	BwNumberSet set = read_set(&texts, false);

	is_int(set.count, 2, "only the numbers remain");
	ok(bw_numbers_have(&set, "9192000001") && bw_numbers_have(&set, "9192000002"),
	   "both of them");
	ok(bw_numbers_list_has(&texts, "9192000001"), "the list has one behind others");
	ok(!bw_numbers_have(&set, "911") && !bw_numbers_list_has(&texts, "911"),
	   "what is no number is not found");
	free(set.items);
}

static void
test_nothing(void)
{
	BwNumberSet set = read_set(&nothing, true);
	BwNumberSet same = read_set(&nothing, true);

	ok(!bw_numbers_have(&set, "9192000001"), "an empty set has no number");
	ok(!bw_numbers_list_has(&nothing, "9192000001"), "nor has an empty list");
	ok(bw_numbers_equal(&set, &same), "empty sets are equal");
	free(set.items);
	free(same.items);
}

int
main(void)
{
	test_spellings();
	test_differences();
	test_what_is_no_number();
	test_nothing();
	return done_testing();
}
