/*-------------------------------------------------------------------------
 *
 * xml_write.c
 *	  Writes the XML of Bandwidth's phone number API, version 1.
 *
 * src/xml_write.c
 *-------------------------------------------------------------------------
 */
#include "xml_write.h"

#include <stddef.h>

#include "xml.h"

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define IN_BODY(member) offsetof(BwOrderBody, member)

/* "Order types": the texts among the criteria. */
static const struct
{
	const char *name;
	size_t		offset;
}			criteria[] = {
	{"AreaCode", IN_BODY(area_code)},
	{"NpaNxx", IN_BODY(npanxx)},
	{"NpaNxxX", IN_BODY(npanxxx)},
	{"RateCenter", IN_BODY(rate_center)},
	{"City", IN_BODY(city)},
	{"State", IN_BODY(state)},
	{"Zip", IN_BODY(zip)},
	{"LATA", IN_BODY(lata)},
	{"TollFreeVanity", IN_BODY(toll_free_vanity)},
	{"TollFreeWildCardPattern", IN_BODY(toll_free_wildcard_pattern)},
	{"LocalVanity", IN_BODY(local_vanity)}
};

static void write_numbers(BwWriter *writer, const BwOrderBody *body);
static void write_criteria(BwWriter *writer, const BwOrderBody *body);
static void write_callback(BwWriter *writer, const BwSubscriptionBody *body);

/* Either the numbers or the criteria are written; neither is a failure. */
char *
bw_xml_encode_order(const BwOrderBody *body)
{
	BwWriter	writer;

	bw_writer_begin(&writer, "Order");
	bw_writer_text(&writer, "CustomerOrderId", body->customer_order_id);
	bw_writer_text(&writer, "Name", body->name);
	if (body->number_count > 0)
		write_numbers(&writer, body);
	else
		write_criteria(&writer, body);
	bw_writer_flag(&writer, "PartialAllowed", body->partial_allowed);
	bw_writer_flag(&writer, "BackOrderRequested", body->back_order_requested);
	bw_writer_text(&writer, "SiteId", body->site_id);
	bw_writer_text(&writer, "PeerId", body->peer_id);
	return bw_writer_end(&writer);
}

static void
write_numbers(BwWriter *writer, const BwOrderBody *body)
{
	bw_writer_open(writer, "ExistingTelephoneNumberOrderType");
	bw_writer_list(writer, "TelephoneNumberList", "TelephoneNumber",
				   body->numbers, body->number_count);
	if (body->reservation_count > 0)
		bw_writer_list(writer, "ReservationIdList", "ReservationId",
					   body->reservation_ids, body->reservation_count);
	bw_writer_close(writer);
}

static void
write_criteria(BwWriter *writer, const BwOrderBody *body)
{
	bw_writer_open(writer, body->type);
	for (int i = 0; i < COUNT(criteria); i++)
		bw_writer_text(writer, criteria[i].name,
					   *(const char *const *) ((const char *) body + criteria[i].offset));
	if (body->ends_in >= 0)
		bw_writer_flag(writer, "EndsIn", body->ends_in != 0);
	if (body->enable_lca >= 0)
		bw_writer_flag(writer, "EnableLCA", body->enable_lca != 0);
	if (body->quantity > 0)
		bw_writer_number(writer, "Quantity", body->quantity);
	bw_writer_close(writer);
}

char *
bw_xml_encode_close(const char *name, const char *customer_order_id)
{
	BwWriter	writer;

	bw_writer_begin(&writer, "Order");
	bw_writer_text(&writer, "Name", name);
	bw_writer_text(&writer, "CustomerOrderId", customer_order_id);
	bw_writer_flag(&writer, "CloseOrder", true);
	return bw_writer_end(&writer);
}

char *
bw_xml_encode_disconnect(const BwDisconnectBody *body)
{
	BwWriter	writer;

	bw_writer_begin(&writer, "DisconnectTelephoneNumberOrder");
	bw_writer_text(&writer, "CustomerOrderId", body->customer_order_id);
	bw_writer_open(&writer, "DisconnectTelephoneNumberOrderType");
	bw_writer_list(&writer, "TelephoneNumberList", "TelephoneNumber",
				   body->numbers, body->number_count);
	bw_writer_text(&writer, "DisconnectMode", "normal");
	bw_writer_text(&writer, "Protected", "UNCHANGED");
	bw_writer_close(&writer);
	return bw_writer_end(&writer);
}

char *
bw_xml_encode_subscription(const BwSubscriptionBody *body)
{
	BwWriter	writer;

	bw_writer_begin(&writer, "Subscription");
	bw_writer_text(&writer, "OrderType", body->order_type);
	bw_writer_text(&writer, "EventType", body->event_type);
	bw_writer_text(&writer, "OrderId", body->order_id);
	if (body->url != NULL)
		write_callback(&writer, body);
	if (body->email != NULL)
	{
		bw_writer_open(&writer, "EmailSubscription");
		bw_writer_text(&writer, "Email", body->email);
		bw_writer_text(&writer, "DigestRequested", body->digest);
		bw_writer_close(&writer);
	}
	return bw_writer_end(&writer);
}

static void
write_callback(BwWriter *writer, const BwSubscriptionBody *body)
{
	bw_writer_open(writer, "CallbackSubscription");
	bw_writer_text(writer, "URL", body->url);
	bw_writer_number(writer, "Expiry", body->expiry);
	if (body->username != NULL || body->public_key != NULL)
	{
		bw_writer_open(writer, "CallbackCredentials");
		if (body->username != NULL)
		{
			bw_writer_open(writer, "BasicAuthentication");
			bw_writer_text(writer, "Username", body->username);
			bw_writer_text(writer, "Password", body->password);
			bw_writer_close(writer);
		}
		bw_writer_text(writer, "PublicKey", body->public_key);
		bw_writer_close(writer);
	}
	bw_writer_text(writer, "NumberFormat", body->number_format);
	bw_writer_close(writer);
}

char *
bw_xml_encode_reservation(const char *telephone_number)
{
	BwWriter	writer;

	bw_writer_begin(&writer, "Reservation");
	bw_writer_text(&writer, "ReservedTn", telephone_number);
	return bw_writer_end(&writer);
}
