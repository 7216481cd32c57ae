/*
 * base/clock.c - clocks and date texts. Names of days and months are fixed by RFC 9110, so no locale is asked.
 */
#include "base/clock.h"

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
    memcpy(out, text, CLOCK_HTTP_DATE_BYTES);
    out[CLOCK_HTTP_DATE_BYTES] = '\0';
}

static int month_of(const char name[4])
{
    for (int m = 0; m < 12; m++)
        if (memcmp(months[m], name, 3) == 0)
            return m;
    return -1;
}

static bool known_day(const char *name)
{
    for (int d = 0; d < 7; d++)
        if (strcmp(days[d], name) == 0 || strcmp(long_days[d], name) == 0)
            return true;
    return false;
}

static time_t checked_time(struct tm *tm)
{
    if (tm->tm_mon < 0 || tm->tm_mday < 1 || tm->tm_mday > 31 || tm->tm_hour > 23 || tm->tm_min > 59 ||
        tm->tm_sec > 60)
        return -1;
    return timegm(tm);
}

time_t clock_parse_http_date(struct slice s)
{
    char text[64], day[16], month[4];
    struct tm tm = {0};
    int used = 0;
    if (s.len < 24 || s.len >= sizeof text)
        return -1;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    if (sscanf(text, "%3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", day, &tm.tm_mday, month, &tm.tm_year,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) == 7 &&
        (size_t)used == s.len) {
        tm.tm_year -= 1900;
    } else if (sscanf(text, "%9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", day, &tm.tm_mday, month,
                      &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) == 7 &&
               (size_t)used == s.len) {
        if (tm.tm_year < 70) /* two digits: RFC 850 form */
            tm.tm_year += 100;
    } else if (sscanf(text, "%3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", day, month, &tm.tm_mday,
                      &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &tm.tm_year, &used) == 7 &&
               (size_t)used == s.len) {
        tm.tm_year -= 1900;
    } else {
        return -1;
    }
    tm.tm_mon = month_of(month);
    return known_day(day) ? checked_time(&tm) : -1;
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
