/*
 * handlers/process_settings.h - what follows "handler process": the command, and how its processes are to be.
 *
 * Ownership: an application is its location's; its texts are copies.
 * Threads:   made and freed by those who read configurations; then only read, but for its set.
 */
#ifndef WEIR_HANDLERS_PROCESS_SETTINGS_H
#define WEIR_HANDLERS_PROCESS_SETTINGS_H

#include "handlers/handler.h"
#include "handlers/process_set.h"

struct process_application {
    struct process_settings settings;
    struct process_set *set;
};

/* As init and free of a handler (handlers/handler.h). */
void *process_application_new(const struct weir_setting *settings, char *error, size_t error_bytes);
void process_application_free(void *application);

#endif
