/*
 * base/memory.c - figures and purging through jemalloc's mallctl.
 */
#include "base/memory.h"

#include <stdio.h>
#include <unistd.h>

#ifdef WEIR_JEMALLOC
#include <jemalloc/jemalloc.h>

/*
 * jemalloc reads this at start. Few arenas and small thread caches: a server's memory should follow its load down
 * again, and its handlers are not bound by the allocator.
 */
const char *malloc_conf = "narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0,lg_tcache_max:15";

static size_t read_size(const char *name)
{
    size_t value = 0, len = sizeof value;
    return mallctl(name, &value, &len, NULL, 0) == 0 ? value : 0;
}
#endif

static size_t resident_of_self(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &pages, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

void memory_read_figures(struct memory_figures *out)
{
    *out = (struct memory_figures){.resident_bytes = resident_of_self()};
#ifdef WEIR_JEMALLOC
    unsigned long long epoch = 1;
    size_t len = sizeof epoch;
    mallctl("epoch", &epoch, &len, &epoch, len); /* refreshes the figures */
    out->allocated_bytes = read_size("stats.allocated");
    out->active_bytes = read_size("stats.active");
#else
    out->allocated_bytes = out->active_bytes = out->resident_bytes;
#endif
}

void memory_purge(void)
{
#ifdef WEIR_JEMALLOC
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    char name[48];
    snprintf(name, sizeof name, "arena.%d.purge", MALLCTL_ARENAS_ALL);
    mallctl(name, NULL, NULL, NULL, 0);
#endif
}

const char *memory_allocator_name(void)
{
#ifdef WEIR_JEMALLOC
    return "jemalloc";
#else
    return "libc";
#endif
}
