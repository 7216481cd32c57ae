/*
 * base/clock.c - clocks and date texts. Names of days and months are fixed by RFC 9110, so no locale is asked.
 */
#include "base/clock.h"

#include <assert.h>
#include <stdio.h>

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char long_days[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

uint64_t clock_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000u;
}

uint64_t clock_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

void clock_http_date(time_t t, char out[CLOCK_HTTP_DATE_BYTES + 1])
{
    struct tm tm;
    if (!gmtime_r(&t, &tm) || tm.tm_year + 1900 > 9999 || tm.tm_year + 1900 < 0) {
        t = 0;
        gmtime_r(&t, &tm);
    }
    char text[64];
    snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    assert(strlen(text) == CLOCK_HTTP_DATE_BYTES);
    memcpy(out, text, CLOCK_HTTP_DATE_BYTES);
    out[CLOCK_HTTP_DATE_BYTES] = '\0';
}

/* A fixed number of digits; false on anything else. `blank` lets the first be a space. */
static bool digits(const char *p, int count, bool blank, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++) {
        if (i == 0 && blank && p[0] == ' ')
            continue;
        if (p[i] < '0' || p[i] > '9')
            return false;
        *value = *value * 10 + (p[i] - '0');
    }
    return true;
}

static bool month(const char *p, int *value)
{
    for (*value = 0; *value < 12; ++*value)
        if (memcmp(months[*value], p, 3) == 0)
            return true;
    return false;
}

static bool time_of_day(const char *p, struct tm *tm)
{
    return digits(p, 2, false, &tm->tm_hour) && p[2] == ':' && digits(p + 3, 2, false, &tm->tm_min) &&
           p[5] == ':' && digits(p + 6, 2, false, &tm->tm_sec);
}

static bool short_day(const char *p)
{
    for (int d = 0; d < 7; d++)
        if (memcmp(days[d], p, 3) == 0)
            return true;
    return false;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool parse_imf(struct slice s, struct tm *tm)
{
    const char *p = s.data;
    int year;
    if (s.len != 29 || !short_day(p) || memcmp(p + 3, ", ", 2) != 0 || p[7] != ' ' || p[11] != ' ' ||
        p[16] != ' ' || memcmp(p + 25, " GMT", 4) != 0 || !digits(p + 12, 4, false, &year))
        return false;
    tm->tm_year = year - 1900;
    return digits(p + 5, 2, false, &tm->tm_mday) && month(p + 8, &tm->tm_mon) && time_of_day(p + 17, tm);
}

/* "Sunday, 06-Nov-94 08:49:37 GMT": two digits of a year mean 1970 to 2069. */
static bool parse_rfc850(struct slice s, struct tm *tm)
{
    for (int d = 0; d < 7; d++) {
        struct slice day = slice_of(long_days[d]);
        if (!slice_starts(s, day) || s.len != day.len + 24)
            continue;
        const char *p = s.data + day.len;
        int year;
        if (memcmp(p, ", ", 2) != 0 || p[4] != '-' || p[8] != '-' || p[11] != ' ' ||
            memcmp(p + 20, " GMT", 4) != 0 || !digits(p + 9, 2, false, &year))
            return false;
        tm->tm_year = year < 70 ? year + 100 : year;
        return digits(p + 2, 2, false, &tm->tm_mday) && month(p + 5, &tm->tm_mon) && time_of_day(p + 12, tm);
    }
    return false;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool parse_asctime(struct slice s, struct tm *tm)
{
    const char *p = s.data;
    int year;
    if (s.len != 24 || !short_day(p) || p[3] != ' ' || p[7] != ' ' || p[10] != ' ' || p[19] != ' ' ||
        !digits(p + 20, 4, false, &year))
        return false;
    tm->tm_year = year - 1900;
    return month(p + 4, &tm->tm_mon) && digits(p + 8, 2, true, &tm->tm_mday) && time_of_day(p + 11, tm);
}

time_t clock_parse_http_date(struct slice s)
{
    struct tm tm = {0};
    if (!parse_imf(s, &tm) && !parse_rfc850(s, &tm) && !parse_asctime(s, &tm))
        return -1;
    if (tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return -1;
    return timegm(&tm);
}

static long utc_offset_minutes(const struct tm *tm)
{
    return tm->tm_gmtoff / 60;
}

size_t clock_log_date(time_t t, char out[CLOCK_TEXT_BYTES])
{
    struct tm tm;
    localtime_r(&t, &tm);
    long off = utc_offset_minutes(&tm), size = off < 0 ? -off : off;
    int n = snprintf(out, CLOCK_TEXT_BYTES, "%02d/%s/%04d:%02d:%02d:%02d %c%02d%02d", tm.tm_mday,
                     months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     off < 0 ? '-' : '+', (int)(size / 60), (int)(size % 60));
    return n < CLOCK_TEXT_BYTES ? (size_t)n : CLOCK_TEXT_BYTES - 1;
}

size_t clock_error_date(time_t t, char out[CLOCK_TEXT_BYTES])
{
    struct tm tm;
    localtime_r(&t, &tm);
    return strftime(out, CLOCK_TEXT_BYTES, "%Y/%m/%d %H:%M:%S", &tm);
}

size_t clock_iso8601(time_t t, char out[CLOCK_TEXT_BYTES])
{
    struct tm tm;
    localtime_r(&t, &tm);
    long off = utc_offset_minutes(&tm), size = off < 0 ? -off : off;
    int n = snprintf(out, CLOCK_TEXT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", tm.tm_year + 1900,
                     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, off < 0 ? '-' : '+',
                     (int)(size / 60), (int)(size % 60));
    return n < CLOCK_TEXT_BYTES ? (size_t)n : CLOCK_TEXT_BYTES - 1;
}
