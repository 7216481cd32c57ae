/*
 * http/wire/grpc.c - what of gRPC its proxies have to know: its type, its deadline, its codes.
 */
#include "http/wire/grpc.h"

#include <assert.h>
#include <stdio.h>

enum { DIGITS_MOST = 8, VALUE_MOST = 99999999 };

static const int64_t LONGEST_MS = VALUE_MOST * INT64_C(3600000);

bool grpc_is_type(struct slice content_type)
{
    static const struct slice type = {"application/grpc", 16};
    return slice_starts_nocase(content_type, type) &&
           (content_type.len == type.len || content_type.data[type.len] == '+' ||
            content_type.data[type.len] == ';');
}

enum {
    UNKNOWN = 2,
    DEADLINE_EXCEEDED = 4,
    PERMISSION_DENIED = 7,
    RESOURCE_EXHAUSTED = 8,
    UNIMPLEMENTED = 12,
    INTERNAL = 13,
    UNAVAILABLE = 14,
    UNAUTHENTICATED = 16
};

int grpc_code_of(int http_status, bool is_refused)
{
    if (is_refused)
        return RESOURCE_EXHAUSTED;
    switch (http_status) {
    case 400:
        return INTERNAL;
    case 401:
        return UNAUTHENTICATED;
    case 403:
        return PERMISSION_DENIED;
    case 404:
    case 405:
        return UNIMPLEMENTED;
    case 413:
    case 429:
        return RESOURCE_EXHAUSTED;
    case 502:
    case 503:
        return UNAVAILABLE;
    case 408:
    case 504:
        return DEADLINE_EXCEEDED;
    default:
        return UNKNOWN;
    }
}

/* In microseconds, from the longest; nanoseconds are counted by themselves. */
static const struct unit {
    char name;
    int64_t us;
} units[] = {{'H', 3600000000}, {'M', 60000000}, {'S', 1000000}, {'m', 1000}, {'u', 1}};

bool grpc_parse_timeout(struct slice value, int64_t *ms)
{
    int64_t number = 0, us = -1;
    if (value.len < 2 || value.len > DIGITS_MOST + 1)
        return false;
    for (size_t i = 0; i + 1 < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
        number = number * 10 + (value.data[i] - '0');
    }
    char unit = value.data[value.len - 1];
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].name == unit)
            us = number * units[i].us;
    if (unit == 'n')
        us = (number + 999) / 1000;
    if (us < 0)
        return false;
    *ms = (us + 999) / 1000;
    return true;
}

/* A number has eight digits at most: what is too long for a unit is said, rounded up, in the next one. */
struct slice grpc_print_timeout(char to[GRPC_TIMEOUT_BYTES], int64_t ms)
{
    const struct unit *unit = &units[3];
    assert(ms > 0);
    if (ms > LONGEST_MS)
        ms = LONGEST_MS;
    while (unit > units && (ms * 1000 + unit->us - 1) / unit->us > VALUE_MOST)
        unit--;
    int64_t value = (ms * 1000 + unit->us - 1) / unit->us;
    int len = snprintf(to, GRPC_TIMEOUT_BYTES, "%lld%c", (long long)value, unit->name);
    return (struct slice){to, (size_t)len};
}
