/*
 * tests/unit/conf/test_upstream_rows.c - the rows that every protocol to upstreams has: proxy_pass's, and those of another one.
 */
#include "conf/rows_upstream.h"
#include "tests/unit/conf/conf_help.h"

struct second {
    /* So that no field lies where that of the first one does. */
    int64_t before;
    struct upstream_settings up;
};

static const struct conf_directive second_rows[] = {
    UPSTREAM_ROWS("second_", struct second, up, "Status"),
    {0},
};

static const struct conf_directive *first_row(const char *name)
{
    char other[64];
    snprintf(other, sizeof other, "proxy_%s", name + strlen("second_"));
    return conf_find_directive(slice_of(other), CONF_LOCATION);
}

/* Each row of the second protocol is as the first one's of that name, but for the place of its field. */
static void another_prefix_gives_the_same_rows(void)
{
    for (const struct conf_directive *d = second_rows; d->name; d++) {
        const struct conf_directive *first = first_row(d->name);
        CHECK_FOR(d->name, strncmp(d->name, "second_", 7) == 0 && first != NULL);
        if (!first)
            continue;
        CHECK_FOR(d->name, d->type == first->type && d->where == first->where && d->live == first->live);
        CHECK_FOR(d->name, conf_field_fits(d));
        CHECK_FOR(d->name, d->field.size == first->field.size);
        CHECK_FOR(d->name, d->field.at - offsetof(struct second, up) ==
                               first->field.at - offsetof(struct settings, passes[CONF_PASS_PROXY].upstream));
        CHECK_FOR(d->name, !strstr(d->help, "proxy_") && !strstr(d->name, "proxy_"));
    }
}

/* ... and there is one for each that fills the first one's part. */
static void no_row_is_left_out(void)
{
    const size_t begin = offsetof(struct settings, passes[CONF_PASS_PROXY].upstream),
                 end = begin + sizeof(struct upstream_settings);
    int first = 0, second = 0;
    for (const struct conf_table **t = conf_tables; *t; t++)
        for (const struct conf_directive *d = (*t)->rows; d->name; d++)
            first += conf_is_setting(d) && d->field.size && d->field.at >= begin && d->field.at < end;
    for (const struct conf_directive *d = second_rows; d->name; d++)
        second++;
    CHECK_NUMBER(second, first);
    CU_ASSERT(first > 20);
}

static const struct conf_directive *second_row(const char *name)
{
    const struct conf_directive *d = second_rows;
    while (d->name && strcmp(d->name, name) != 0)
        d++;
    return d;
}

static void help_names_its_own_directives(void)
{
    CU_ASSERT_PTR_NOT_NULL(strstr(second_row("second_hide_header")->help, "Status and X-Accel-Redirect"));
    CU_ASSERT_PTR_NOT_NULL(strstr(second_row("second_hide_header")->help, "unless second_pass_header names"));
    CU_ASSERT_PTR_NOT_NULL(strstr(second_row("second_buffering")->help, "into second_buffers"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(conf_find_directive(SLICE("proxy_hide_header"), CONF_HTTP)->help, "unless proxy_pass_header"));
}

static void defaults_fill_the_second_struct(void)
{
    struct conf *conf = good_conf_of("http { }");
    const struct upstream_settings *first = &conf->http->settings.passes[CONF_PASS_PROXY].upstream;
    struct conf_walk walk = {.conf = conf};
    struct second s = {.before = 4711};
    for (const struct conf_directive *d = second_rows; d->name; d++)
        if (d->default_text)
            conf_apply_default(&walk, d, &s);
    CHECK_NUMBER(s.before, 4711);
    CHECK_NUMBER(s.up.connect_timeout_ms, 60000);
    CHECK_NUMBER(s.up.buffers_bytes, first->buffers_bytes);
    CHECK_NUMBER(s.up.max_temp_bytes, first->max_temp_bytes);
    CHECK_NUMBER(s.up.next, CONF_NEXT_ERROR | CONF_NEXT_TIMEOUT);
    CU_ASSERT(s.up.buffering && s.up.request_buffering && !s.up.intercept_errors);
    CHECK_SLICE(s.up.temp_path, "/srv/second_temp");
    CHECK_SLICE(first->temp_path, "/srv/proxy_temp");
    conf_free(conf);
}

static const struct check_case cases[] = {
    {"another prefix gives the same rows", another_prefix_gives_the_same_rows},
    {"no row is left out", no_row_is_left_out},
    {"help names its own directives", help_names_its_own_directives},
    {"defaults fill the second struct", defaults_fill_the_second_struct},
};

CHECK_MAIN("conf/upstream_rows", cases)
