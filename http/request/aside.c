/*
 * http/request/aside.c - a request that is put aside whole while another one stands in its place.
 */
#include "http/request/aside.h"

#include "base/buf.h"
#include "http/request/exchange.h"
#include "http/wire/response.h"

#include <assert.h>

void http_put_aside(struct http_exchange *ex, struct http_aside *aside)
{
    assert(!ex->aside && ex->state == REQUEST_RUNS);
    assert(!ex->source && !ex->release && !ex->sent.filters);
    aside->req = ex->req;
    aside->route = ex->route;
    aside->res = ex->res;
    aside->body = ex->body;
    aside->upstream = ex->upstream;
    aside->www_authenticate = ex->access.www_authenticate;
    http_response_init(&ex->res);
    /* Of the GET; the request's own waits. */
    ex->body = (struct http_body){.kept.fd = -1, .whole = true};
    ex->upstream = (struct http_upstream_record){0};
    ex->access.www_authenticate = (struct slice){0};
    ex->aside = aside;
}

const struct http_route *http_own_route(const struct http_exchange *ex)
{
    return ex->aside ? &ex->aside->route : &ex->route;
}

const struct http_body *http_own_body(const struct http_exchange *ex)
{
    return ex->aside ? &ex->aside->body : &ex->body;
}

void http_take_back_body(struct http_exchange *ex)
{
    assert(ex->aside);
    http_drop_bodies(ex);
    spool_free(&ex->body.kept);
    ex->body = ex->aside->body;
    ex->aside = NULL;
}

void http_take_back(struct http_exchange *ex)
{
    const struct http_aside *aside = ex->aside;
    assert(aside && !ex->source);
    http_take_back_body(ex);
    ex->req = aside->req;
    ex->route = aside->route;
    ex->res = aside->res;
    ex->upstream = aside->upstream;
    ex->access.www_authenticate = aside->www_authenticate;
}
