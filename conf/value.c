/*
 * conf/value.c - numbers with nginx's units.
 */
#include "conf/directive.h"

#include <stdio.h>

bool conf_parse_number(struct slice s, int64_t *value)
{
    unsigned long long v;
    if (!slice_to_u64(s, INT64_MAX, &v))
        return false;
    *value = (int64_t)v;
    return true;
}

bool conf_parse_whole(struct slice s, int64_t least, int64_t most, int64_t *value)
{
    int64_t n;
    if (!conf_parse_number(s, &n) || n < least || n > most)
        return false;
    *value = n;
    return true;
}

bool conf_parse_size(struct slice s, int64_t *value)
{
    unsigned shift = 0;
    if (s.len == 0)
        return false;
    switch (s.data[s.len - 1]) {
    case 'k':
    case 'K':
        shift = 10;
        break;
    case 'm':
    case 'M':
        shift = 20;
        break;
    case 'g':
    case 'G':
        shift = 30;
        break;
    default:
        break;
    }
    unsigned long long v;
    if (!slice_to_u64((struct slice){s.data, s.len - (shift ? 1 : 0)}, (unsigned long long)INT64_MAX >> shift,
                      &v))
        return false;
    *value = (int64_t)(v << shift);
    return true;
}

/* Units from the largest down; a time such as "1h30m" must name them in this order. */
static const struct {
    const char *suffix;
    int64_t ms;
} time_units[] = {
    {"y", 365ll * 86400000}, {"M", 30ll * 86400000}, {"w", 7ll * 86400000}, {"d", 86400000},
    {"h", 3600000},          {"m", 60000},           {"s", 1000},           {"ms", 1},
};

enum { TIME_UNITS = sizeof time_units / sizeof time_units[0] };

static int unit_at(struct slice s)
{
    if (s.len == 0 || s.data[0] == ' ')
        return TIME_UNITS - 2; /* no unit: seconds */
    if (slice_starts(s, SLICE("ms")))
        return TIME_UNITS - 1;
    for (int i = 0; i < TIME_UNITS - 1; i++)
        if (s.data[0] == time_units[i].suffix[0])
            return i;
    return -1;
}

bool conf_parse_time(struct slice s, int64_t *value_ms)
{
    int64_t total = 0;
    int last_unit = -1;
    if (s.len == 0)
        return false;
    while (s.len > 0) {
        size_t digits = 0;
        while (digits < s.len && s.data[digits] >= '0' && s.data[digits] <= '9')
            digits++;
        unsigned long long n;
        if (!slice_to_u64((struct slice){s.data, digits}, 1ull << 40, &n))
            return false;
        s = slice_from(s, digits);
        int unit = unit_at(s);
        if (unit <= last_unit)
            return false;
        last_unit = unit;
        if (__builtin_mul_overflow((int64_t)n, time_units[unit].ms, (int64_t *)&n) ||
            __builtin_add_overflow(total, (int64_t)n, &total))
            return false;
        s = slice_from(s, s.len ? strlen(time_units[unit].suffix) : 0);
        while (s.len > 0 && s.data[0] == ' ')
            s = slice_from(s, 1);
    }
    *value_ms = total;
    return true;
}

const char *conf_type_words(enum conf_type_of_value type)
{
    switch (type) {
    case CONF_FLAG:
        return "\"on\" or \"off\"";
    case CONF_NUMBER:
        return "a whole number";
    case CONF_SIZE:
        return "a size in bytes, or with k, m or g behind it, such as 8k";
    case CONF_BUFFERS:
        return "a number of buffers and the size of one, such as 8 4k";
    case CONF_TIME:
        return "a time in ms, s, m, h or d, such as 500ms or 1h30m";
    default:
        return "text";
    }
}

const char *conf_syntax_of(const struct conf_directive *d, char text[static CONF_SYNTAX_MAX])
{
    static const char *const usual[] = {
        [CONF_FLAG] = "on | off",       [CONF_NUMBER] = "NUMBER", [CONF_SIZE] = "SIZE",
        [CONF_TIME] = "TIME",           [CONF_TEXT] = "TEXT",     [CONF_PATH] = "PATH",
        [CONF_BUFFERS] = "NUMBER SIZE", [CONF_TEMPLATE] = "TEXT", [CONF_ACCEPTED] = NULL};
    size_t len = 0;
    if (d->syntax)
        return d->syntax;
    if (!d->words)
        return usual[d->type] ? usual[d->type] : "";
    for (int i = 0; d->words[i] && len < CONF_SYNTAX_MAX; i++)
        len += (size_t)snprintf(text + len, CONF_SYNTAX_MAX - len, "%s%s", i ? " | " : "", d->words[i]);
    return text;
}

bool conf_lists_type(const struct conf_lines *lines, const char *always, struct slice type)
{
    const char *semicolon = type.len ? memchr(type.data, ';', type.len) : NULL;
    struct slice bare =
        slice_trim((struct slice){type.data, semicolon ? (size_t)(semicolon - type.data) : type.len});
    struct slice rest = slice_of(always);
    while (rest.len) {
        const char *blank = memchr(rest.data, ' ', rest.len);
        size_t n = blank ? (size_t)(blank - rest.data) : rest.len;
        if (slice_eq_nocase((struct slice){rest.data, n}, bare))
            return true;
        rest = slice_from(rest, n + 1);
    }
    for (; lines; lines = lines->next)
        for (int i = 0; i < lines->node->nargs; i++)
            if (slice_eq(lines->node->args[i], SLICE("*")) || slice_eq_nocase(lines->node->args[i], bare))
                return true;
    return false;
}
