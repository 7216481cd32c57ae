/*
 * shm/zone_figures.h - what the requests of one status_zone of one server have been, as one worker has counted them.
 *
 * Each slot has room for SHM_STATUS_ZONES of them, found by their names: a worker of another configuration goes on where the slot stands.
 * Ownership: part of a slot.
 * Threads and processes: written by the slot's worker alone; readers of all processes take no lock, and compare names with their own.
 */
#ifndef WEIR_SHM_ZONE_FIGURES_H
#define WEIR_SHM_ZONE_FIGURES_H

#include "base/hist.h"

#include <stdbool.h>

enum { SHM_STATUS_ZONES = 256, ZONE_SERVER_BYTES = 64, ZONE_NAME_BYTES = 32, ZONE_CLASSES = 6 };

/* Zeros behind their ends. */
struct zone_name {
    char server[ZONE_SERVER_BYTES];
    char zone[ZONE_NAME_BYTES];
};

struct zone_figures {
    struct zone_name name; /* zeros: unused */
    _Atomic uint64_t requests;
    _Atomic uint64_t classes[ZONE_CLASSES]; /* of statuses: [2] is 2xx */
    _Atomic uint64_t bytes_in, bytes_out;
    struct hist duration;
    /* For a permit and a thread, of those that had to have one. */
    struct hist queue_wait;
};

/*
 * The place of wanted[which] among SHM_STATUS_ZONES: the one that has the name, else an unused one, else one whose name is none of those
 * that are wanted, which begins anew. NULL: all are wanted. By the slot's worker, before it serves.
 */
struct zone_figures *zone_figures_place(struct zone_figures *all, const struct zone_name *wanted, int count,
                                        int which);

/* The one with this name; NULL: there is none. hint: where it likely is. */
const struct zone_figures *zone_figures_find(const struct zone_figures *all, const struct zone_name *name,
                                             int hint);

/* A request has ended. */
struct zone_request {
    unsigned status;
    uint64_t bytes_in, bytes_out;
    uint64_t duration_us;
    bool has_waited; /* it needed a permit or a thread */
    uint64_t waited_us;
};
void zone_figures_count(struct zone_figures *z, const struct zone_request *request);

#endif
