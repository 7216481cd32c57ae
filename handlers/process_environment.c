/*
 * handlers/process_environment.c - what a process of an application is told by its environment.
 */
#include "handlers/process_child.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the service manager and the older binary have said to this server alone. */
static bool is_private(const char *variable)
{
    static const char *const names[] = {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "WEIR_"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

char **process_environment(const struct process_settings *s)
{
    size_t count = 0, own = 0, at = 0;
    while (environ[count])
        count++;
    while (s->env[own])
        own++;
    char **all = calloc(count + own + 1, sizeof *all);
    for (size_t i = 0; all && i < count; i++) {
        bool is_replaced = is_private(environ[i]);
        size_t name = strcspn(environ[i], "=") + 1;
        for (size_t k = 0; k < own; k++)
            is_replaced |= strncmp(environ[i], s->env[k], name) == 0;
        if (!is_replaced)
            all[at++] = environ[i];
    }
    for (size_t k = 0; all && k < own; k++)
        all[at++] = (char *)(uintptr_t)s->env[k];
    return all;
}
