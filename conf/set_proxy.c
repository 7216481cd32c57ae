/*
 * conf/set_proxy.c - proxy_pass, grpc_pass and fastcgi_pass: where a location's requests go.
 */
#include "conf/conf.h"
#include "conf/directive.h"

/* NULL: the location has its content already. */
static struct conf_proxy *begin(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_proxy *p = conf_must(arena_zalloc(&w->conf->arena, sizeof *p));
    p->node = n;
    if (w->location->content != CONF_CONTENT_STATIC) {
        conf_error(&w->conf->errors, n,
                   "\"%.*s\" directive is duplicate: this location has its handler already",
                   SLICE_ARGS(n->name));
        return NULL;
    }
    return p;
}

static void use(struct conf_walk *w, const struct conf_proxy *p)
{
    w->location->content = CONF_CONTENT_PROXY;
    w->location->proxy = p;
}

static bool has_variables(struct slice text)
{
    return memchr(text.data, '$', text.len) != NULL;
}

/* "http://HOST[:PORT][/URI]", "http://unix:/PATH[:/URI]"; or https:// */
void conf_set_proxy_pass(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_proxy *p = begin(w, n);
    struct slice rest = n->args[0];
    if (!p)
        return;
    if (has_variables(rest)) {
        p->text = rest;
        use(w, p);
        return;
    }
    p->tls = slice_eq_nocase((struct slice){rest.data, rest.len < 8 ? rest.len : 8}, SLICE("https://"));
    if (!p->tls &&
        !slice_eq_nocase((struct slice){rest.data, rest.len < 7 ? rest.len : 7}, SLICE("http://"))) {
        conf_error(
            &w->conf->errors, n,
            "invalid URL \"%.*s\" in \"proxy_pass\"; write http://HOST[:PORT][/URI] or http://unix:/PATH[:/URI], or https:// for TLS",
            SLICE_ARGS(rest));
        return;
    }
    rest = slice_from(rest, p->tls ? 8 : 7);
    bool is_unix = slice_starts(rest, SLICE("unix:"));
    size_t host_len = 0;
    while (host_len < rest.len && (is_unix ? host_len < 5 || rest.data[host_len] != ':'
                                           : rest.data[host_len] != '/' && rest.data[host_len] != '?'))
        host_len++;
    p->host = (struct slice){rest.data, host_len};
    if (host_len == 0 || rest.data[0] == ':')
        conf_error(&w->conf->errors, n, "no host in \"proxy_pass %.*s\"; write http://HOST[:PORT]",
                   SLICE_ARGS(n->args[0]));
    /* A colon alone ends a socket's path, and is no URI. */
    if (host_len + is_unix < rest.len)
        p->uri = slice_from(rest, host_len + is_unix);
    if (p->uri.data && p->uri.data[0] != '/' && p->uri.data[0] != '?')
        conf_error(&w->conf->errors, n, "invalid URI \"%.*s\" in \"proxy_pass\"; it begins with \"/\"",
                   SLICE_ARGS(p->uri));
    if (p->uri.data && (w->location->match >= CONF_MATCH_REGEX || w->location->is_if))
        conf_error(
            &w->conf->errors, n,
            "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, or inside \"if\" statement; remove \"%.*s\"",
            SLICE_ARGS(p->uri));
    /* RFC 9112 section 3.2.1: the path is "/" then. */
    if (p->uri.data && p->uri.data[0] == '?')
        p->uri = arena_printf(&w->conf->arena, "/%.*s", SLICE_ARGS(p->uri));
    use(w, p);
}

/* "[grpc[s]://]HOST:PORT", "[grpc[s]://]unix:PATH" */
void conf_set_grpc_pass(struct conf_walk *w, const struct conf_node *n)
{
    static const struct slice plain = {"grpc://", 7}, secure = {"grpcs://", 8};
    struct conf_proxy *p = begin(w, n);
    struct slice text = n->args[0];
    if (!p)
        return;
    p->kind = CONF_PASS_GRPC;
    if (has_variables(text)) {
        p->text = text;
        use(w, p);
        return;
    }
    p->tls = slice_starts_nocase(text, secure);
    p->host = slice_from(text, p->tls ? secure.len : slice_starts_nocase(text, plain) ? plain.len : 0);
    bool is_unix = slice_starts(p->host, SLICE("unix:"));
    if (p->host.len == 0 || p->host.data[0] == ':')
        conf_error(&w->conf->errors, n, "no host in \"grpc_pass %.*s\"; write HOST:PORT", SLICE_ARGS(text));
    else if (!is_unix && memchr(p->host.data, '/', p->host.len))
        conf_error(
            &w->conf->errors, n,
            "invalid host in upstream \"%.*s\" of \"grpc_pass\"; write [grpc[s]://]HOST:PORT: a gRPC call's path "
            "is its client's",
            SLICE_ARGS(p->host));
    use(w, p);
}

/* "HOST:PORT", "unix:PATH" */
void conf_set_fastcgi_pass(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_proxy *p = begin(w, n);
    struct slice text = n->args[0];
    if (!p)
        return;
    p->kind = CONF_PASS_FASTCGI;
    if (has_variables(text))
        p->text = text;
    else
        p->host = text;
    if (text.len == 0 || text.data[0] == ':')
        conf_error(&w->conf->errors, n, "no host in \"fastcgi_pass %.*s\"; write HOST:PORT or unix:PATH",
                   SLICE_ARGS(text));
    else if (p->host.len && !slice_starts(text, SLICE("unix:")) && memchr(text.data, '/', text.len))
        conf_error(&w->conf->errors, n,
                   "invalid host in upstream \"%.*s\" of \"fastcgi_pass\"; write HOST:PORT or unix:PATH, "
                   "without a scheme and a path",
                   SLICE_ARGS(text));
    use(w, p);
}
