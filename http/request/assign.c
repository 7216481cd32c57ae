/*
 * http/request/assign.c - giving a variable a value: some have a meaning beyond their name.
 */
#include "http/request/assign.h"

#include "base/arena.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "http/request/exchange.h"

void http_assign(struct http_exchange *ex, struct slice name, struct slice value)
{
    int64_t rate;
    if (slice_eq_nocase(name, SLICE("args"))) {
        ex->req.args = arena_dup(&ex->arena, value);
        ex->route.rewritten = true;
        return;
    }
    if (slice_eq_nocase(name, SLICE("limit_rate"))) {
        if (!conf_parse_size(value, &rate))
            return; /* no size: the rate stays */
        ex->pace.is_set = true;
        ex->pace.rate = (uint64_t)rate;
        return;
    }
    http_set_named(ex, name, value.len ? arena_dup(&ex->arena, value) : SLICE(""));
}
