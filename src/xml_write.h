/*-------------------------------------------------------------------------
 *
 * xml_write.h
 *	  Writes the XML of Bandwidth's phone number API, version 1.
 *
 * Plain C without postgres.h; nothing here throws.  Results are malloc'd,
 * NUL-terminated, UTF-8 with a prolog; NULL: out of memory, or text that XML
 * cannot hold (control characters).
 *
 * src/xml_write.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_XML_WRITE_H
#define BW_XML_WRITE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct BwOrderBody
{
	const char *customer_order_id;
	const char *name;
	const char *site_id;
	const char *peer_id;		/* NULL: left out */
	bool		partial_allowed;
	bool		back_order_requested;
	/* explicit numbers ... */
	const char *const *numbers;
	int			number_count;	/* 0: by criteria */
	const char *const *reservation_ids;
	int			reservation_count;
	/* ... or criteria; NULL: left out */
	int			quantity;
	int			enable_lca;		/* -1: the type has none */
	const char *type;			/* "AreaCodeSearchAndOrderType", ... */
	const char *area_code;
	const char *npanxx;
	const char *npanxxx;
	const char *rate_center;
	const char *city;
	const char *state;
	const char *zip;
	const char *lata;
	const char *toll_free_vanity;
	const char *toll_free_wildcard_pattern;
	const char *local_vanity;
	int			ends_in;		/* -1: left out */
} BwOrderBody;

extern char *bw_xml_encode_order(const BwOrderBody *body);

/* PUT /orders/{id} with CloseOrder; name and id may be NULL. */
extern char *bw_xml_encode_close(const char *name, const char *customer_order_id);

typedef struct BwDisconnectBody
{
	const char *customer_order_id;
	const char *const *numbers;
	int			number_count;
} BwDisconnectBody;

/* DisconnectMode normal, Protected UNCHANGED: always sent. */
extern char *bw_xml_encode_disconnect(const BwDisconnectBody *body);

typedef struct BwSubscriptionBody
{
	const char *order_type;		/* or NULL with event_type */
	const char *event_type;
	const char *order_id;		/* NULL: the whole account */
	/* callback ... */
	const char *url;
	int64_t		expiry;			/* seconds, beyond 32 bits */
	const char *username;		/* NULL: no credentials */
	const char *password;
	const char *public_key;		/* PEM, base64 once more; NULL: none */
	const char *number_format;	/* LEGACY, E164 or NULL */
	/* ... or email */
	const char *email;
	const char *digest;			/* NONE, DAILY */
} BwSubscriptionBody;

extern char *bw_xml_encode_subscription(const BwSubscriptionBody *body);

extern char *bw_xml_encode_reservation(const char *telephone_number);

#endif							/* BW_XML_WRITE_H */
