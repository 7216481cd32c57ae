/*
 * base/title.c - the kernel shows the bytes where argv and, right behind it, the environment were: both are copied away, and
 * the title is written there.
 */
#include "base/title.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *area, *command;
static size_t area_bytes;

/* A copy of a list and its strings, in one piece. */
struct copy {
    char **list;
    char *text;
};
static struct copy arguments, variables; /* for as long as the process lives */

/* *end moves behind the strings as long as each follows the one before. False without memory. */
static bool copy_list(struct copy *copy, char **list, char **end)
{
    size_t count = 0, bytes = 0;
    for (; list[count]; count++)
        bytes += strlen(list[count]) + 1;
    copy->list = calloc(count + 1, sizeof(char *));
    copy->text = malloc(bytes + 1);
    if (!copy->list || !copy->text)
        return false;
    char *at = copy->text;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(list[i]) + 1;
        if (list[i] == *end)
            *end += n;
        copy->list[i] = memcpy(at, list[i], n);
        at += n;
    }
    assert(at == copy->text + bytes);
    return true;
}

static char *join(char **words)
{
    size_t bytes = 1, n = 0;
    for (char **w = words; *w; w++)
        bytes += strlen(*w) + 1;
    char *text = calloc(1, bytes);
    for (char **w = words; text && *w; w++)
        n += (size_t)snprintf(text + n, bytes - n, "%s%s", n ? " " : "", *w);
    assert(n < bytes);
    return text;
}

char **title_init(int argc, char **argv)
{
    char *end = argc > 0 ? argv[0] : NULL;
    if (!end || !copy_list(&arguments, argv, &end) || !copy_list(&variables, environ, &end))
        return argv;
    command = join(arguments.list);
    if (!command)
        return argv;
    area = argv[0];
    area_bytes = (size_t)(end - argv[0]);
    environ = variables.list;
    return arguments.list;
}

const char *title_command(void)
{
    return command ? command : "";
}

void title_set(const char *format, ...)
{
    char text[2048];
    va_list args;
    if (area_bytes == 0)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t n = strlen(text);
    if (n > area_bytes - 1)
        n = area_bytes - 1;
    memset(area, 0, area_bytes);
    for (size_t i = 0; i < n; i++)
        area[i] = text[i]; /* zeros are behind it */
}
