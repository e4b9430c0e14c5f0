/*-------------------------------------------------------------------------
 *
 * removal.h
 *	  A word to whom drops the extension.
 *
 * src/removal.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_REMOVAL_H
#define BW_REMOVAL_H

/* Called when the library is preloaded. */
extern void bw_removal_init(void);

#endif							/* BW_REMOVAL_H */
