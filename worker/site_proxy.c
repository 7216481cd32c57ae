/*
 * worker/site_proxy.c - upstreams with their addresses, and what locations pass on to them.
 *
 * Names are resolved here, once, by the process that reads the configuration.
 */
#include "worker/site.h"

static void set_address(struct site *site, struct peer *peer, struct slice text, const struct conf_node *node)
{
    const char *wrong = net_address_parse(text, &peer->address);
    char printed[NET_ADDRESS_TEXT_BYTES];
    if (wrong) {
        conf_error(&site->conf->errors, node, "invalid upstream \"%.*s\": %s", SLICE_ARGS(text), wrong);
        return;
    }
    peer->text = arena_dup(&site->arena, slice_of(net_address_text(&peer->address, printed))).data;
}

static struct upstream *add_upstream(struct site *site, struct slice name, int peers)
{
    struct upstream *u = site_array(site, 1, sizeof *u);
    *u = (struct upstream){.name = name,
                           .peers = site_array(site, peers, sizeof *u->peers),
                           .peer_count = peers,
                           .next = site->upstreams};
    list_init(&u->idle);
    site->upstreams = u;
    return u;
}

void site_build_upstreams(struct site *site)
{
    for (const struct conf_upstream *c = site->conf->http ? site->conf->http->upstreams : NULL; c;
         c = c->next) {
        int count = 0;
        for (const struct conf_upstream_server *s = c->servers; s; s = s->next)
            count++;
        struct upstream *u = add_upstream(site, c->name, count);
        u->keepalive = c->keepalive;
        u->keepalive_requests = c->keepalive_requests;
        u->keepalive_timeout_ms = c->keepalive_timeout_ms;
        struct peer *p = u->peers;
        for (const struct conf_upstream_server *s = c->servers; s; s = s->next, p++) {
            set_address(site, p, s->address, s->node);
            p->weight = (int)s->weight;
            p->max_fails = count == 1 ? 0 : (int)s->max_fails; /* there is nobody else to ask */
            p->fail_timeout_ms = s->fail_timeout_ms;
            p->backup = s->backup;
            p->down = s->down;
        }
    }
}

/* The group of that name, or one of the single server that the name says. */
static struct upstream *find_upstream(struct site *site, const struct conf_proxy *c)
{
    struct upstream *u = site->upstreams;
    while (u && !slice_eq(u->name, c->host))
        u = u->next;
    if (u)
        return u;
    u = add_upstream(site, c->host, 1);
    u->keepalive = 32;
    u->keepalive_requests = 1000;
    u->keepalive_timeout_ms = 60000;
    u->peers[0] = (struct peer){.weight = 1};
    set_address(site, &u->peers[0], c->host, c->node);
    return u;
}

struct location_proxy *site_build_proxy(struct site *site, const struct conf_location *c)
{
    struct location_proxy *p = site_array(site, 1, sizeof *p);
    int count = 0;
    p->upstream = find_upstream(site, c->proxy);
    p->host = slice_starts(c->proxy->host, SLICE("unix:")) ? SLICE("localhost") : c->proxy->host;
    p->uri = c->proxy->uri;
    p->strip = c->pattern.len;
    for (const struct conf_proxy_header *h = c->settings.proxy_headers; h; h = h->next)
        count++;
    p->headers = site_array(site, count, sizeof *p->headers);
    for (const struct conf_proxy_header *h = c->settings.proxy_headers; h; h = h->next) {
        p->headers[p->header_count++] = (struct proxy_header){h->name, site_compile(site, h->value, h->node)};
        p->sets_host |= slice_eq_nocase(h->name, SLICE("Host"));
    }
    return p;
}
