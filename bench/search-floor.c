/*-------------------------------------------------------------------------
 *
 * search-floor.c
 *	  Searches for telephone numbers with nothing but libcurl and libxml2: what
 *	  bw_search() is measured against.
 *
 * One connection, kept; each reply is read whole, and each row's eight texts
 * are copied out of it by a pull reader.
 *
 * bench/search-floor.c
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <libxml/xmlreader.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIELDS 8
#define FIELD_SIZE 64

typedef struct Row
{
	char		fields[FIELDS][FIELD_SIZE];
} Row;

typedef struct Reply
{
	char	   *data;
	size_t		len;
	size_t		room;
} Reply;

static const char *const field_names[FIELDS] = {
	"FullNumber", "City", "State", "RateCenter", "LATA", "Tier", "VendorId", "VendorName"
};

static void
die(const char *what)
{
	fprintf(stderr, "search-floor: %s\n", what);
	exit(1);
}

static double
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static size_t
keep(char *data, size_t size, size_t count, void *to)
{
	Reply	   *reply = to;
	size_t		len = size * count;

	if (reply->len + len > reply->room)
	{
		reply->room = (reply->len + len) * 2;
		reply->data = realloc(reply->data, reply->room);
		if (reply->data == NULL)
			die("memory");
	}
	memcpy(reply->data + reply->len, data, len);
	reply->len += len;
	return len;
}

static int
field_of(const xmlChar *name)
{
	for (int i = 0; i < FIELDS; i++)
		if (strcmp((const char *) name, field_names[i]) == 0)
			return i;
	return -1;
}

/* Returns the number of rows; they lie in "rows", which grows. */
static long
decode(const Reply *reply, Row **rows, long *room)
{
	xmlTextReaderPtr reader = xmlReaderForMemory(reply->data, (int) reply->len, NULL, NULL,
												 XML_PARSE_NONET | XML_PARSE_HUGE);
	long		count = 0;
	int			field = -1;

	while (reader != NULL && xmlTextReaderRead(reader) == 1)
	{
		int			type = xmlTextReaderNodeType(reader);

		if (type == XML_READER_TYPE_ELEMENT)
		{
			const xmlChar *name = xmlTextReaderConstName(reader);

			field = field_of(name);
			if (strcmp((const char *) name, "TelephoneNumberDetail") != 0)
				continue;
			if (count == *room)
			{
				*room = *room ? *room * 2 : 16;
				*rows = realloc(*rows, sizeof(Row) * *room);
				if (*rows == NULL)
					die("memory");
			}
			memset(&(*rows)[count++], 0, sizeof(Row));
		}
		else if (type == XML_READER_TYPE_TEXT && field >= 0 && count > 0)
			snprintf((*rows)[count - 1].fields[field], FIELD_SIZE, "%s",
					 (const char *) xmlTextReaderConstValue(reader));
		else
			field = -1;
	}
	xmlFreeTextReader(reader);
	return count;
}

static CURL *
open_curl(const char *url, const char *ca_file, Reply *reply)
{
	CURL	   *curl = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Authorization: Bearer stand-in");

	if (curl == NULL || headers == NULL)
		die("libcurl");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	return curl;
}

int
main(int argc, char **argv)
{
	Reply		reply = {0};
	Row		   *rows = NULL;
	long		room = 0;
	long		found = 0;
	long		calls;
	double		began;
	CURL	   *curl;

	if (argc != 4)
		die("usage: search-floor URL CA_FILE CALLS");
	calls = atol(argv[3]);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	curl = open_curl(argv[1], argv[2], &reply);
	/* the first call opens the connection, and does not count */
	began = 0;
	for (long i = 0; i <= calls; i++)
	{
		reply.len = 0;
		if (curl_easy_perform(curl) != CURLE_OK)
			die("the search failed");
		found += decode(&reply, &rows, &room);
		if (i == 0)
		{
			began = now_s();
			found = 0;
		}
	}
	printf("rows %ld\n", found);
	printf("per_second %.1f\n", calls / (now_s() - began));
	printf("ms %.3f\n", (now_s() - began) * 1000 / calls);
	free(rows);
	free(reply.data);
	curl_easy_cleanup(curl);
	return 0;
}
