/*
 * reservations.c
 *	  Reservations: a number is kept for the one who orders it by naming its
 *	  reservation, until that lapses.
 *
 * From Bandwidth's "Reserving numbers" and "Errors".
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

typedef struct Reservation
{
	char		id[40];
	char	   *account;
	Number		number;
	int64_t		expires_us;
	bool		ended;			/* lapsed, given back, or used */
} Reservation;

static Reservation *reservations;
static long reservation_count;

/* The index is in the id, so that no search is needed. */
static Reservation *
find_reservation(const char *id)
{
	char	   *end;
	long		index = strtol(id, &end, 16);

	if (*end != '-' || index < 0 || index >= reservation_count ||
		strcmp(reservations[index].id, id) != 0 || reservations[index].ended)
		return NULL;
	return &reservations[index];
}

static Reservation *
reservation_of(Number number)
{
	for (long i = 0; i < reservation_count; i++)
		if (reservations[i].number == number && !reservations[i].ended)
			return &reservations[i];
	return NULL;
}

bool
reservation_exists(const char *id)
{
	return find_reservation(id) != NULL;
}

bool
reservation_is_of(const char *id, Number number)
{
	const Reservation *reservation = find_reservation(id);

	return reservation != NULL && reservation->number == number;
}

/* An order for the number ended: with it, or in vain. */
void
reservation_ordered(Number number, bool bought)
{
	Reservation *reservation = reservation_of(number);

	if (bought && reservation != NULL)
		reservation->ended = true;
	else if (!bought)
		number_set(number, reservation ? NUMBER_RESERVED : NUMBER_AVAILABLE, -1);
}

static void
end_reservation(void *arg)
{
	Reservation *reservation = &reservations[(long) arg];

	if (reservation->ended)
		return;
	reservation->ended = true;
	if (number_state(reservation->number) == NUMBER_RESERVED)
		number_set(reservation->number, NUMBER_AVAILABLE, -1);
}

static Reservation *
new_reservation(const char *account, Number number)
{
	static uint64_t id_random = 1;
	Reservation *reservation;

	reservations = realloc(reservations, (size_t) (reservation_count + 1) * sizeof(Reservation));
	reservation = &reservations[reservation_count];
	memset(reservation, 0, sizeof(Reservation));
	snprintf(reservation->id, sizeof(reservation->id), "%08lx-%04x-4000-8000-%012llx",
			 (unsigned long) reservation_count, (unsigned) (random_unit(&id_random) * 65536),
			 (unsigned long long) (random_unit(&id_random) * 281474976710656.0));
	reservation->account = copy_string(account);
	reservation->number = number;
	reservation->expires_us = now_us() + config.reservation_s * 1000000;
	number_set(number, NUMBER_RESERVED, -1);
	timer_add(reservation->expires_us, end_reservation, (void *) reservation_count++);
	return reservation;
}

static void
refuse(Reply *reply, int status, const char *code, const char *text)
{
	reply_status(reply, status, "ReservationResponse", code, text);
}

static void
create_reservation(Request *request, Reply *reply)
{
	xmlDoc	   *doc = xml_read(request->body, request->body_len);
	xmlNode    *root = doc ? xmlDocGetRootElement(doc) : NULL;
	char	   *text = root ? xml_child_text(root, "ReservedTn") : NULL;
	const Reservation *reservation;
	Number		number;

	if (text == NULL)
		refuse(reply, 400, "5044", "The reservation object is invalid");
	else if (!number_parse(text, &number) || number_state(number) == NUMBER_UNKNOWN)
		refuse(reply, 400, "5040", "The telephone number is not found");
	else if (number_state(number) != NUMBER_AVAILABLE)
		refuse(reply, 400, "5041", "The telephone number is not available for reservation");
	else
	{
		reservation = new_reservation(request->parts[1], number);
		reply->status = 201;
		snprintf(reply->location, sizeof(reply->location),
				 "https://dashboard.bandwidth.com:443/v1.0/accounts/%s/TnReservation/%s",
				 request->parts[1], reservation->id);
	}
	free(text);
	xmlFreeDoc(doc);
}

static long
seconds_left(const Reservation *reservation)
{
	return (long) ((reservation->expires_us - now_us()) / 1000000);
}

static void
show_reservation(const Reservation *reservation, Reply *reply)
{
	text_add(&reply->body, "<ReservationResponse><Reservation>");
	text_element(&reply->body, "ReservationId", reservation->id);
	text_element(&reply->body, "AccountId", reservation->account);
	text_element_int(&reply->body, "ReservationExpires", seconds_left(reservation));
	text_element_int(&reply->body, "ReservedTn", (long) reservation->number);
	text_add(&reply->body, "</Reservation></ReservationResponse>");
}

/* .../tns/NUMBER/tnreservation, with capitals of its own */
void
number_reservation_answer(Number number, Reply *reply)
{
	const Reservation *reservation = reservation_of(number);

	if (reservation == NULL)
	{
		refuse(reply, 404, "5043", "The reservation is not found");
		return;
	}
	text_add(&reply->body, "<TNReservation>");
	text_element(&reply->body, "ReservationID", reservation->id);
	text_element(&reply->body, "Account", reservation->account);
	text_element_int(&reply->body, "ReservationExpires", seconds_left(reservation));
	text_element_int(&reply->body, "ReservedTN", (long) reservation->number);
	text_add(&reply->body, "</TNReservation>");
}

void
reservations_answer(Request *request, Reply *reply)
{
	Reservation *reservation;

	if (request->part_count == 3 && strcmp(request->method, "POST") == 0)
	{
		create_reservation(request, reply);
		return;
	}
	reservation = request->part_count == 4 ? find_reservation(request->parts[3]) : NULL;
	if (request->part_count != 4)
		reply->status = 405;
	else if (reservation == NULL)
		refuse(reply, 404, "5043", "The reservation is not found");
	else if (strcmp(reservation->account, request->parts[1]) != 0)
		refuse(reply, 404, "5042", "The reservation is not found for the account");
	else if (strcmp(request->method, "GET") == 0)
		show_reservation(reservation, reply);
	else if (strcmp(request->method, "DELETE") == 0)
		end_reservation((void *) (reservation - reservations));
	else
		reply->status = 405;
}

void
reservations_reset(void)
{
	for (long i = 0; i < reservation_count; i++)
		free(reservations[i].account);
	free(reservations);
	reservations = NULL;
	reservation_count = 0;
	timer_cancel(end_reservation, NULL);
}
