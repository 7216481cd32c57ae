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

/* What an operator who knows nginx has to know. */
static bool print_mark(const struct conf_directive *d, struct buf *out)
{
    const struct conf_mark *m = conf_find_mark(slice_of(d->name));
    if (d->type == CONF_ACCEPTED)
        return buf_printf(out, "nginx: different; it is accepted and changes nothing.\n\n");
    if (!m)
        return buf_printf(out, "nginx: supported.\n\n");
    return m->kind == CONF_OWN ? buf_printf(out, "nginx: has none.\n\n")
                               : buf_printf(out, "nginx: different; %s\n\n", m->text);
}

static bool print_absent(struct buf *out)
{
    bool ok = buf_printf(
        out, "## Not supported\n\nDirectives of nginx that are not here; a configuration with one of them is "
             "refused, and `weir -t` lists all of them.\n\n| directive | why, and what to do |\n|---|---|\n");
    for (const struct conf_mark *m = conf_marks; ok && m->name; m++)
        if (m->kind == CONF_ABSENT)
            ok = buf_printf(out, "| `%s` | %s |\n", m->name, m->text);
    ok =
        ok &&
        buf_printf(
            out,
            "\nOf third parties' modules for nginx:\n\n| directive | which module, and what to do |\n|---|---|\n");
    for (const struct conf_mark *m = conf_marks; ok && m->name; m++)
        if (m->kind == CONF_FOREIGN)
            ok = buf_printf(out, "| `%s` | %s |\n", m->name, m->text);
    return ok;
}

static bool print_row(const struct conf_directive *d, struct buf *out)
{
    const char *separator = "";
    char text[CONF_SYNTAX_MAX];
    const char *syntax = conf_syntax_of(d, text);
    bool ok = buf_printf(out, "### %s\n\n    %s%s%s%s\n\n%s\n\nContext: ", d->name, d->name,
                         syntax[0] ? " " : "", syntax, d->block ? "" : ";", d->help);
    for (size_t i = 0; ok && i < sizeof contexts / sizeof contexts[0]; i++) {
        if (!(d->where & contexts[i].bit))
            continue;
        ok = buf_printf(out, "%s%s", separator, contexts[i].name);
        separator = ", ";
    }
    if (ok && d->default_text)
        ok = buf_printf(out, ". Default: `%s`", d->default_text);
    if (ok && d->parameters)
        ok = buf_printf(out, ". Parameters by default: `%s`", d->parameters);
    if (ok && (d->range.min || d->range.max))
        ok = buf_printf(out, ". Range: %lld to %lld%s", (long long)d->range.min, (long long)d->range.max,
                        d->type == CONF_TIME   ? " ms"
                        : d->type == CONF_SIZE ? " bytes"
                                               : "");
    return ok &&
           buf_printf(out, ". %s.\n\n",
                      d->live == CONF_LIVE ? "Changes in place on reload"
                      : d->live == CONF_LIVE_BEHIND_FIRST
                          ? "What follows the first argument changes in place on reload"
                          : "A change starts new workers on reload") &&
           print_mark(d, out);
}

static const char *const titles[CONF_SECTIONS] = {
    [CONF_SECTION_CORE] = "Core",
    [CONF_SECTION_HTTP] = "Servers and locations",
    [CONF_SECTION_VARIABLES] = "Rewriting and variables",
    [CONF_SECTION_CLIENTS] = "Connections and requests of clients",
    [CONF_SECTION_ANSWERS] = "Answers",
    [CONF_SECTION_FILES] = "Static files",
    [CONF_SECTION_TLS] = "TLS",
    [CONF_SECTION_PROXY_TLS] = "TLS to upstreams",
    [CONF_SECTION_ACCESS] = "Access",
    [CONF_SECTION_LIMITS] = "Limits",
    [CONF_SECTION_HEADERS] = "Headers of answers",
    [CONF_SECTION_COMPRESSION] = "Compression",
    [CONF_SECTION_BODIES] = "Bodies of answers",
    [CONF_SECTION_LOGS] = "Logs",
    [CONF_SECTION_PROXY] = "Proxy",
    [CONF_SECTION_GRPC] = "gRPC",
    [CONF_SECTION_FASTCGI] = "FastCGI",
    [CONF_SECTION_UPSTREAM] = "Upstream",
    [CONF_SECTION_ACCEPTED] = "Accepted",
};

static bool print_section(enum conf_section section, struct buf *out)
{
    bool ok = buf_printf(out, "## %s\n\n", titles[section]);
    for (const struct conf_table **t = conf_tables; *t; t++)
        for (const struct conf_directive *d = (*t)->rows; ok && (*t)->section == section && d->name; d++)
            ok = print_row(d, out);
    return ok;
}

bool conf_document(struct buf *out)
{
    bool ok = buf_printf(
        out,
        "# Directives\n\nGenerated from the directive tables in conf/ by `make docs`; do not edit.\n\n"
        "Each directive says what it is to nginx's of that name: supported, that is the same by name, contexts, "
        "defaults and meaning; different, and how; or none of nginx's.\n\n"
        "Sizes take k, m and g; times take ms, s, m, h, d, w, M and y, and are seconds without a "
        "unit. `include FILE|PATTERN;` may stand anywhere.\n\n");
    for (int section = 0; ok && section < CONF_SECTIONS; section++)
        ok = print_section((enum conf_section)section, out);
    return ok && print_absent(out);
}
