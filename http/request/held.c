/*
 * http/request/held.c - what a request holds, and how it is given back.
 */
#include "http/request/exchange.h"
#include "http/request/filter.h"

#include <assert.h>
#include <unistd.h>

void http_add_cleanup(struct http_exchange *ex, struct http_cleanup *cleanup)
{
    assert(cleanup->run && !cleanup->next);
    cleanup->next = ex->cleanups;
    ex->cleanups = cleanup;
}

void http_run_cleanups(struct http_exchange *ex)
{
    while (ex->cleanups) {
        struct http_cleanup *c = ex->cleanups;
        ex->cleanups = c->next;
        assert(c->run);
        c->next = NULL;
        c->run(ex);
    }
}

void http_drop_held(struct http_exchange *ex)
{
    filter_free(ex);
    assert(!ex->release || ex->held);
    if (ex->release)
        ex->release(ex->held);
    ex->release = NULL;
}

void http_drop_bodies(struct http_exchange *ex)
{
    http_drop_held(ex);
    /* A thread still reads from what is held. */
    assert(!ex->reading.at_work);
    spool_empty(&ex->body.kept);
    if (ex->body.file.data && !ex->body.file_stays)
        unlink(ex->body.file.data);
    ex->body.file = (struct slice){0};
    ex->body.len = 0;
}
