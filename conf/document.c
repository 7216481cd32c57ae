/*
 * conf/document.c - docs/directives.md, written from the directive tables so that the two cannot disagree.
 */
#include "conf/conf.h"
#include "conf/directive.h"

static const struct {
    unsigned bit;
    const char *name;
} contexts[] = {{CONF_MAIN, "main"},     {CONF_EVENTS, "events"},     {CONF_HTTP, "http"},
                {CONF_SERVER, "server"}, {CONF_LOCATION, "location"}, {CONF_UPSTREAM, "upstream"}};

static bool print_row(const struct conf_directive *d, struct buf *out)
{
    const char *separator = "";
    bool ok = buf_printf(out, "### %s\n\n    %s%s%s%s\n\n%s\n\nContext: ", d->name, d->name,
                         d->syntax[0] ? " " : "", d->syntax, d->type == CONF_BLOCK ? "" : ";", d->help);
    for (size_t i = 0; ok && i < sizeof contexts / sizeof contexts[0]; i++) {
        if (!(d->contexts & contexts[i].bit))
            continue;
        ok = buf_printf(out, "%s%s", separator, contexts[i].name);
        separator = ", ";
    }
    if (ok && d->default_text)
        ok = buf_printf(out, ". Default: `%s`", d->default_text);
    if (ok && (d->min || d->max))
        ok = buf_printf(out, ". Range: %lld to %lld%s", (long long)d->min, (long long)d->max,
                        d->type == CONF_TIME   ? " ms"
                        : d->type == CONF_SIZE ? " bytes"
                                               : "");
    return ok && buf_printf(out, ". %s.\n\n",
                            d->live_after == 0  ? "Changes in place on reload"
                            : d->live_after > 0 ? "What follows the first argument changes in place on reload"
                                                : "A change starts new workers on reload");
}

static bool print_table(const char *title, const struct conf_directive *table, struct buf *out)
{
    bool ok = buf_printf(out, "## %s\n\n", title);
    for (const struct conf_directive *d = table; ok && d->name; d++)
        ok = print_row(d, out);
    return ok;
}

bool conf_document(struct buf *out)
{
    bool ok = buf_printf(
        out, "# Directives\n\nGenerated from the directive tables in conf/ by `make docs`; do not edit.\n\n"
             "Sizes take k, m and g; times take ms, s, m, h, d, w, M and y, and are seconds without a "
             "unit. `include FILE|PATTERN;` may stand anywhere.\n\n");
    return ok && print_table("Core", conf_core_directives, out) &&
           print_table("HTTP", conf_http_directives, out) &&
           print_table("Connections and requests of clients", conf_client_directives, out) &&
           print_table("Static files", conf_file_directives, out) &&
           print_table("Access, headers, bodies of answers", conf_header_directives, out) &&
           print_table("Logs", conf_log_directives, out) &&
           print_table("Proxy", conf_proxy_directives, out) &&
           print_table("Upstream", conf_upstream_directives, out) &&
           print_table("Accepted", conf_accepted_directives, out);
}
