/*
 * http/client/proxy_header.c - a connection whose address says so begins with a header of the PROXY protocol.
 */
#include "http/client/proxy_header.h"

#include "base/log.h"
#include "base/slice.h"
#include "http/client/connection.h"
#include "http/request/exchange.h"
#include "http/site/site.h"
#include "net/address.h"
#include "net/proxy_protocol.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

enum { SHOWN_HEADER_BYTES = 107 };

/* In nginx's words. There is no request yet whose line it could be. */
void connection_log_broken_header(struct connection *c, struct slice in)
{
    const struct site_listen *listen = c->listener->listen;
    struct http_exchange *ex = exchange_new(connection_worker(c));
    char server[NET_ADDRESS_TEXT_BYTES];
    if (!ex)
        return;
    connection_identify(c, &ex->client);
    exchange_begin(ex, connection_worker(c));
    ex->route.error_files = listen->default_server->top->error_files;
    ex->route.server_name = slice_of(net_address_text(&listen->address, server));
    http_log(ex, LOG_LEVEL_ERROR, "broken header: \"%.*s\" while reading PROXY protocol",
             (int)(in.len < SHOWN_HEADER_BYTES ? in.len : SHOWN_HEADER_BYTES), in.data);
    exchange_free(connection_worker(c), ex);
}

bool connection_take_proxy_header(struct connection *c, const char *data, size_t len, size_t *used)
{
    struct net_proxy_header header;
    assert(!c->told && c->requests == 0);
    enum net_proxy_result result = net_proxy_parse(&header, data, len, used);
    if (result == NET_PROXY_MORE)
        return false;
    if (result == NET_PROXY_DONE && (c->told = malloc(sizeof *c->told + header.tlvs.len))) {
        char *tlvs = (char *)(c->told + 1);
        if (header.tlvs.len)
            memcpy(tlvs, header.tlvs.data, header.tlvs.len);
        header.tlvs.data = tlvs;
        *c->told = header;
        return true;
    }
    connection_log_broken_header(c, (struct slice){data, len});
    connection_close(c);
    return false;
}
