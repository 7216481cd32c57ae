/*
 * tests/unit/shm/test_zone_figures.c - figures of status zones: places by name, and what a request adds.
 */
#include "shm/zone_figures.h"

#include "tests/unit/check.h"

static struct zone_figures all[SHM_STATUS_ZONES];

static struct zone_name name_of(const char *server, int zone)
{
    struct zone_name name = {0};
    snprintf(name.server, sizeof name.server, "%s", server);
    snprintf(name.zone, sizeof name.zone, "zone-%d", zone);
    return name;
}

static void fill(struct zone_name *names, int count, const char *server)
{
    for (int i = 0; i < count; i++)
        names[i] = name_of(server, i);
    for (int i = 0; i < count; i++)
        CU_ASSERT_PTR_NOT_NULL_FATAL(zone_figures_place(all, names, count, i));
}

static void places_have_names(void)
{
    struct zone_name names[3];
    memset(all, 0, sizeof all);
    fill(names, 3, "a");
    CHECK_NUMBER(zone_figures_place(all, names, 3, 2) - all, 2);
    zone_figures_count(&all[1], &(struct zone_request){.status = 200});
    /* The next configuration has them in another order, and one of another server. */
    const struct zone_name next[2] = {name_of("b", 1), names[1]};
    CHECK_NUMBER(zone_figures_place(all, next, 2, 0) - all, 3);
    CHECK_NUMBER(zone_figures_place(all, next, 2, 1) - all, 1);
    CHECK_NUMBER(all[1].requests, 1);
    for (int hint = 0; hint < SHM_STATUS_ZONES; hint += 85) {
        CU_ASSERT_PTR_EQUAL(zone_figures_find(all, &names[1], hint), &all[1]);
        CU_ASSERT_PTR_EQUAL(zone_figures_find(all, &next[0], hint), &all[3]);
    }
    const struct zone_name unknown = name_of("c", 1);
    CU_ASSERT_PTR_NULL(zone_figures_find(all, &unknown, 0));
}

static void a_full_table_gives_up_what_is_not_wanted(void)
{
    static struct zone_name old[SHM_STATUS_ZONES], wanted[SHM_STATUS_ZONES];
    memset(all, 0, sizeof all);
    fill(old, SHM_STATUS_ZONES, "old");
    for (int i = 0; i < SHM_STATUS_ZONES; i++)
        zone_figures_count(&all[i], &(struct zone_request){.status = 404});
    memcpy(wanted, old, sizeof old);
    wanted[7] = name_of("new", 7);
    struct zone_figures *place = zone_figures_place(all, wanted, SHM_STATUS_ZONES, 7);
    CU_ASSERT_PTR_NOT_NULL_FATAL(place);
    CHECK_NUMBER(place - all, 7);
    CHECK_NUMBER(place->requests, 0);
    CHECK_NUMBER(all[8].requests, 1);
    CU_ASSERT_PTR_NULL(zone_figures_find(all, &old[7], 0));
}

static void a_request_is_counted(void)
{
    struct hist_sum duration = {0}, wait = {0};
    memset(all, 0, sizeof all);
    static const unsigned statuses[] = {101, 200, 206, 304, 404, 499, 503, 0, 999};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        zone_figures_count(&all[0], &(struct zone_request){.status = statuses[i],
                                                           .bytes_in = 10,
                                                           .bytes_out = 100,
                                                           .duration_us = 2000,
                                                           .has_waited = i < 2,
                                                           .waited_us = 300});
    CHECK_NUMBER(all[0].requests, 9);
    static const uint64_t classes[ZONE_CLASSES] = {2, 1, 2, 1, 2, 1};
    for (int i = 0; i < ZONE_CLASSES; i++)
        CHECK_NUMBER(all[0].classes[i], classes[i]);
    CHECK_NUMBER(all[0].bytes_in, 90);
    CHECK_NUMBER(all[0].bytes_out, 900);
    hist_collect(&all[0].duration, &duration);
    hist_collect(&all[0].queue_wait, &wait);
    CHECK_NUMBER(duration.total, 9);
    CHECK_NUMBER(wait.total, 2);
    CHECK_NUMBER(wait.sum_us, 600);
}

static const struct check_case cases[] = {
    {"places have names", places_have_names},
    {"a full table gives up what is not wanted", a_full_table_gives_up_what_is_not_wanted},
    {"a request is counted", a_request_is_counted},
};

CHECK_MAIN("shm/zone_figures", cases)
