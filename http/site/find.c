/*
 * http/site/find.c - what a site has for a request: its server, a named location, the page of an error.
 */
#include "http/site/site.h"

#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/site/router.h"

const struct vserver *site_find_server(const struct site_listen *listen, struct slice host,
                                       struct http_captures *captures)
{
    const struct vserver *v = http_names_find(listen->names, host, captures);
    return v ? v : listen->default_server;
}

const struct location *site_find_named(const struct vserver *server, struct slice name)
{
    const struct location *l = server->named;
    while (l && !slice_eq(l->name, name))
        l = l->next_named;
    return l;
}

const struct error_target *site_find_error_target(const struct location *l, int status)
{
    for (const struct error_target *t = l->error_targets; t; t = t->next)
        for (int i = 0; i < t->code_count; i++)
            if (t->codes[i] == status)
                return t;
    return NULL;
}

bool site_has_error_page(const struct http_exchange *ex, int status)
{
    const struct location *l = ex->route.location;
    return (!ex->route.in_error_page || l->settings->answers.recursive_error_pages) &&
           site_find_error_target(l, status);
}
