/*
 * api.c
 *	  Which resource answers a request, who may ask, and the faults around it.
 */
#include "sandbox.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const char *const class_names[CLASS_COUNT] = {
	"ORDER", "SEARCH", "DISCONNECT", "SUBSCRIPTION", "HISTORY",
	"INSERVICE_NPANXX", "AVAILABLE_NPANXX", "COVERED_RATECENTERS", "MOVE_TNS",
	"RESERVATION", "TOKEN", "CALLBACK", "OTHER"
};

/* Tokens that were handed out: "sandbox-token-<expiry in us>-<n>". */
static long tokens_issued;

static int
hex_value(char c)
{
	return isdigit((unsigned char) c) ? c - '0' : tolower((unsigned char) c) - 'a' + 10;
}

static char *
decode_component(const char *text, size_t len)
{
	char	   *out = malloc(len + 1);
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '%' && i + 2 < len + 0 && isxdigit((unsigned char) text[i + 1]) &&
			isxdigit((unsigned char) text[i + 2]))
		{
			out[n++] = (char) (hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
			i += 2;
		}
		else
			out[n++] = text[i] == '+' ? ' ' : text[i];
	}
	out[n] = '\0';
	return out;
}

static char *
find_parameter(const char *form, const char *name)
{
	size_t		name_len = strlen(name);

	for (const char *p = form; *p != '\0';)
	{
		size_t		len = strcspn(p, "&");

		if (len > name_len && p[name_len] == '=' && strncasecmp(p, name, name_len) == 0)
			return decode_component(p + name_len + 1, len - name_len - 1);
		p += len;
		if (*p == '&')
			p++;
	}
	return NULL;
}

char *
parameter(const Request *request, const char *name)
{
	char	   *value = find_parameter(request->query, name);

	if (value == NULL && request->body_len > 0 && request->body[0] != '<')
		value = find_parameter(request->body, name);
	return value;
}

long
parameter_int(const Request *request, const char *name, long otherwise)
{
	char	   *text = parameter(request, name);
	long		value = text ? strtol(text, NULL, 10) : otherwise;

	free(text);
	return value;
}

void
reply_error(Reply *reply, int status, const char *root, const char *code,
			const char *text)
{
	reply->status = status;
	text_add(&reply->body, "<%s><ErrorList><Error>", root);
	text_element(&reply->body, "Code", code);
	text_element(&reply->body, "Description", text);
	text_add(&reply->body, "</Error></ErrorList></%s>", root);
}

void
reply_status(Reply *reply, int status, const char *root, const char *code,
			 const char *text)
{
	reply->status = status;
	text_add(&reply->body, "<%s><ResponseStatus>", root);
	text_element(&reply->body, "ErrorCode", code);
	text_element(&reply->body, "Description", text);
	text_add(&reply->body, "</ResponseStatus></%s>", root);
}

/* --- credentials --- */

static char *
decode_basic(const char *authorization)
{
	static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = authorization + 6;
	char	   *out = malloc(strlen(p) + 1);
	unsigned	bits = 0;
	int			have = 0;
	size_t		n = 0;

	for (; *p != '\0' && *p != '='; p++)
	{
		const char *at = strchr(alphabet, *p);

		if (at == NULL)
			break;
		bits = bits << 6 | (unsigned) (at - alphabet);
		have += 6;
		if (have >= 8)
		{
			have -= 8;
			out[n++] = (char) (bits >> have & 0xFF);
		}
	}
	out[n] = '\0';
	return out;
}

static bool
basic_is(const Request *request, const char *user, const char *secret)
{
	char		expected[300];
	char	   *given;
	bool		same;

	if (request->authorization == NULL ||
		strncasecmp(request->authorization, "Basic ", 6) != 0)
		return false;
	given = decode_basic(request->authorization);
	snprintf(expected, sizeof(expected), "%s:%s", user, secret);
	same = strcmp(given, expected) == 0;
	free(given);
	return same;
}

static bool
authorized(const Request *request)
{
	const char *a = request->authorization;

	if (a != NULL && strncasecmp(a, "Bearer sandbox-token-", 21) == 0)
		return strtoll(a + 21, NULL, 10) > now_us();
	if (options.username == NULL && options.client_id == NULL)
		return a == NULL || strncasecmp(a, "Bearer ", 7) != 0;
	return options.username != NULL && basic_is(request, options.username, options.password);
}

/* "Account credentials": client credentials grant. */
static void
token_answer(Request *request, Reply *reply)
{
	bool		known = options.client_id == NULL
	? options.username == NULL && request->authorization != NULL
	: basic_is(request, options.client_id, options.client_secret);
	char	   *grant = parameter(request, "grant_type");

	reply->content_type = "application/json";
	if (!known || strcmp(request->method, "POST") != 0)
	{
		reply->status = 401;
		text_add(&reply->body, "{\"error\":\"invalid_client\"}");
	}
	else if (grant == NULL || strcmp(grant, "client_credentials") != 0)
	{
		reply->status = 400;
		text_add(&reply->body, "{\"error\":\"unsupported_grant_type\"}");
	}
	else
		text_add(&reply->body,
				 "{\"access_token\":\"sandbox-token-%lld-%ld\",\"token_type\":\"Bearer\",\"expires_in\":%ld}",
				 (long long) (now_us() + config.token_expires_in * 1000000),
				 ++tokens_issued, config.token_expires_in);
	free(grant);
}

/* --- dispatch --- */

static bool
is(const Request *request, int part, const char *name)
{
	return part >= 0 && part < request->part_count && strcasecmp(request->parts[part], name) == 0;
}

static const char *
without_prefix(const char *path)
{
	static const char *const prefixes[] = {"/api/v1.0/", "/api/v1/", "/api/", "/v1.0/"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
			return path + strlen(prefixes[i]);
	return NULL;
}

static void
split_path(Request *request, const char *rest)
{
	while (*rest != '\0' && request->part_count < MAX_PARTS)
	{
		size_t		len = strcspn(rest, "/");

		if (len > 0)
			request->parts[request->part_count++] = decode_component(rest, len);
		rest += len;
		if (*rest == '/')
			rest++;
	}
}

static Class
classify_order(const Request *request)
{
	if (strcmp(request->method, "GET") == 0)
		return CLASS_HISTORY;
	return is(request, 4, "notes") ? CLASS_OTHER : CLASS_ORDER;
}

/* Calls that share a limit: Bandwidth's "Rate limits" page. */
static Class
classify(const Request *request)
{
	static const struct
	{
		const char *resource;
		Class		class;
	}			classes[] = {
		{"availableNumbers", CLASS_SEARCH},
		{"subscriptions", CLASS_SUBSCRIPTION},
		{"inserviceNumbers", CLASS_INSERVICE_NPANXX},
		{"availableNpaNxx", CLASS_AVAILABLE_NPANXX},
		{"tnreservation", CLASS_RESERVATION}
	};

	if (is(request, 0, "oauth2"))
		return CLASS_TOKEN;
	if (is(request, 0, "tns"))
		return CLASS_HISTORY;
	if (is(request, 0, "cities") || is(request, 0, "rateCenters"))
		return CLASS_SEARCH;
	if (is(request, 0, "coveredRateCenters"))
		return CLASS_COVERED_RATECENTERS;
	if (is(request, request->part_count - 1, "movetns"))
		return CLASS_MOVE_TNS;
	if (is(request, 2, "sites") && is(request, 4, "inserviceNumbers"))
		return CLASS_INSERVICE_NPANXX;
	if (is(request, 2, "orders"))
		return classify_order(request);
	if (is(request, 2, "disconnects"))
		return strcmp(request->method, "GET") == 0 ? CLASS_HISTORY : CLASS_DISCONNECT;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (is(request, 2, classes[i].resource))
			return classes[i].class;
	return CLASS_OTHER;
}

static void
sites_answer(Request *request, Reply *reply)
{
	if (request->part_count == 3)
	{
		text_add(&reply->body, "<SitesResponse><Sites>"
				 "<Site><Id>743</Id><Name>Main</Name><Description/></Site>"
				 "<Site><Id>13606</Id><Name>Second</Name><Description>the guide's</Description></Site>"
				 "</Sites></SitesResponse>");
		return;
	}
	if (!is(request, 3, "743") && !is(request, 3, "13606"))
		reply_status(reply, 404, "SiteResponse", "12016", "Site is not found");
	else if (is(request, 4, "inserviceNumbers"))
		inservice_answer(request, request->parts[3], reply);
	else if (is(request, 4, "sippeers"))
		text_add(&reply->body, "<TNSipPeersResponse><SipPeers>"
				 "<SipPeer><PeerId>546348</PeerId><PeerName>Default</PeerName><Description/><IsDefaultPeer>true</IsDefaultPeer></SipPeer>"
				 "<SipPeer><PeerId>546349</PeerId><PeerName>Other</PeerName><Description/><IsDefaultPeer>false</IsDefaultPeer></SipPeer>"
				 "</SipPeers></TNSipPeersResponse>");
	else
		text_add(&reply->body, "<SiteResponse><Site><Id>%s</Id><Name>Main</Name></Site></SiteResponse>",
				 request->parts[3]);
}

static void
dispatch(Request *request, Reply *reply)
{
	if (is(request, 0, "tns"))
		tns_answer(request, reply);
	else if (!is(request, 0, "accounts") || request->part_count < 3)
		reply->status = 404;
	else if (options.account != NULL && strcmp(options.account, request->parts[1]) != 0)
		reply_error(reply, 404, "OrderResponse", "5000", "The account is invalid");
	else if (is(request, 2, "availableNumbers") || is(request, 2, "availableNpaNxx"))
		search_answer(request, reply);
	else if (is(request, 2, "orders"))
		orders_answer(request, reply);
	else if (is(request, 2, "disconnects"))
		disconnects_answer(request, reply);
	else if (is(request, 2, "subscriptions"))
		subscriptions_answer(request, reply);
	else if (is(request, 2, "inserviceNumbers"))
		inservice_answer(request, NULL, reply);
	else if (is(request, 2, "tnreservation"))
		reservations_answer(request, reply);
	else if (is(request, 2, "sites"))
		sites_answer(request, reply);
	else
		reply->status = 404;
}

static int
fault_status(const Fault *fault, int otherwise)
{
	return fault->status > 0 ? (int) fault->status : otherwise;
}

static void
time_out(Reply *reply)
{
	reply_error(reply, 400, "OrderResponse", "5086",
				"The order request timed out, please resubmit");
}

/*
 * To where the fault's text says; a list without page to its first page, as
 * Bandwidth does; everything else to another place, where nobody listens.
 */
static void
redirect(const Request *request, const Fault *fault, Reply *reply)
{
	char	   *page = parameter(request, "page");
	bool		unpaged = strcmp(request->method, "GET") == 0 && page == NULL;

	reply->status = fault_status(fault, 303);
	if (fault->text[0] != '\0')
		snprintf(reply->location, sizeof(reply->location), "%s", fault->text);
	else if (unpaged)
		snprintf(reply->location, sizeof(reply->location), "http://%s%s?%s%spage=1&size=300",
				 request->host ? request->host : "127.0.0.1", request->path,
				 request->query, request->query[0] ? "&" : "");
	else
		snprintf(reply->location, sizeof(reply->location), "http://127.0.0.1:1/elsewhere");
	free(page);
}

static void
answer_status(const Fault *fault, Reply *reply)
{
	reply->status = fault_status(fault, 500);
	if (fault_is(fault, "html"))
	{
		reply->content_type = "text/html";
		if (fault->text[0] != '\0')
			text_add(&reply->body, "%s", fault->text);
		else
			text_add(&reply->body, "<html><body>proxy says %d<br></body></html>", reply->status);
	}
	else if (fault->code[0] != '\0')
	{
		text_free(&reply->body);
		reply_error(reply, reply->status, "OrderResponse", fault->code, fault->text);
	}
}

/* Faults that come instead of the execution; false: none did. */
static bool
fault_before(const Request *request, const Fault *fault, Reply *reply)
{
	if (fault_is(fault, "status") || fault_is(fault, "html"))
		answer_status(fault, reply);
	else if (fault_is(fault, "unauthorized"))
		reply->status = 401;
	else if (fault_is(fault, "refuse"))
		reply_error(reply, fault_status(fault, 400), "OrderResponse", fault->code, fault->text);
	else if (fault_is(fault, "code_5086") && !fault->stored)
		time_out(reply);
	else if (fault_is(fault, "reset_before"))
		reply->fate = FATE_RESET;
	else if (fault_is(fault, "hang"))
		reply->fate = FATE_HANG;
	else if (fault_is(fault, "rate_limit"))
	{
		reply->status = 429;
		if (fault->retry_after_s >= 0)
			reply->rate_limit_reset = (long) time(NULL) + fault->retry_after_s;
	}
	else if (fault_is(fault, "redirect") && !fault->stored)
		redirect(request, fault, reply);
	else
		return false;
	return true;
}

static void
make_oversize(Text *body, size_t bytes)
{
	char		spaces[4096];

	memset(spaces, ' ', sizeof(spaces));
	while (body->len < bytes)
		text_add_bytes(body, spaces, sizeof(spaces));
}

static void
lose_echo(const Fault *fault, Reply *reply)
{
	char	   *edited = xml_edit(reply->body.data ? reply->body.data : "", reply->body.len,
								  fault->text);

	if (edited == NULL)
		return;
	text_free(&reply->body);
	text_add(&reply->body, "%s", edited);
	free(edited);
}

/* Faults that replace the reply to a request that was executed. */
static void
replace_reply(const Request *request, const Fault *fault, Reply *reply)
{
	text_free(&reply->body);
	reply->location[0] = '\0';
	if (fault_is(fault, "code_5086"))
		time_out(reply);
	else if (fault_is(fault, "redirect"))
		redirect(request, fault, reply);
	else
		answer_status(fault, reply);
}

static void
fault_after(const Request *request, const Fault *fault, Reply *reply)
{
	if (fault_is(fault, "drop_reply"))
		reply->fate = FATE_CLOSE;
	else if (fault_is(fault, "reset_after"))
		reply->fate = FATE_RESET;
	else if (fault_is(fault, "hang_after"))
		reply->fate = FATE_HANG;
	else if (fault_is(fault, "status_after") || fault_is(fault, "code_5086") ||
			 fault_is(fault, "redirect"))
		replace_reply(request, fault, reply);
	else if (fault_is(fault, "malformed") && reply->body.len > 1)
	{
		reply->body.len /= 2;
		reply->location[0] = '\0';
	}
	else if (fault_is(fault, "oversize"))
	{
		make_oversize(&reply->body, (size_t) fault->bytes);
		reply->location[0] = '\0';
	}
	else if (fault_is(fault, "drip"))
		reply->drip = true;
	else if (fault_is(fault, "lost_echo") && !fault->stored)
		lose_echo(fault, reply);
}

/* Within the limit, known, and then whatever the resource says. */
static void
execute(Request *request, Reply *reply)
{
	const Fault *fault = request->fault;
	const char *body = request->body;
	char	   *edited = NULL;
	long		reset;

	if (config.enforce_limits && !limit_allows(request, &reset))
	{
		reply->status = 429;
		reply->rate_limit_reset = reset;
		return;
	}
	/* What is lost on the way in is not in the echo either. */
	if (fault != NULL && fault_is(fault, "lost_echo") && fault->stored)
		edited = xml_edit(request->body, request->body_len, fault->text);
	if (edited != NULL)
	{
		request->body = edited;
		request->body_len = strlen(edited);
	}
	if (request->class == CLASS_TOKEN)
		token_answer(request, reply);
	else if (request->part_count == 0)
		reply->status = without_prefix(request->path) ? 200 : 404;
	else if (!authorized(request))
		reply->status = 401;
	else
		dispatch(request, reply);
	if (edited != NULL)
	{
		request->body = body;
		request->body_len = strlen(body);
	}
	free(edited);
}

void
api_answer(Request *request, Reply *reply)
{
	int64_t		at_us = now_us();
	const char *rest = without_prefix(request->path);
	const Fault *fault;

	/* Nothing is served outside the prefixes, but the journal notes it. */
	split_path(request, rest ? rest : "");
	request->class = classify(request);
	request->fault = fault = fault_for(request);
	if (fault != NULL && !fault_is(fault, "list_lag"))
		reply->delay_ms = fault->delay_ms;
	if (fault == NULL || !fault_before(request, fault, reply))
	{
		execute(request, reply);
		if (fault != NULL)
			fault_after(request, fault, reply);
	}
	journal_add(request, at_us, reply->fate == FATE_ANSWER ? reply->status : 0,
				fault ? fault->kind : NULL);
}
