/*
 * shm/running.h - what a worker's threads run, so that the master can say it when the worker has died or stands still.
 *
 * Ownership: a record is its thread's from running_begin until running_end, which any thread of the worker may call. Of a
 *            dead worker's records the master reads; it trusts nothing in them: texts are copied with their bounds.
 * Threads:   as said. running_mark is safe in a signal handler.
 */
#ifndef WEIR_SHM_RUNNING_H
#define WEIR_SHM_RUNNING_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Records of a worker; what runs beyond is not recorded. */
enum { RUNNING_RECORDS = 64 };

struct running {
    uint64_t since_ms; /* monotonic */
    uint64_t connection;
    _Atomic int died; /* the signal that this one caused, or 0 */
    uint8_t remote_len;
    /* The client's address as in struct http_exchange. */
    unsigned char remote[18];
    char handler[32]; /* "" for the loop itself */
    char method[16];
    char id[48]; /* $request_id where it is known */
    char uri[160];
};

struct running_table {
    _Atomic uint64_t taken; /* a bit for each record */
    struct running records[RUNNING_RECORDS];
};

/* A free record with since_ms set and the rest empty, or NULL when there is none. */
struct running *running_begin(struct running_table *t, uint64_t now_ms);
void running_end(struct running_table *t, struct running *r);

/* Copies what fits, with a zero at its end. */
void running_set(char *field, size_t bytes, struct slice text);

#endif
