/*
 * inventory.c
 *	  Telephone numbers: whole NPA-NXX blocks by rule, and a hash table of
 *	  those whose state was ever changed.
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

const char *const number_state_names[] = {
	"unknown", "available", "reserved", "in_flight", "ours", "sold",
	"spoilt", "spoilt_named", "aging"
};

/* In search order; the guide's places first. */
static const Block blocks[] = {
	{540, 551, 551, "WASHINGTON", "VA", "WASHINGTON", "236", "22747", 0, 1},
	{540, 227, 227, "WASHINGTON", "VA", "WASHINGTON", "236", "22747", 0, 1},
	{540, 675, 675, "FLINT HILL", "VA", "WASHINGTON", "236", "22627", 1, 1},
	{919, 200, 299, "RALEIGH", "NC", "RALEIGH", "426", "27601", 0, 2},
	{919, 300, 301, "KNIGHTDALE", "NC", "KNIGHTDALE", "426", "27545", 1, 2},
	{984, 200, 204, "RALEIGH", "NC", "RALEIGH", "426", "27603", 2, 2},
	{212, 200, 201, "NEW YORK", "NY", "NWYRCYZN01", "132", "10001", 3, 3},
	{800, 200, 200, NULL, NULL, NULL, NULL, NULL, 0, 0},
	{833, 200, 200, NULL, NULL, NULL, NULL, NULL, 0, 0},
	{877, 200, 200, NULL, NULL, NULL, NULL, NULL, 0, 0}
};

/* A search of the guide lists these, in this order, before all others. */
static const Number first_numbers[] = {
	UINT64_C(5405514342), UINT64_C(5405515330), UINT64_C(5405515329),
	UINT64_C(5402278098), UINT64_C(5402270905), UINT64_C(5402278089),
	UINT64_C(5402278090)
};

static const Block knightdale = {919, 295, 295, "KNIGHTDALE", "NC", "KNIGHTDALE", "426", "27545", 0, 2};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Slot
{
	Number		number;			/* 0: free */
	NumberState state;
	long		order;
	long		bought;
} Slot;

static Slot *slots;
static size_t slot_room;
static size_t slot_count;

static Slot *
find_slot(Number number)
{
	size_t		i;

	if (slot_room == 0)
		return NULL;
	for (i = (number * UINT64_C(11400714819323198485)) >> 20 & (slot_room - 1);
		 slots[i].number != 0; i = (i + 1) & (slot_room - 1))
		if (slots[i].number == number)
			return &slots[i];
	return &slots[i];
}

static Slot *
make_slot(Number number)
{
	Slot	   *slot;

	if (slot_count * 2 >= slot_room)
	{
		Slot	   *old = slots;
		size_t		old_room = slot_room;

		slot_room = slot_room ? slot_room * 2 : 4096;
		slots = calloc(slot_room, sizeof(Slot));
		for (size_t i = 0; i < old_room; i++)
			if (old[i].number != 0)
				*find_slot(old[i].number) = old[i];
		free(old);
	}
	slot = find_slot(number);
	if (slot->number == 0)
	{
		slot->number = number;
		slot->state = NUMBER_AVAILABLE;
		slot->order = -1;
		slot_count++;
	}
	return slot;
}

bool
is_toll_free(Number number)
{
	int			npa = (int) (number / 10000000);

	return npa == 800 || npa == 833 || npa == 844 || npa == 855 || npa == 866 ||
		npa == 877 || npa == 888;
}

const Block *
block_of(Number number)
{
	int			npa = (int) (number / 10000000);
	int			nxx = (int) (number / 10000 % 1000);

	if (npa == 919 && nxx == 295)
		return &knightdale;
	for (size_t i = 0; i < COUNT(blocks); i++)
		if (blocks[i].npa == npa && nxx >= blocks[i].first_nxx && nxx <= blocks[i].last_nxx)
			return &blocks[i];
	return NULL;
}

NumberState
number_state(Number number)
{
	Slot	   *slot = find_slot(number);

	if (slot != NULL && slot->number == number)
		return slot->state;
	return block_of(number) != NULL || config.open_inventory ? NUMBER_AVAILABLE : NUMBER_UNKNOWN;
}

void
number_set(Number number, NumberState state, long order)
{
	Slot	   *slot = make_slot(number);

	slot->state = state;
	slot->order = order;
	if (state == NUMBER_OURS)
		slot->bought++;
}

long
number_order(Number number)
{
	Slot	   *slot = find_slot(number);

	return slot != NULL && slot->number == number ? slot->order : -1;
}

long
number_times_bought(Number number)
{
	Slot	   *slot = find_slot(number);

	return slot != NULL && slot->number == number ? slot->bought : 0;
}

bool
number_parse(const char *text, Number *number)
{
	size_t		len;

	if (text == NULL)
		return false;
	if (strncmp(text, "+1", 2) == 0)
		text += 2;
	len = strlen(text);
	if (len != 10 || strspn(text, "0123456789") != 10 || text[0] < '2' || text[3] < '2')
		return false;
	*number = strtoull(text, NULL, 10);
	return true;
}

static bool
is_first(Number number)
{
	for (size_t i = 0; i < COUNT(first_numbers); i++)
		if (first_numbers[i] == number)
			return true;
	return false;
}

long
inventory_find(NumberFilter filter, void *arg, long limit, Number *found)
{
	long		count = 0;

	for (size_t i = 0; i < COUNT(first_numbers) && count < limit; i++)
		if (number_state(first_numbers[i]) == NUMBER_AVAILABLE &&
			filter(block_of(first_numbers[i]), first_numbers[i], arg))
			found[count++] = first_numbers[i];
	for (size_t i = 0; i < COUNT(blocks) && count < limit; i++)
	{
		Number		first = (Number) blocks[i].npa * 10000000 + (Number) blocks[i].first_nxx * 10000;
		Number		last = (Number) blocks[i].npa * 10000000 + (Number) blocks[i].last_nxx * 10000 + 9999;

		for (Number n = first; n <= last && count < limit; n++)
		{
			/* A block that does not match at all is skipped quickly. */
			if (!is_first(n) && filter(block_of(n), n, arg) &&
				number_state(n) == NUMBER_AVAILABLE)
				found[count++] = n;
		}
	}
	return count;
}

static int
compare_numbers(const void *a, const void *b)
{
	Number		x = *(const Number *) a;
	Number		y = *(const Number *) b;

	return x < y ? -1 : x > y;
}

void
inventory_each_ours(NumberVisitor visitor, void *arg)
{
	Number	   *ours = malloc((slot_count + 1) * sizeof(Number));
	size_t		count = 0;

	for (size_t i = 0; i < slot_room; i++)
		if (slots[i].number != 0 && slots[i].state == NUMBER_OURS)
			ours[count++] = slots[i].number;
	qsort(ours, count, sizeof(Number), compare_numbers);
	for (size_t i = 0; i < count; i++)
		visitor(ours[i], arg);
	free(ours);
}

/* How many of an exchange are available. */
long
inventory_stock(int npa, int nxx)
{
	Number		first = (Number) npa * 10000000 + (Number) nxx * 10000;
	long		count = 0;

	for (Number n = first; n < first + 10000; n++)
		count += number_state(n) == NUMBER_AVAILABLE;
	return count;
}

void
inventory_reset(void)
{
	free(slots);
	slots = NULL;
	slot_room = slot_count = 0;
}
