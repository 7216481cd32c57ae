/*
 * base/title.c - the kernel shows the bytes where argv and, right behind it, the environment were: both are copied away, and
 * the title is written there.
 */
#include "base/title.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *area, *command;
static size_t area_bytes;

static void free_list(char **list)
{
    for (char **l = list; l && *l; l++)
        free(*l);
    free(list);
}

/* A copy of the list; *end moves behind its strings as long as each follows the one before. NULL without memory. */
static char **copy_list(char **list, char **end)
{
    size_t count = 0;
    while (list[count])
        count++;
    char **copy = calloc(count + 1, sizeof(char *));
    for (size_t i = 0; copy && i < count; i++) {
        if (list[i] == *end)
            *end += strlen(list[i]) + 1;
        copy[i] = strdup(list[i]);
        if (!copy[i]) {
            free_list(copy);
            return NULL;
        }
    }
    return copy;
}

static char *join(char **words)
{
    size_t bytes = 1, n = 0;
    for (char **w = words; *w; w++)
        bytes += strlen(*w) + 1;
    char *text = calloc(1, bytes);
    for (char **w = words; text && *w; w++)
        n += (size_t)snprintf(text + n, bytes - n, "%s%s", n ? " " : "", *w);
    return text;
}

char **title_init(int argc, char **argv)
{
    char *end = argc > 0 ? argv[0] : NULL;
    char **arguments = end ? copy_list(argv, &end) : NULL,
         **variables = arguments ? copy_list(environ, &end) : NULL;
    command = arguments ? join(arguments) : NULL;
    if (!variables || !command) {
        free_list(arguments);
        free_list(variables);
        return argv;
    }
    area = argv[0];
    area_bytes = (size_t)(end - argv[0]);
    environ = variables;
    return arguments;
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
