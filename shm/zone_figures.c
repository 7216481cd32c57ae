/*
 * shm/zone_figures.c - the figures of status zones in a slot: found by name, counted up.
 */
#include "shm/zone_figures.h"

#include <assert.h>
#include <string.h>

static bool is_same(const struct zone_name *a, const struct zone_name *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool is_wanted(const struct zone_name *name, const struct zone_name *wanted, int count)
{
    for (int i = 0; i < count; i++)
        if (is_same(name, &wanted[i]))
            return true;
    return false;
}

struct zone_figures *zone_figures_place(struct zone_figures *all, const struct zone_name *wanted, int count,
                                        int which)
{
    static const struct zone_name nobody;
    struct zone_figures *unused = NULL;
    assert(which >= 0 && which < count && !is_same(&wanted[which], &nobody));
    for (int i = 0; i < SHM_STATUS_ZONES; i++) {
        if (is_same(&all[i].name, &wanted[which]))
            return &all[i];
        if (!unused && is_same(&all[i].name, &nobody))
            unused = &all[i];
    }
    for (int i = 0; i < SHM_STATUS_ZONES && !unused; i++)
        if (!is_wanted(&all[i].name, wanted, count))
            unused = &all[i];
    if (unused) {
        memset(unused, 0, sizeof *unused);
        unused->name = wanted[which];
    }
    return unused;
}

const struct zone_figures *zone_figures_find(const struct zone_figures *all, const struct zone_name *name,
                                             int hint)
{
    assert(hint >= 0);
    for (int i = 0; i < SHM_STATUS_ZONES; i++) {
        const struct zone_figures *z = &all[(hint + i) % SHM_STATUS_ZONES];
        if (is_same(&z->name, name))
            return z;
    }
    return NULL;
}

void zone_figures_count(struct zone_figures *z, const struct zone_request *r)
{
    unsigned class = r->status / 100;
    counter_add(&z->requests, 1);
    counter_add(&z->classes[class < ZONE_CLASSES ? class : 0], 1);
    counter_add(&z->bytes_in, r->bytes_in);
    counter_add(&z->bytes_out, r->bytes_out);
    hist_add(&z->duration, r->duration_us);
    if (r->has_waited)
        hist_add(&z->queue_wait, r->waited_us);
}
