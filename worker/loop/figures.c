/*
 * worker/loop/figures.c - what a worker shows of itself in shared memory.
 */
#include "worker/loop/figures.h"

#include "base/hist.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <sys/resource.h>

static uint64_t cpu_us_of_self(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) < 0)
        return 0;
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

void worker_publish_figures(struct worker *w)
{
    struct memory_figures memory;
    memory_read_figures(&memory);
    counter_set(&w->slot->memory_allocated_bytes, memory.allocated_bytes);
    counter_set(&w->slot->memory_resident_bytes, memory.resident_bytes);
    counter_set(&w->slot->cpu_us, cpu_us_of_self());
    counter_set(&w->slot->heartbeat_ms, w->now_ms);
    counter_set(&w->slot->connections, w->connections);
    counter_set(&w->slot->in_flight, w->in_flight);
    for (int i = 0; i < SHM_CONNECTION_STATES; i++)
        counter_set(&w->slot->connection_states[i], w->shown[i]);
    static unsigned long lost_before;
    unsigned long lost = log_lost_lines();
    assert(lost >= lost_before);
    counter_add(&w->slot->log_lines_lost, lost - lost_before);
    lost_before = lost;
}
