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
	if (fault->probability < 1 && random_unit() >= fault->probability)
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
fault_for_callback(void)
{
	for (int i = 0; i < fault_count; i++)
		if (faults[i].class == CLASS_CALLBACK && strikes(&faults[i]))
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

void
fault_add(const Request *request, Reply *reply)
{
	Fault		fault = {0};
	char	   *class = parameter(request, "class");
	char	   *probability = parameter(request, "probability");

	fault.class = class_by_name(class);
	fault.probability = probability ? strtod(probability, NULL) : 1;
	text_parameter(request, "kind", fault.kind, sizeof(fault.kind));
	text_parameter(request, "method", fault.method, sizeof(fault.method));
	text_parameter(request, "path", fault.path, sizeof(fault.path));
	text_parameter(request, "code", fault.code, sizeof(fault.code));
	text_parameter(request, "text", fault.text, sizeof(fault.text));
	fault.count = parameter_int(request, "count", -1);
	fault.skip = parameter_int(request, "skip", 0);
	fault.status = parameter_int(request, "status", 500);
	fault.delay_ms = parameter_int(request, "delay_ms", 0);
	fault.retry_after_s = parameter_int(request, "retry_after_s", -1);
	fault.bytes = parameter_int(request, "bytes", 64 * 1024 * 1024);
	fault.stored = parameter_int(request, "stored", 0) != 0;
	if (fault.kind[0] == '\0' || fault_count == MAX_FAULTS || (class && fault.class < 0))
		reply->status = 400;
	else
	{
		fault.id = next_id++;
		faults[fault_count++] = fault;
		text_add(&reply->body, "{\"id\":%ld}", fault.id);
	}
	free(class);
	free(probability);
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
