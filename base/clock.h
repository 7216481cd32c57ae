/*
 * base/clock.h - monotonic time, and the wall clock in the texts that HTTP and logs want.
 *
 * Threads: every call is safe from any thread.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include "base/slice.h"

#include <stdint.h>
#include <time.h>

/* Monotonic time since some fixed point, the same for all processes of the machine. */
uint64_t clock_mono_us(void);
uint64_t clock_mono_ms(void);

/* As clock_mono_us, within a microsecond or two, at less than half the cost: for what is asked at every turn. */
uint64_t clock_fast_us(void);

/* Milliseconds since the epoch. */
uint64_t clock_wall_ms(void);

enum { CLOCK_HTTP_DATE_BYTES = 29, CLOCK_TEXT_BYTES = 40 };

/* Writes an IMF-fixdate (RFC 9110 section 5.6.7), 29 bytes and a zero. */
void clock_http_date(time_t t, char out[CLOCK_HTTP_DATE_BYTES + 1]);

/* Reads any of the three date forms of RFC 9110 section 5.6.7. Returns -1 on anything else. */
time_t clock_parse_http_date(struct slice s);

/* "21/Nov/2026:03:46:00 +0000", as access logs have it. Returns its length. */
size_t clock_log_date(time_t t, char out[CLOCK_TEXT_BYTES]);

/* "2026/11/21 03:46:00", as error logs have it. Returns its length. */
size_t clock_error_date(time_t t, char out[CLOCK_TEXT_BYTES]);

/* "2026-11-21T03:46:00+00:00". Returns its length. */
size_t clock_iso8601(time_t t, char out[CLOCK_TEXT_BYTES]);

#endif
