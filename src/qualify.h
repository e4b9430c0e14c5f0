/*-------------------------------------------------------------------------
 *
 * qualify.h
 *	  The names of our own tables and functions in a statement, with a schema.
 *
 * src/qualify.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_QUALIFY_H
#define BW_QUALIFY_H

/*
 * The statement, with the schema's name before each word that begins with
 * "bw_", and in each literal that is the name of one of our sequences: 'bw_..._seq'.
 * Other literals stay as they are.
 */
extern char *bw_qualify(const char *statement, const char *schema);

#endif							/* BW_QUALIFY_H */
