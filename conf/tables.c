/*
 * conf/tables.c - the list of the directive tables, and finding a row in them.
 */
#include "conf/directive.h"

extern const struct conf_directive conf_http_directives[];
extern const struct conf_directive conf_variable_directives[];
extern const struct conf_directive conf_client_directives[];
extern const struct conf_directive conf_answer_directives[];
extern const struct conf_directive conf_file_directives[];
extern const struct conf_directive conf_access_directives[];
extern const struct conf_directive conf_limit_directives[];
extern const struct conf_directive conf_header_directives[];
extern const struct conf_directive conf_gzip_directives[];
extern const struct conf_directive conf_body_directives[];
extern const struct conf_directive conf_log_directives[];
extern const struct conf_directive conf_proxy_directives[];
extern const struct conf_directive conf_accepted_directives[];

const struct conf_table conf_tables[] = {
    {"Core", conf_core_directives},
    {"Servers and locations", conf_http_directives},
    {"Rewriting and variables", conf_variable_directives},
    {"Connections and requests of clients", conf_client_directives},
    {"Answers", conf_answer_directives},
    {"Static files", conf_file_directives},
    {"Access", conf_access_directives},
    {"Limits", conf_limit_directives},
    {"Headers of answers", conf_header_directives},
    {"Compression", conf_gzip_directives},
    {"Bodies of answers", conf_body_directives},
    {"Logs", conf_log_directives},
    {"Proxy", conf_proxy_directives},
    {"Upstream", conf_upstream_directives},
    {"Accepted", conf_accepted_directives},
    {0},
};

const struct conf_directive *conf_find_directive(struct slice name, enum conf_context context)
{
    const struct conf_directive *elsewhere = NULL;
    for (const struct conf_table *t = conf_tables; t->rows; t++) {
        for (const struct conf_directive *d = t->rows; d->name; d++) {
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
