/*
 * http/serve/stand.c - where a request stands: its server block and its location.
 */
#include "http/serve/stand.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/request/regex.h"
#include "http/site/site.h"

#include <assert.h>

/* Host names know no case, so what an expression took from one is lower case. */
static void lower_captures(struct http_exchange *ex)
{
    for (int i = 0; i < ex->route.server_captures.count; i++)
        ex->route.server_captures.groups[i] =
            arena_dup_lower(&ex->arena, ex->route.server_captures.groups[i]);
}

const struct vserver *request_find_server(struct http_exchange *ex)
{
    ex->route.location_captures.count = ex->route.server_captures.count = 0;
    const struct vserver *server =
        site_find_server(ex->client.listen, ex->req.host, &ex->route.server_captures);
    lower_captures(ex);
    http_keep_named(ex, &ex->route.server_captures);
    ex->route.server_name = server->name;
    ex->route.server = server;
    return server;
}

void request_use_location(struct http_exchange *ex, const struct location *l)
{
    assert(l && l->settings);
    ex->route.location = l;
    ex->route.settings = l->settings;
    ex->route.error_files = l->error_files;
    ex->route.alias_rest = (struct slice){0};
    ex->route.return_code = l->return_code;
    ex->route.return_text = l->return_text;
    ex->route.files_tried = false;
}
