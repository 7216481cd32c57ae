/*
 * tests/functional/lib/evil.c - a worker that has been taken over writes what is meant for another binary's master.
 *
 * evil?pid=N: N is to be ended; evil?fill=SIDE: all parts of that side look full.
 */
#include <weir/handler.h>

#include "tests/functional/region.h"

#include <stdlib.h>

static void fill(struct permit_region *region, int side)
{
    for (int i = 1; i < SHM_SLOTS; i++) {
        struct permit_part *part = &region->parts[side * SHM_SLOTS + i];
        for (unsigned k = 0; k < SHM_PERMITS_PER_SLOT; k++)
            part->permits[k].tag = permit_tag(PERMIT_HELD, k % PERMIT_ZONES, PERMIT_NORMAL, PERMIT_LIMIT);
        part->used = SHM_PERMITS_PER_SLOT;
    }
    region->slots_used[side] = SHM_SLOTS;
}

static int evil(weir_request *r)
{
    struct permit_region *region = (struct permit_region *)(void *)region_find(REGION_OF_PERMITS).at;
    const char *pid = weir_arg(r, "pid"), *side = weir_arg(r, "fill");
    if (pid)
        region->stuck[0] = region->stuck[1] = (uint32_t)atol(pid);
    if (side)
        fill(region, atoi(side) & 1);
    return weir_puts(r, "done") < 0;
}

static const struct weir_handler handlers[] = {{.name = "evil", .run = evil}, {0}};

WEIR_MODULE(handlers);
