/*
 * conf/settings.h - the typed settings that a configuration becomes.
 *
 * The directive tables (conf/table_*.c) say which statement fills which field, with unit, range and default.
 * Ownership: everything lives in the arena of struct conf and dies with conf_free.
 * Threads:   read by the process's main thread only; a reload in place changes it between two events.
 */
#ifndef WEIR_CONF_SETTINGS_H
#define WEIR_CONF_SETTINGS_H

#include "base/arena.h"
#include "conf/tree.h"

#include <stdint.h>

#define CONF_UNSET INT64_MIN /* a number that no statement has set yet */

struct conf_key_value {
    struct slice key;
    struct slice value;
    struct conf_key_value *next;
};

struct conf_strings {
    const struct slice *items;
    int count;
};

enum { CONF_POOLS_MAX = 16 /* of a worker; shared memory has room for the figures of so many */ };

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

enum conf_policy { CONF_POLICY_FIXED, CONF_POLICY_CODEL, CONF_POLICY_GRADIENT };

/* limit_concurrency_zone NAME limit=N ... */
struct conf_zone {
    struct slice name;
    int64_t limit, queue;
    int64_t queue_timeout_ms;
    int policy;                     /* enum conf_policy */
    int64_t min, max;               /* gradient */
    int64_t target_ms, interval_ms; /* codel */
    int64_t window_ms, probe_interval_ms, probe_requests, buffer_percent, jitter_percent; /* gradient */
    int index; /* in the shared memory; the master sets it before it forks */
    const struct conf_node *node;
    struct conf_zone *next;
};

/* limit_concurrency NAME [priority=...]; several lines on one level are a list, in order. */
struct conf_limit {
    struct slice zone;
    struct slice priority; /* high, normal, low, or a text with variables */
    const struct conf_node *node;
    struct conf_limit *next;
    bool reported; /* that its zone is unknown: once, though many locations inherit it */
};

enum conf_keyed_kind { CONF_KEYED_CONNECTIONS, CONF_KEYED_REQUESTS, CONF_KEYED_SESSIONS };

/* limit_conn_zone KEY zone=NAME:SIZE, limit_req_zone KEY zone=NAME:SIZE rate=RATE, sticky learn ... zone=NAME:SIZE */
struct conf_keyed_zone {
    struct slice name, key; /* the key of sessions is "": each "sticky" that uses it has its own */
    enum conf_keyed_kind kind;
    int64_t bytes;
    int64_t rate; /* thousandths of requests a second */
    int index;    /* in the shared memory; the master sets it before it forks */
    const struct conf_node *node;
    struct conf_keyed_zone *next;
};

/* limit_conn ZONE NUMBER, limit_req zone=ZONE ...; several lines on one level are a list, in order. */
struct conf_keyed_limit {
    struct slice zone;
    int64_t number;       /* limit_conn: connections */
    int64_t burst, delay; /* limit_req: thousandths of requests; delay INT64_MAX: never */
    const struct conf_node *node;
    struct conf_keyed_limit *next;
    bool reported;
};

struct conf_module {
    struct slice path;
    struct slice about; /* what to add where it cannot be loaded; empty: nothing */
    const struct conf_node *node;
    struct conf_module *next;
};

struct conf_error_log {
    struct slice path; /* "stderr", "syslog:...", "memory:BYTES", or a file */
    int level;         /* enum log_level */
    bool json;
    const struct conf_node *node;
    struct conf_error_log *next;
};

enum conf_escape { CONF_ESCAPE_DEFAULT, CONF_ESCAPE_JSON, CONF_ESCAPE_NONE };

struct conf_log_format {
    struct slice name;
    struct slice text;
    enum conf_escape escape;
    const struct conf_node *node;
    struct conf_log_format *next;
};

/* One access_log statement; a list with path.data == NULL is "off". */
struct conf_access_log {
    struct slice path;
    struct slice format_name;
    struct slice condition; /* a text with variables; data NULL: every request */
    int64_t buffer_bytes, flush_ms;
    int64_t gzip; /* level; 0: none */
    const struct conf_node *node;
    struct conf_access_log *next;
};

/* open_log_file_cache */
struct conf_open_logs {
    bool given;
    int64_t max; /* 0: none is kept open */
    int64_t inactive_ms, valid_ms;
    int64_t min_uses; /* accepted: a file is kept from its first line on */
};

struct conf_return {
    int code;
    struct slice text; /* body, or the URL of a redirect; data NULL when there is none */
    const struct conf_node *node;
};

struct conf_error_page {
    const int *codes;
    int code_count;
    int new_code; /* -1: keep, 0: the answer's own ("="), else the code ("=200") */
    struct slice uri;
    const struct conf_node *node;
    struct conf_error_page *next;
};

struct conf_type {
    struct slice extension; /* lower case */
    struct slice type;
};

struct conf_types {
    struct conf_type *items;
    int count;
};

/* Statements of one directive on one level, in order. */
enum conf_inherit { CONF_INHERIT_ON, CONF_INHERIT_OFF, CONF_INHERIT_MERGE };

struct conf_lines {
    const struct conf_node *node;
    struct conf_lines *next;
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
    bool mandatory; /* a server gets no request before its first check has passed */
};

struct conf_upstream {
    struct slice name;
    struct conf_upstream_server *servers;
    enum conf_balance balance;
    const struct conf_node *balance_node;
    struct slice hash_key; /* a text with variables */
    bool by_last_byte;     /* least_time: the whole answer's time, else that of its head */
    bool inflight;         /* least_time: requests under way count with the time that they have taken */
    const struct conf_node *sticky; /* NULL: none */
    int64_t keepalive;              /* idle connections that a worker keeps */
    int64_t keepalive_requests, keepalive_time_ms, keepalive_timeout_ms;
    int64_t queue, queue_timeout_ms;  /* requests that may wait in a worker; 0: none */
    struct conf_health_check *health; /* NULL: none */
    struct conf_lines *zone;
    const struct conf_node *node;
    struct conf_upstream *next;
};

/* proxy_pass http://HOST[URI] */
struct conf_proxy {
    struct slice text; /* with variables: all of it; else data NULL, and */
    struct slice host; /* an upstream's name, or an address, as written */
    struct slice uri;  /* replaces the location's part of the path; data NULL: the client's URI as it is */
    const struct conf_node *node;
};

/* Bits of proxy_next_upstream and proxy_ignore_headers, in the order of their words in the table. */
enum conf_next_upstream {
    CONF_NEXT_ERROR = 1 << 0,
    CONF_NEXT_TIMEOUT = 1 << 1,
    CONF_NEXT_INVALID_HEADER = 1 << 2,
    CONF_NEXT_HTTP_500 = 1 << 3,
    CONF_NEXT_HTTP_502 = 1 << 4,
    CONF_NEXT_HTTP_503 = 1 << 5,
    CONF_NEXT_HTTP_504 = 1 << 6,
    CONF_NEXT_HTTP_403 = 1 << 7,
    CONF_NEXT_HTTP_404 = 1 << 8,
    CONF_NEXT_HTTP_429 = 1 << 9,
    CONF_NEXT_NON_IDEMPOTENT = 1 << 10,
    CONF_NEXT_OFF = 1 << 11
};

enum conf_ignore_header {
    CONF_IGNORE_REDIRECT = 1 << 0,
    CONF_IGNORE_LIMIT_RATE = 1 << 1,
    CONF_IGNORE_BUFFERING = 1 << 2,
    CONF_IGNORE_CHARSET = 1 << 4
};

/* Bits of gzip_proxied. */
enum conf_gzip_proxied {
    CONF_GZIP_OFF = 1 << 0,
    CONF_GZIP_EXPIRED = 1 << 1,
    CONF_GZIP_NO_CACHE = 1 << 2,
    CONF_GZIP_NO_STORE = 1 << 3,
    CONF_GZIP_PRIVATE = 1 << 4,
    CONF_GZIP_NO_LAST_MODIFIED = 1 << 5,
    CONF_GZIP_NO_ETAG = 1 << 6,
    CONF_GZIP_AUTH = 1 << 7,
    CONF_GZIP_ANY = 1 << 8
};

enum conf_gzip_static { CONF_GZIP_STATIC_OFF, CONF_GZIP_STATIC_ON, CONF_GZIP_STATIC_ALWAYS };

enum conf_autoindex { CONF_AUTOINDEX_HTML, CONF_AUTOINDEX_XML, CONF_AUTOINDEX_JSON, CONF_AUTOINDEX_JSONP };

enum conf_symlinks { CONF_SYMLINKS_FOLLOW, CONF_SYMLINKS_NONE, CONF_SYMLINKS_IF_NOT_OWNER };

enum conf_body_file { CONF_BODY_FILE_OFF, CONF_BODY_FILE_ON, CONF_BODY_FILE_CLEAN };

enum conf_lingering { CONF_LINGERING_OFF, CONF_LINGERING_ON, CONF_LINGERING_ALWAYS };

enum conf_keepalive_disable {
    CONF_KEEPALIVE_NONE = 1 << 0,
    CONF_KEEPALIVE_MSIE6 = 1 << 1,
    CONF_KEEPALIVE_SAFARI = 1 << 2
};

enum conf_satisfy { CONF_SATISFY_ALL, CONF_SATISFY_ANY };

enum conf_proxy_protocol { CONF_PROXY_PROTOCOL_OFF, CONF_PROXY_PROTOCOL_V1, CONF_PROXY_PROTOCOL_V2 };

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
    struct slice root, alias;
    int64_t alias_strip;                 /* bytes of the URI that `alias` replaces; -1: all of it */
    const struct conf_node *folder_node; /* root or alias; NULL: the default */
    const struct conf_strings *index;
    const struct conf_types *types;
    struct slice default_type;
    const struct conf_error_page *error_pages;
    const struct conf_access_log *access_logs;
    struct conf_open_logs open_logs;
    int64_t keepalive_timeout_ms;
    int64_t keepalive_header_s; /* 0: no Keep-Alive header */
    int64_t keepalive_requests;
    int64_t client_header_timeout_ms, client_body_timeout_ms, send_timeout_ms;
    int64_t client_body_min_rate,
        client_body_min_rate_after_ms; /* bytes a second, 0: any; and from when on */
    int64_t client_max_body_bytes;     /* 0: no limit */
    int64_t client_header_buffer_bytes;
    int64_t large_header_buffers, large_header_buffer_bytes;
    int64_t client_body_buffer_bytes;
    int64_t client_body_in_file_only; /* enum conf_body_file */
    int64_t keepalive_time_ms, keepalive_min_timeout_ms;
    int64_t keepalive_disable; /* enum conf_keepalive_disable */
    int64_t max_headers, ignore_invalid_headers, underscores_in_headers, merge_slashes;
    int64_t lingering_close; /* enum conf_lingering */
    int64_t lingering_time_ms, lingering_timeout_ms, reset_timedout;
    int64_t absolute_redirect, port_in_redirect, server_name_in_redirect, chunked;
    struct slice client_body_temp_path;
    int64_t handler_timeout_ms;
    struct conf_limit *limits;
    int64_t limit_status, limit_dry_run, limit_log_level;
    struct conf_keyed_limit *conn_limits, *req_limits;
    int64_t limit_conn_status, limit_conn_dry_run, limit_conn_log_level;
    int64_t limit_req_status, limit_req_dry_run, limit_req_log_level;
    struct conf_lines *proxy_headers, *proxy_hidden, *proxy_passed;
    struct conf_lines *proxy_redirects, *proxy_cookie_domains, *proxy_cookie_paths, *proxy_cookie_flags;
    const struct conf_node *proxy_method, *proxy_body;
    struct conf_lines *proxy_bind_lines, *proxy_cache_bypass, *proxy_no_cache;
    int64_t proxy_connect_timeout_ms, proxy_send_timeout_ms, proxy_read_timeout_ms;
    int64_t proxy_buffer_bytes, proxy_intercept_errors;
    int64_t proxy_http_version; /* minor */
    int64_t proxy_pass_headers, proxy_pass_body, proxy_pass_trailers;
    int64_t proxy_ignore_headers; /* enum conf_ignore_header */
    int64_t proxy_buffering, proxy_buffers_bytes, proxy_busy_bytes, proxy_max_temp_bytes,
        proxy_temp_write_bytes;
    struct slice proxy_temp_path;
    int64_t proxy_request_buffering;
    int64_t proxy_next_upstream; /* enum conf_next_upstream */
    int64_t proxy_next_tries, proxy_next_timeout_ms;
    int64_t proxy_socket_keepalive, proxy_ignore_client_abort;
    int64_t proxy_protocol; /* enum conf_proxy_protocol */
    int64_t proxy_request_ids;
    const struct conf_node *limit_rate;
    const struct conf_node *limit_rate_after, *proxy_limit_rate;
    struct conf_lines *access; /* allow, deny */
    const struct conf_node *auth_basic, *auth_basic_user_file, *auth_request;
    struct conf_lines *auth_request_sets;
    int64_t auth_delay_ms;
    struct conf_lines *valid_referers;
    const struct conf_node *secure_link, *secure_link_md5;
    struct slice secure_link_secret;
    int64_t satisfy; /* enum conf_satisfy */
    const struct conf_node *expires;
    int64_t etag;
    int64_t if_modified_since; /* enum http_since */
    int64_t max_ranges, sendfile_max_chunk;
    int64_t open_files_max, open_files_inactive_ms, open_files_valid_ms, open_files_min_uses,
        open_files_errors;
    int64_t directio;            /* 0: off */
    const struct conf_node *aio; /* off, on, threads, threads=POOL; NULL: off */
    const struct conf_node *disable_symlinks;
    int64_t random_index;
    int64_t log_not_found, log_subrequest, recursive_error_pages;
    int64_t autoindex, autoindex_exact_size, autoindex_localtime;
    int64_t autoindex_format; /* enum conf_autoindex */
    int64_t gzip, gzip_min_length, gzip_comp_level, gzip_http_version, gzip_vary, gzip_proxied, gzip_buffers;
    int64_t gzip_static; /* enum conf_gzip_static */
    struct conf_lines *gzip_types, *gzip_disable;
    bool gzip_disable_msie6; /* at this level or above: "msie6" is inherited even where expressions are not */
    int64_t rewrite_log, uninitialized_variable_warn;
    struct conf_lines *maps, *geos, *splits, *add_headers, *add_trailers, *early_hints;
    int64_t add_header_inherit, add_trailer_inherit; /* enum conf_inherit */
    struct conf_lines *sub_filters, *sub_filter_types, *charset_types, *charset_maps;
    int64_t sub_filter_once, sub_filter_last_modified, override_charset;
    const struct conf_node *charset, *source_charset;
    struct conf_error_log *error_logs; /* of this level and below; NULL: those of the main level */
    struct conf_lines *real_ip_from;
    struct slice real_ip_header;
    int64_t real_ip_recursive;
    struct conf_lines *resolver;
    int64_t resolver_timeout_ms;
    int64_t sendfile, tcp_nodelay, tcp_nopush, server_tokens;
};

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
    bool reuseport, default_server, ipv6only, proxy_protocol, deferred, so_keepalive;
    bool binds; /* "bind", or an option that only a socket of its own can have */
    const struct conf_node *node;
    struct conf_listen *next;
};

struct conf_server {
    struct conf_listen *listens;
    struct conf_strings names;
    const struct conf_node *names_node;
    struct conf_location top; /* the server's own settings, and its locations */
    const struct conf_node *node;
    struct conf_server *next;
};

struct conf_http {
    struct settings settings;
    struct conf_log_format *formats;
    struct conf_zone *zones;
    struct conf_keyed_zone *keyed_zones;
    struct conf_upstream *upstreams;
    struct conf_server *servers;
    const struct conf_node *node;
};

struct conf_places;

struct conf {
    struct arena arena;
    struct conf_errors errors;
    struct conf_errors warnings; /* for the error log, once it is open */
    struct conf_tree tree;
    struct conf_absent *absent;       /* conf/unknown.c: what is asked for and not there */
    struct slice prefix;              /* with a "/" at its end; relative paths start here */
    const struct conf_places *places; /* of what is not named; NULL: below the prefix */

    int64_t daemon, master_process;
    struct slice user, group;
    const struct conf_node *user_node;
    bool has_events;
    struct slice pid_path;
    int64_t worker_processes;           /* "auto" already resolved */
    int64_t rlimit_nofile, rlimit_core; /* CONF_UNSET: leave as it is */
    int64_t worker_priority;
    const struct conf_node *cpu_affinity; /* NULL: none */
    struct slice working_directory;
    struct conf_lines *env;
    int64_t shutdown_timeout_ms;
    int64_t stall_timeout_ms; /* 0: never */
    struct conf_error_log *error_logs;
    struct conf_module *modules;
    struct conf_pool *pools; /* "default" is always among them */
    int64_t worker_connections;
    int64_t multi_accept, accept_mutex;
    struct conf_http *http; /* NULL without an http block */
};

#endif
