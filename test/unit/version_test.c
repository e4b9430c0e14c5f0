/*-------------------------------------------------------------------------
 *
 * version_test.c
 *	  Of two versions of the SQL script, at most one is newer.
 *
 * test/unit/version_test.c
 *-------------------------------------------------------------------------
 */
#include "tap.h"
#include "version.h"

int
main(void)
{
	/* From old to new. */
	static const char *const versions[] = {
		"", "0.9", "0.10", "1.0", "1.0.1", "1.0.next", "1.1", "1.9", "1.10",
		"2", "2.0", "10.0"
	};
	int			count = sizeof(versions) / sizeof(versions[0]);

	for (int i = 0; i < count; i++)
		for (int j = 0; j < count; j++)
			ok(bw_version_is_newer(versions[i], versions[j]) == (i > j),
			   "\"%s\" is%s newer than \"%s\"", versions[i], i > j ? "" : " not",
			   versions[j]);
	return done_testing();
}
