/*-------------------------------------------------------------------------
 *
 * version.h
 *	  Which of two versions of the SQL script is newer.
 *
 * src/version.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_VERSION_H
#define BW_VERSION_H

#include <stdbool.h>

/*
 * Numbers count, part by part: "1.10" is newer than "1.9".  What goes on after
 * the other one has ended is newer, whatever it says: "1.0.next" than "1.0".
 */
extern bool bw_version_is_newer(const char *version, const char *than);

#endif							/* BW_VERSION_H */
