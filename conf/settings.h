/*
 * conf/settings.h - the typed settings that a configuration becomes.
 *
 * The directive tables (conf/table_*.c, and those of features) say which statement fills which field, with unit, range and default.
 * Ownership: everything lives in the arena of struct conf and dies with conf_free.
 * Threads:   read by the process's main thread only; a reload in place changes it between two events.
 */
#ifndef WEIR_CONF_SETTINGS_H
#define WEIR_CONF_SETTINGS_H

#include "base/arena.h"
#include "conf/part.h"
#include "conf/settings_answers.h"
#include "conf/settings_client.h"
#include "conf/settings_files.h"
#include "conf/settings_limits.h"
#include "conf/settings_logs.h"
#include "conf/settings_proxy.h"
#include "conf/settings_upstream.h"
#include "conf/tree.h"

/* Of a worker; shared memory has room for the figures of so many. */
enum { CONF_POOLS_MAX = 16 };

/* thread_pool NAME threads=MIN..MAX ... */
struct conf_pool {
    struct slice name;
    int64_t threads_min, threads_max;
    int64_t max_queue;
    int64_t queue_timeout_ms; /* 0: no bound on age */
    int64_t idle_timeout_ms;
    int64_t stack_bytes;
    int discipline; /* enum conf_discipline */
    const struct conf_node *node;
    struct conf_pool *next;
};

enum conf_discipline { CONF_FIFO, CONF_LIFO, CONF_CODEL };

struct conf_module {
    struct slice path;
    /* What to add where it cannot be loaded; empty: nothing. */
    struct slice about;
    const struct conf_node *node;
    struct conf_module *next;
};

struct conf_return {
    int code;
    /* Body, or the URL of a redirect; data NULL when there is none. */
    struct slice text;
    const struct conf_node *node;
};

/* upstream NAME { server ...; keepalive N; } */
struct conf_upstream_server {
    struct slice address; /* as written; without a port it is 80 */
    int64_t weight, max_fails, fail_timeout_ms;
    int64_t max_conns; /* 0: no bound */
    int64_t slow_start_ms;
    struct slice route; /* for sticky; data NULL: none */
    bool backup, down;
    bool drain;   /* only requests that are bound to it */
    bool resolve; /* may be unknown at the start */
    const struct conf_node *node;
    struct conf_upstream_server *next;
};

enum conf_balance {
    CONF_BALANCE_ROUND_ROBIN,
    CONF_BALANCE_LEAST_CONN,
    CONF_BALANCE_LEAST_TIME,
    CONF_BALANCE_IP_HASH,
    CONF_BALANCE_HASH,
    CONF_BALANCE_HASH_CONSISTENT,
    CONF_BALANCE_RANDOM,
    CONF_BALANCE_RANDOM_TWO /* the one of two with fewer connections */
};

enum { CONF_HEALTH_RANGES = 8 };

/* health_check [interval=] ... */
struct conf_health_check {
    int64_t interval_ms, timeout_ms;
    int64_t passes, fails;
    int64_t port; /* 0: the server's own */
    struct slice uri;
    int status_from[CONF_HEALTH_RANGES], status_to[CONF_HEALTH_RANGES]; /* that are well */
    int status_ranges;
    /* A server gets no request before its first check has passed. */
    bool mandatory;
};

struct conf_upstream {
    struct conf_given given;
    struct slice name;
    struct conf_upstream_server *servers;
    enum conf_balance balance;
    const struct conf_node *balance_node;
    struct slice hash_key; /* a text with variables */
    /* least_time: the whole answer's time, else that of its head. */
    bool by_last_byte;
    /* least_time: requests under way count with the time that they have taken. */
    bool inflight;
    const struct conf_node *sticky; /* NULL: none */
    int keepalive;                  /* idle connections that a worker keeps */
    int keepalive_requests;
    int64_t keepalive_time_ms, keepalive_timeout_ms;
    /* Requests that may wait in a worker; 0: none. */
    int64_t queue, queue_timeout_ms;
    struct conf_health_check *health; /* NULL: none */
    struct conf_lines *zone;
    const struct conf_node *node;
    struct conf_upstream *next;
};

/* proxy_pass http://HOST[URI], grpc_pass HOST, fastcgi_pass HOST */
struct conf_proxy {
    /* With variables: all of it; else data NULL, and host and uri say. */
    struct slice text;
    /* An upstream's name, or an address, as written. */
    struct slice host;
    /* Replaces the location's part of the path; data NULL: the client's URI as it is. */
    struct slice uri;
    bool tls; /* https://, grpcs:// */
    enum conf_pass_kind kind;
    const struct conf_node *node;
};

enum conf_content {
    CONF_CONTENT_STATIC,
    CONF_CONTENT_HANDLER,
    CONF_CONTENT_PROXY,
    CONF_CONTENT_STATUS,
    CONF_CONTENT_STUB_STATUS
};

struct conf_handler {
    struct slice name;
    struct slice pool;
    struct conf_key_value *args;
    const struct conf_node *node;
};

/* What http, server and location share; inherited inwards field by field. */
struct settings {
    struct conf_given given; /* on the level itself, not above it */
    struct part_block parts; /* of features: each has its own header */
    struct client_settings client;
    struct http2_settings http2;
    struct answer_settings answers;
    struct file_settings files;
    struct log_settings logs;
    struct proxy_settings passes[CONF_PASS_KINDS];
    struct resolver_settings resolver;
};

/*
 * The one place where a part of settings gets its type, in its owner's header: tag_of reads the part, tag_in fills it.
 *
 * The owner's .c defines `struct part tag_part` with the size of struct tag; its rows have fields of it: CONF_PART_FIELD.
 * One that only its owner's .c knows may need just one of the two: clang would say so of the other.
 */
// clang-format off
#define SETTINGS_PART(tag)                                                              \
    extern struct part tag##_part;                                                      \
    __attribute__((unused))                                                             \
    static inline const struct tag *tag##_of(const struct settings *s)                  \
    {                                                                                   \
        return part_in(&s->parts, &tag##_part, sizeof(struct tag));                     \
    }                                                                                   \
    __attribute__((unused))                                                             \
    static inline struct tag *tag##_in(struct settings *s)                              \
    {                                                                                   \
        return part_in(&s->parts, &tag##_part, sizeof(struct tag));                     \
    }
// clang-format on

enum conf_match {
    CONF_MATCH_PREFIX,
    CONF_MATCH_PREFIX_FINAL,
    CONF_MATCH_EXACT,
    CONF_MATCH_REGEX,
    CONF_MATCH_REGEX_NOCASE,
    CONF_MATCH_NAMED /* "@name": for internal redirects only */
};

enum conf_op_kind { CONF_OP_SET, CONF_OP_IF, CONF_OP_REWRITE, CONF_OP_BREAK, CONF_OP_RETURN };

/* A step of the rewrite module, in the order of the file. */
struct conf_op {
    enum conf_op_kind kind;
    const struct conf_node *node;
    const struct conf_return *ret;
    struct conf_location *then; /* of "if": its own steps and settings */
    struct conf_op *next;
};

struct conf_location {
    enum conf_match match; /* "", "^~", "=", "~", "~*" */
    struct slice pattern;
    struct settings settings;
    enum conf_content content;
    const struct conf_handler *handler;
    const struct conf_proxy *proxy;
    const struct conf_return *ret;
    struct conf_op *ops;
    struct conf_location *except; /* limit_except: its settings; NULL: none */
    struct conf_location *ifs;    /* of the ops, linked by next */
    bool is_if;
    const struct conf_node *try_files; /* NULL: none */
    bool internal;
    struct conf_location *locations; /* nested, in order */
    struct conf_location *parent;
    struct conf_location *next;
    const struct conf_node *node;
};

struct conf_listen {
    struct slice address; /* as written */
    int64_t backlog;
    int64_t fastopen, rcvbuf, sndbuf;                                  /* 0: the system's */
    int64_t keepalive_idle_ms, keepalive_interval_ms, keepalive_count; /* likewise */
    bool reuseport, default_server, ipv6only, proxy_protocol, ssl, http2, deferred, so_keepalive;
    /* "bind", or an option that only a socket of its own can have. */
    bool binds;
    const struct conf_node *node;
    struct conf_listen *next;
};

struct conf_server {
    struct conf_listen *listens;
    struct conf_strings names;
    const struct conf_node *names_node;
    /* The server's own settings, and its locations. */
    struct conf_location top;
    const struct conf_node *node;
    struct conf_server *next;
};

struct conf_http {
    struct settings settings;
    struct conf_log_format *formats;
    struct conf_zone *zones;
    struct conf_keyed_zone *keyed_zones;
    struct conf_upstream *upstreams;
    /* One server, and all as by default: for hosts that no upstream names. */
    struct conf_upstream unnamed;
    struct conf_server *servers;
    const struct conf_node *node;
};

struct conf_places;

struct conf {
    struct arena arena;
    struct conf_errors errors;
    struct conf_errors warnings; /* for the error log, once it is open */
    struct conf_tree tree;
    /* conf/unknown.c: what is asked for and not there. */
    struct conf_absent *absent;
    /* With a "/" at its end; relative paths start here. */
    struct slice prefix;
    /* Of what is not named; NULL: below the prefix. */
    const struct conf_places *places;

    struct conf_given given;
    bool daemon, master_process;
    struct slice user, group;
    const struct conf_node *user_node;
    bool has_events;
    struct slice pid_path;
    int worker_processes;               /* "auto" already resolved */
    int64_t rlimit_nofile, rlimit_core; /* CONF_UNSET: leave as it is */
    int worker_priority;
    const struct conf_node *cpu_affinity; /* NULL: none */
    struct slice working_directory;
    struct conf_lines *env;
    int64_t shutdown_timeout_ms;
    int64_t stall_timeout_ms; /* 0: never */
    struct conf_error_log *error_logs;
    struct conf_module *modules;
    struct conf_pool *pools; /* "default" is always among them */
    int worker_connections;
    bool multi_accept, accept_mutex;
    struct conf_http *http; /* NULL without an http block */
};

#endif
