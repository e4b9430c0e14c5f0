/*-------------------------------------------------------------------------
 *
 * version.c
 *	  Which of two versions of the SQL script is newer.
 *
 * src/version.c
 *-------------------------------------------------------------------------
 */
#include "version.h"

#include <stdlib.h>
#include <string.h>

/* Does a part of a version begin with a number? */
static bool
is_number(const char *part)
{
	return *part >= '0' && *part <= '9';
}

bool
bw_version_is_newer(const char *version, const char *than)
{
	while (*version != '\0' && *than != '\0')
	{
		if (is_number(version) && is_number(than))
		{
			char	   *rest;
			char	   *other_rest;
			long		number = strtol(version, &rest, 10);
			long		other = strtol(than, &other_rest, 10);

			if (number != other)
				return number > other;
			version = rest;
			than = other_rest;
		}
		else if (*version != *than)
			return *version > *than;
		else
		{
			version++;
			than++;
		}
	}
	return *version != '\0';
}
