/*
 * handlers/content_type.c - the table of "types" and "default_type".
 */
#include "handlers/content_type.h"

#include "base/slice.h"

struct slice content_type_of(const struct settings *s, struct slice path)
{
    char extension[32];
    const char *dot = memrchr(path.data, '.', path.len);
    size_t n = dot ? path.len - (size_t)(dot - path.data) - 1 : 0;
    if (n == 0 || n >= sizeof extension || memchr(dot, '/', n))
        return s->files.default_type;
    for (size_t i = 0; i < n; i++)
        extension[i] = (char)(dot[i + 1] >= 'A' && dot[i + 1] <= 'Z' ? dot[i + 1] | 0x20 : dot[i + 1]);
    for (int i = s->files.types->count - 1; i >= 0; i--)
        if (slice_eq(s->files.types->items[i].extension, (struct slice){extension, n}))
            return s->files.types->items[i].type;
    return s->files.default_type;
}
