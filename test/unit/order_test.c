/*-------------------------------------------------------------------------
 *
 * order_test.c
 *	  The states of an order, and the moves between them.
 *
 * test/unit/order_test.c
 *-------------------------------------------------------------------------
 */
#include "order.h"
#include "tap.h"

/* Each state's name reads back as that state, and nothing else does. */
static void
test_names(void)
{
	BwOrderStatus parsed;

	for (int i = 0; i < BW_ORDER_STATUS_COUNT; i++)
	{
		const char *name = bw_order_status_name((BwOrderStatus) i);

		ok(bw_order_status_parse(name, &parsed) && (int) parsed == i,
		   "%s reads back", name);
	}
	ok(!bw_order_status_parse("NONSENSE", &parsed), "a stranger is refused");
	ok(!bw_order_status_parse("", &parsed), "so is nothing at all");
}

static void
test_kinds(void)
{
	for (int i = 0; i < BW_ORDER_KIND_COUNT; i++)
	{
		const char *name = bw_order_kind_name((BwOrderKind) i);

		ok((int) bw_order_kind_parse(name) == i, "%s reads back", name);
	}
	ok(bw_order_kind_parse("explicit") == BW_KIND_ORDER,
	   "so do the kinds of requests that order");
}

/* Final is final: from there no move leads anywhere. */
static void
test_final(void)
{
	for (int from = 0; from < BW_ORDER_STATUS_COUNT; from++)
	{
		int			ways_out = 0;

		for (int to = 0; to < BW_ORDER_STATUS_COUNT; to++)
			ways_out += bw_order_may_move((BwOrderStatus) from,
										  (BwOrderStatus) to);
		ok(bw_order_is_final((BwOrderStatus) from) == (ways_out == 0),
		   "%s %s", bw_order_status_name((BwOrderStatus) from),
		   ways_out == 0 ? "is the end" : "has a way out");
	}
	ok(!bw_order_may_move(BW_ORDER_UNKNOWN, BW_ORDER_QUEUED),
	   "an order of unknown outcome is never queued again");
}

int
main(void)
{
	test_names();
	test_kinds();
	test_final();
	return done_testing();
}
