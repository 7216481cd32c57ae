/*
 * handlers/process.h - "handler process COMMAND...": requests served by processes of an application, in FastCGI's records.
 *
 * It is a handler as any other: it runs on a thread of a pool, which talks to one process for the time of one request, so that queues,
 * limits, deadlines, lending and the status hold for it as they are.
 * Ownership: static.
 * Threads:   its run is of pools' threads.
 */
#ifndef WEIR_HANDLERS_PROCESS_H
#define WEIR_HANDLERS_PROCESS_H

#include "handlers/handler.h"

extern const struct weir_handler process_handler;

#endif
