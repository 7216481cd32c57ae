/*
 * conf/tables.c - the list of the directive tables, and finding a row in them.
 */
#include "conf/conf.h"
#include "conf/directive.h"

#include <assert.h>

extern const struct conf_directive conf_http_directives[];
extern const struct conf_directive conf_variable_directives[];
extern const struct conf_directive conf_client_directives[];
extern const struct conf_directive conf_http2_directives[];
extern const struct conf_directive conf_answer_directives[];
extern const struct conf_directive conf_interim_directives[];
extern const struct conf_directive conf_file_directives[];
extern const struct conf_directive conf_log_directives[];
extern const struct conf_directive conf_proxy_directives[];
extern const struct conf_directive conf_grpc_directives[];
extern const struct conf_directive conf_fastcgi_directives[];
extern const struct conf_directive conf_accepted_directives[];

static const struct conf_table own[] = {
    {CONF_SECTION_CORE, conf_core_directives, NULL},
    {CONF_SECTION_HTTP, conf_http_directives, NULL},
    {CONF_SECTION_VARIABLES, conf_variable_directives, NULL},
    {CONF_SECTION_CLIENTS, conf_client_directives, NULL},
    {CONF_SECTION_CLIENTS, conf_http2_directives, NULL},
    {CONF_SECTION_ANSWERS, conf_answer_directives, NULL},
    {CONF_SECTION_FILES, conf_file_directives, NULL},
    {CONF_SECTION_HEADERS, conf_interim_directives, NULL},
    {CONF_SECTION_LOGS, conf_log_directives, NULL},
    {CONF_SECTION_PROXY, conf_proxy_directives, NULL},
    {CONF_SECTION_GRPC, conf_grpc_directives, conf_settle_grpc},
    {CONF_SECTION_FASTCGI, conf_fastcgi_directives, NULL},
    {CONF_SECTION_UPSTREAM, conf_upstream_directives, NULL},
    {CONF_SECTION_ACCEPTED, conf_accepted_directives, NULL},
};

const struct conf_table *conf_tables[CONF_TABLES_MAX + 1];

static size_t parts_size;

static void add_table(const struct conf_table *table)
{
    int count = 0;
    while (conf_tables[count])
        count++;
    if (count == CONF_TABLES_MAX)
        abort();
    conf_tables[count] = table;
    for (const struct conf_directive *d = table->rows; d->name; d++)
        if (d->field.part)
            part_place(d->field.part, &parts_size);
}

void conf_use_tables(const struct conf_table *const *tables)
{
    assert(!conf_tables[0]);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        add_table(&own[i]);
    for (; *tables; tables++)
        add_table(*tables);
}

size_t conf_parts_size(void)
{
    return parts_size;
}

const struct conf_directive *conf_find_directive(struct slice name, enum conf_context context)
{
    const struct conf_directive *elsewhere = NULL;
    for (const struct conf_table **t = conf_tables; *t; t++) {
        for (const struct conf_directive *d = (*t)->rows; d->name; d++) {
            if (!slice_eq(slice_of(d->name), name))
                continue;
            if (d->where & context)
                return d;
            if (!elsewhere)
                elsewhere = d;
        }
    }
    return elsewhere;
}
