/*
 * faults.c
 *	  Faults on demand: which request each strikes, and how often.
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FAULTS 200

static Fault faults[MAX_FAULTS];
static int	fault_count;
static long next_id = 1;

/* Kinds, as --help lists them. */
static const char *const request_kinds[] = {
	"delay", "status", "status_after", "refuse", "drop_reply", "reset_before",
	"reset_after", "hang", "hang_after", "rate_limit", "code_5086", "redirect",
	"malformed", "oversize", "drip", "html", "unauthorized", "lost_echo",
	"ignore_filter", "list_lag", NULL
};
static const char *const callback_kinds[] = {
	"drop", "delay", "duplicate", "before_reply", "reorder", "malformed",
	"wrong_credentials", NULL
};

static bool
kind_known(const Fault *fault)
{
	const char *const *kinds = fault->class == CLASS_CALLBACK ? callback_kinds : request_kinds;

	for (; *kinds != NULL; kinds++)
		if (fault_is(fault, *kinds))
			return true;
	return false;
}

static int
class_by_name(const char *name)
{
	for (int i = 0; name != NULL && i < CLASS_COUNT; i++)
		if (strcmp(class_names[i], name) == 0)
			return i;
	return -1;
}

bool
fault_is(const Fault *fault, const char *kind)
{
	return fault != NULL && strcmp(fault->kind, kind) == 0;
}

/* Its turn?  Counts the turn if so. */
static bool
strikes(Fault *fault)
{
	if (fault->count == 0)
		return false;
	if (fault->skip > 0)
	{
		fault->skip--;
		return false;
	}
	if (fault->probability < 1 && random_unit(&fault->random) >= fault->probability)
		return false;
	if (fault->count > 0)
		fault->count--;
	return true;
}

const Fault *
fault_for(const Request *request)
{
	for (int i = 0; i < fault_count; i++)
	{
		Fault	   *fault = &faults[i];

		if (fault->class == CLASS_CALLBACK ||
			(fault->class >= 0 && fault->class != (int) request->class) ||
			(fault->method[0] != '\0' && strcmp(fault->method, request->method) != 0) ||
			(fault->path[0] != '\0' && strstr(request->path, fault->path) == NULL))
			continue;
		if (strikes(fault))
			return fault;
	}
	return NULL;
}

const Fault *
fault_for_callback(bool early)
{
	for (int i = 0; i < fault_count; i++)
		if (faults[i].class == CLASS_CALLBACK &&
			fault_is(&faults[i], "before_reply") == early && strikes(&faults[i]))
			return &faults[i];
	return NULL;
}

static void
text_parameter(const Request *request, const char *name, char *target, size_t size)
{
	char	   *value = parameter(request, name);

	snprintf(target, size, "%s", value ? value : "");
	free(value);
}

static void
read_fault(const Request *request, Fault *fault)
{
	char	   *probability = parameter(request, "probability");
	long		seed = parameter_int(request, "seed", config.seed + fault_count);

	fault->probability = probability ? strtod(probability, NULL) : 1;
	fault->random = random_start((uint64_t) seed);
	text_parameter(request, "kind", fault->kind, sizeof(fault->kind));
	text_parameter(request, "method", fault->method, sizeof(fault->method));
	text_parameter(request, "path", fault->path, sizeof(fault->path));
	text_parameter(request, "code", fault->code, sizeof(fault->code));
	text_parameter(request, "text", fault->text, sizeof(fault->text));
	fault->count = parameter_int(request, "count", -1);
	fault->skip = parameter_int(request, "skip", 0);
	fault->status = parameter_int(request, "status", 0);
	fault->delay_ms = parameter_int(request, "delay_ms", 0);
	fault->retry_after_s = parameter_int(request, "retry_after_s", -1);
	fault->bytes = parameter_int(request, "bytes", 64 * 1024 * 1024);
	fault->stored = parameter_int(request, "stored", 0) != 0;
	free(probability);
}

/* A test with a misspelt fault would pass for the wrong reason: refuse it. */
void
fault_add(const Request *request, Reply *reply)
{
	Fault		fault = {0};
	char	   *class = parameter(request, "class");
	const char *wrong = NULL;

	fault.class = class_by_name(class);
	read_fault(request, &fault);
	if (class != NULL && fault.class < 0)
		wrong = "no such class of requests";
	else if (!kind_known(&fault))
		wrong = "no such kind of fault for this class; see bw-sandbox --help";
	else if (fault_count == MAX_FAULTS)
		wrong = "too many faults";
	if (wrong != NULL)
	{
		reply->status = 400;
		text_json(&reply->body, wrong);
	}
	else
	{
		fault.id = next_id++;
		faults[fault_count++] = fault;
		text_add(&reply->body, "{\"id\":%ld}", fault.id);
	}
	free(class);
}

void
faults_json(Text *out)
{
	text_add(out, "[");
	for (int i = 0; i < fault_count; i++)
	{
		text_add(out, "%s{\"id\":%ld,\"kind\":", i ? "," : "", faults[i].id);
		text_json(out, faults[i].kind);
		text_add(out, ",\"class\":");
		text_json(out, faults[i].class >= 0 ? class_names[faults[i].class] : NULL);
		text_add(out, ",\"count\":%ld}", faults[i].count);
	}
	text_add(out, "]");
}

void
faults_clear(void)
{
	fault_count = 0;
}
