/*
 * http/site/site.h - a configuration made ready to serve: routers built, texts compiled, modules loaded, handlers set up.
 *
 * Built by the master before it forks, so that every mistake is found while the old configuration still serves; the
 * workers inherit it.
 * Ownership: a site owns its listening sockets, log files and modules; it refers to its conf, which must outlive it.
 * Threads:   built by one thread; then read by the worker's loop.
 */
#ifndef WEIR_HTTP_SITE_SITE_H
#define WEIR_HTTP_SITE_SITE_H

#include "base/list.h"
#include "base/logfile.h"
#include "conf/conf.h"
#include "http/request/template.h"
#include "http/request/variables.h"
#include "http/site/module.h"
#include "http/site/paths.h"
#include "http/site/router.h"
#include "net/listener.h"
#include "shm/peer.h"

enum { SITE_REUSEPORT_MAX = 64 };

struct access_log {
    struct logfile *file;             /* or NULL: */
    const struct http_template *path; /* says it for each request */
    const struct http_template *format;
    enum http_escape escape;
    const struct http_template *condition; /* NULL: every request */
    struct access_log *next;
};

struct error_target {
    const int *codes;
    int code_count;
    int new_code; /* as in struct conf_error_page */
    const struct http_template *uri;
    /* A named location: it gets the request's body. */
    bool named;
    struct error_target *next;
};

struct health_probe;

/* An address of an upstream's server, as one worker sees it. */
struct peer {
    struct net_address address;
    const char *text;
    struct shm_peer *shared;
    char *name; /* among all peers of the group */
    struct upstream_server *server;
    /* With no room in shared memory: it is only this worker's. */
    struct shm_peer *own;
    /* Connections, and the upstream while it lists the peer. */
    unsigned refs;
    bool gone; /* its name no longer has this address */
    /* proxy/health.c: the check under way, or NULL. */
    struct health_probe *probe;
    char id[32]; /* for sticky */
    size_t id_len;
    uint64_t tag;                     /* of the id, for sessions */
    struct upstream_session *session; /* of TLS, or NULL: proxy/tls.c */
};

/* A line of an upstream. */
struct upstream_server {
    const struct conf_upstream_server *conf;
    /* A name that is resolved again and again; data NULL: an address. */
    struct slice host;
    unsigned port;
    struct net_address *addresses; /* when the configuration was read */
    int address_count;
    uint64_t resolve_at_ms;
    bool resolving, owns_addresses, complained;
    struct upstream *upstream;
};

struct hash_point {
    uint32_t hash;
    int peer;
};

struct upstream {
    struct slice name;
    /* NULL: of a single server that proxy_pass names. */
    const struct conf_upstream *conf;
    struct upstream_server *servers;
    int server_count;
    struct shm_group *group;
    struct slice group_name;
    struct peer **peers; /* proxy/upstream.c, from malloc */
    int peer_count;
    const struct http_template *hash_key;
    /* Whose rules health checks follow that speak TLS: proxy/health.c; NULL: they speak plainly. */
    const struct location *checked_as;
    struct sticky *sticky;     /* proxy/sticky.c; NULL: none */
    struct hash_point *points; /* hash consistent: sorted */
    int point_count;
    int64_t keepalive, keepalive_requests, keepalive_time_ms, keepalive_timeout_ms;
    /* Connections, the one used last at the front. */
    struct list_node idle;
    int idle_count;
    struct list_node carriers; /* connections of HTTP/2: proxy/http2.h */
    /* Of the peers, those that are not configured to be down. */
    int usable_count;
    /* Requests that wait for a server other than those they have tried. */
    int retrying;
    struct list_node unresolved; /* requests that wait for a name */
    struct list_node queue;      /* requests that wait for a server */
    int queue_length;
    char *own_name; /* from malloc; NULL: the configuration's */
    /* By variables of a proxy_pass: proxy/resolve.c made it. */
    bool named;
    uint64_t used_ms; /* and when it was used last */
    unsigned users;   /* requests */
    struct upstream *next;
};

struct proxy_header {
    struct slice name;
    const struct http_template *value;
    bool if_not_empty; /* else it is left out: fastcgi_param */
};

/* A line of proxy_redirect, proxy_cookie_domain or proxy_cookie_path; or a cookie's name of proxy_cookie_flags. */
struct proxy_rewrite {
    const struct http_template *from; /* a prefix; NULL: */
    struct http_regex *regex;
    const struct http_template *to;
    const struct http_template *flags[6]; /* of proxy_cookie_flags */
    int flag_count;
};

struct proxy_rewrites {
    struct proxy_rewrite *items;
    int count;
};

struct location_proxy {
    struct upstream *upstream; /* NULL: `target` says */
    const struct http_template *target;
    struct slice host; /* $proxy_host */
    struct slice uri;  /* data NULL: the client's as it is */
    size_t strip;      /* bytes of the path that `uri` replaces */
    struct proxy_header *headers;
    int header_count;
    /* https; of a target with variables its text says. */
    bool tls;
    enum conf_pass_kind kind;
    bool sets_host; /* a header is Host */
    const struct http_template *method, *body;
    const struct http_template *bind; /* NULL: none */
    bool bind_transparent;
    struct slice *hidden, *passed;
    int hidden_count, passed_count;
    struct proxy_rewrites redirects, cookie_domains, cookie_paths, cookie_flags;
};

/* By which directives it passes on. */
static inline const struct proxy_settings *location_passes(const struct settings *s,
                                                           const struct location_proxy *to)
{
    return &s->passes[to->kind];
}

/* What "if" asks. */
enum rewrite_test { TEST_TRUE, TEST_EQUAL, TEST_MATCH, TEST_FILE, TEST_FOLDER, TEST_EXISTS, TEST_EXECUTABLE };

/* A step of the rewrite module, compiled; `kind` is an enum conf_op_kind. */
struct rewrite_op {
    int kind;
    /* set: the value; if: what is tested; rewrite: the replacement; return: the text. */
    const struct http_template *value;
    /* "if": what it is compared with; rewrite: the replacement's arguments. */
    const struct http_template *right;
    struct http_regex *regex;
    struct slice pattern;  /* its text, for the log */
    struct slice variable; /* set: which */
    enum rewrite_test test;
    bool negated;
    bool last, stop;           /* rewrite: flags */
    bool drops_args;           /* rewrite: the replacement ends with "?" */
    int code;                  /* rewrite: of a redirect, 0 none; return */
    struct rewrite_op *then;   /* if */
    struct location *location; /* if: its settings */
    struct rewrite_op *next;
};

struct location {
    const struct settings *settings;
    struct part_block parts; /* of features: each has its own header */
    enum conf_content content;
    const struct http_template *return_text;
    int return_code; /* 0: none */
    const struct weir_handler *handler;
    void *handler_settings;
    /* Of handler->variables, as many; NULL: none. */
    const struct http_template **handler_variables;
    struct location_proxy *proxy;
    const struct http_template *rate, *rate_after, *proxy_rate; /* limit_rate and its kin; NULL: none */
    struct static_source files;
    int aio_pool;                             /* index in the order of conf->pools, or -1 */
    int pool;                                 /* index in the order of conf->pools */
    const struct http_template **early_hints; /* early_hints; NULL: as always */
    int early_hint_count;
    struct rewrite_op *ops; /* NULL: none */
    bool internal;          /* for other locations only */
    struct slice name;      /* the pattern, or "@name" of a named one */
    struct location *next_named;
    struct location *next_slashed;
    struct access_log *access_logs;
    struct error_target *error_targets;
    struct error_file *error_files; /* NULL: the main level's */
    int number;                     /* among all of the site, from 0 */
    /* All of a site, the last one first. */
    struct location *next_made;
};

struct vserver {
    /* The first one, for $server_name and redirects. */
    struct slice name;
    struct http_locations *locations;
    struct location *top; /* when no location matches */
    struct location *named;
    /* That pass on, and whose prefix ends with a slash: the name without it is redirected. */
    struct location *slashed;
    struct vserver *next;
};

struct site_listen {
    struct net_address address;
    struct net_listen_options options;
    /* One, or with reuseport one for each worker; -1 when not open. */
    int fds[SITE_REUSEPORT_MAX];
    int fd_count; /* 0 with `within` */
    /* The wildcard that is bound in its place; NULL: it has sockets of its own. */
    const struct site_listen *within;
    bool binds; /* it must have */
    struct http_names *names;
    struct vserver *default_server;
    bool has_explicit_default;
    bool proxy_protocol; /* connections begin with its header */
    bool tls;            /* and speak TLS */
    /* listen ... http2: for all its servers. */
    bool http2;
    /* A service manager handed it over: the file of a unix socket is its, too. */
    bool is_managers;
    bool is_older_binarys;
    const struct conf_node *node;
    struct site_listen *next;
};

struct loaded_module {
    struct module *module;
    struct loaded_module *next;
};

struct site {
    struct arena arena;
    struct conf *conf;
    struct part_block parts; /* of features, as of locations */
    struct site_listen *listens;
    struct logfiles access_files, error_files;
    struct loaded_module *modules;
    struct location *made;
    struct vserver *servers;
    struct upstream *upstreams;
    int upstream_count, address_count; /* of all upstreams */
    /* Groups of all regular expressions, and maps. */
    struct http_scope scope;
    struct http_regex **regexes; /* for freeing */
    int regex_count;
    /* While it is built: the server that is. */
    const struct vserver *building;
    const struct conf_server *building_conf;
    /* How long names of hosts have been waited for. */
    uint64_t lookups_ms;
};

/* The server's own, ended by NULL: for every site from now on. */
void site_use_handlers(const struct weir_handler *const *handlers);

/* Builds; mistakes are added to conf->errors. Opens nothing but modules. Never NULL. */
struct site *site_build(struct conf *conf);

void site_build_upstreams(struct site *site);

/* What of its idle connections an upstream keeps. */
void site_set_keepalive(struct upstream *u, const struct conf_upstream *c);

/* The upstream of that name, or NULL. */
struct upstream *site_find_upstream(const struct site *site, struct slice name);
void site_name_variables(struct site *site);

/* Whether it names all of an address: a port, or a socket's path. Only proxy_pass has a scheme that names a port. */
bool site_has_port(struct slice host);

void site_build_files(struct site *site, struct location *l, const struct conf_location *c);
struct location *site_build_location(struct site *site, const struct conf_location *c);
void site_free_rewrites(struct site *site);
/* NULL: the location has no proxy_pass; its other texts about one are checked. */
/* The name of what proxy_pass names: with the port that https has, where it says none. Empty: out of memory. */
struct slice site_target_name(struct arena *arena, struct slice host, bool tls);

struct location_proxy *site_build_proxy(struct site *site, const struct conf_location *c);

/* Sends the error log to this site's files, which must be open. */
void site_use_error_logs(struct site *site);

/* Closes sockets and files of this process, frees handlers' settings. The conf is the caller's. */
void site_free(struct site *site);

/* Whether two sites whose configurations name the same modules have loaded the same ones. */
bool site_same_modules(const struct site *a, const struct site *b);

/* Server and location for a host and path. */
const struct vserver *site_find_server(const struct site_listen *listen, struct slice host,
                                       struct http_captures *captures);
const struct location *site_find_named(const struct vserver *server, struct slice name);
/* What error_page says of this status; NULL: nothing. */
const struct error_target *site_find_error_target(const struct location *l, int status);

/* The same for an error of the request's, which may have one already. */
bool site_has_error_page(const struct http_exchange *ex, int status);

#endif
