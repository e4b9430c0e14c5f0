/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  Just enough of the Test Anything Protocol for the C unit tests.
 *
 * Each test is a program: call ok() and its relatives, end main() with
 * "return done_testing();".  Every check returns whether it passed, so that
 * a test can stop before it follows a NULL pointer.
 *
 * test/unit/tap.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_TAP_H
#define BW_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int	tap_count;
static int	tap_failures;

static inline bool tap_report(bool passed, const char *file, int line,
							  const char *format, va_list args)
			__attribute__((format(printf, 4, 0)));
static inline bool tap_ok(bool passed, const char *file, int line,
						  const char *format,...)
			__attribute__((format(printf, 4, 5)));
static inline bool tap_is_int(long long got, long long expected,
							  const char *file, int line,
							  const char *format,...)
			__attribute__((format(printf, 5, 6)));
static inline bool tap_is_str(const char *got, const char *expected,
							  const char *file, int line,
							  const char *format,...)
			__attribute__((format(printf, 5, 6)));

/* ok(condition, "what is true, printf style", ...) */
#define ok(passed, ...) tap_ok((passed), __FILE__, __LINE__, __VA_ARGS__)

/* is_int(got, expected, "what it is", ...) */
#define is_int(got, expected, ...) \
	tap_is_int((got), (expected), __FILE__, __LINE__, __VA_ARGS__)

/* is_str(got, expected, "what it is", ...); NULL equals only NULL */
#define is_str(got, expected, ...) \
	tap_is_str((got), (expected), __FILE__, __LINE__, __VA_ARGS__)

static inline bool
tap_report(bool passed, const char *file, int line,
		   const char *format, va_list args)
{
	printf("%sok %d - ", passed ? "" : "not ", ++tap_count);
	vprintf(format, args);
	printf("\n");
	if (!passed)
	{
		tap_failures++;
		printf("# failed at %s:%d\n", file, line);
	}
	/* what was said before a crash is what one wants to see after it */
	fflush(stdout);
	return passed;
}

static inline bool
tap_ok(bool passed, const char *file, int line, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	tap_report(passed, file, line, format, args);
	va_end(args);
	return passed;
}

static inline bool
tap_is_int(long long got, long long expected,
		   const char *file, int line, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	tap_report(got == expected, file, line, format, args);
	va_end(args);
	if (got != expected)
		printf("#      got: %lld\n# expected: %lld\n", got, expected);
	return got == expected;
}

static inline bool
tap_is_str(const char *got, const char *expected,
		   const char *file, int line, const char *format,...)
{
	bool		equal = got == expected ||
	(got != NULL && expected != NULL && strcmp(got, expected) == 0);
	va_list		args;

	va_start(args, format);
	tap_report(equal, file, line, format, args);
	va_end(args);
	if (!equal)
		printf("#      got: %s\n# expected: %s\n",
			   got ? got : "(null)", expected ? expected : "(null)");
	return equal;
}

/* Say that a check was left out, and why. */
static inline void
skip(const char *why)
{
	printf("ok %d # SKIP %s\n", ++tap_count, why);
}

/* Exit status of the program. */
static inline int
done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures == 0 ? 0 : 1;
}

#endif							/* BW_TAP_H */
