/*-------------------------------------------------------------------------
 *
 * port.h
 *	  The port on which this database's callbacks arrive: open as the
 *	  settings want it, with the certificate that they name.
 *
 * src/port.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_PORT_H
#define BW_PORT_H

#include "bandwidth.h"

#include "work.h"

/*
 * Open or close the port if that is due; "reloaded" says that settings may have
 * changed.  True: work->listener is another one than before, or gone.
 */
extern bool bw_port_keep(BwWork *work, bool reloaded);

/* Let callbacks in, and log what the listener has to say. */
extern void bw_port_run(BwWork *work);

/*
 * The certificate that callers are shown, as a subscription's PublicKey: PEM,
 * base64 once more, palloc'd.  NULL: there is none.
 */
extern char *bw_port_public_key(const BwWork *work);

#endif							/* BW_PORT_H */
