/*
 * conf/table_accepted.c - directives of nginx that have no meaning here, as data: a configuration with them works all the same.
 *
 * They are about how nginx works inside: sizes of its hashes and pools, ways of its own to wait and to write.
 */
#include "conf/rows.h"

#define ACCEPTED(directive, places, least, most, arguments, why)                                  \
    {                                                                                             \
        .name = (directive), .where = (places), .args = {(least), (most)}, .type = CONF_ACCEPTED, \
        .live = CONF_LIVE, .syntax = (arguments), .help = "Accepted: " why                        \
    }

// clang-format off
/* NOLINTBEGIN(bugprone-macro-parentheses): a prefix is a part of a text. */
/* How a cache would work that is not there: its own directives, which switch it on, are no words of ours. */
#define CACHE_WORDS(prefix) \
    ACCEPTED(prefix "cache_key", CONF_HTTP_ALL, 1, 1, "TEXT", "there is no cache."), \
    ACCEPTED(prefix "cache_valid", CONF_HTTP_ALL, 1, CONF_ANY, "[CODE ...] TIME", "there is no cache."), \
    ACCEPTED(prefix "cache_methods", CONF_HTTP_ALL, 1, CONF_ANY, "GET | HEAD | POST ...", "there is no cache."), \
    ACCEPTED(prefix "cache_min_uses", CONF_HTTP_ALL, 1, 1, "NUMBER", "there is no cache."), \
    ACCEPTED(prefix "cache_lock", CONF_HTTP_ALL, 1, 1, "on | off", "there is no cache."), \
    ACCEPTED(prefix "cache_lock_age", CONF_HTTP_ALL, 1, 1, "TIME", "there is no cache."), \
    ACCEPTED(prefix "cache_lock_timeout", CONF_HTTP_ALL, 1, 1, "TIME", "there is no cache."), \
    ACCEPTED(prefix "cache_use_stale", CONF_HTTP_ALL, 1, CONF_ANY, "error | timeout | updating | off ...", "there is no cache."), \
    ACCEPTED(prefix "cache_revalidate", CONF_HTTP_ALL, 1, 1, "on | off", "there is no cache."), \
    ACCEPTED(prefix "cache_background_update", CONF_HTTP_ALL, 1, 1, "on | off", "there is no cache."), \
    ACCEPTED(prefix "cache_max_range_offset", CONF_HTTP_ALL, 1, 1, "NUMBER", "there is no cache.")
/* NOLINTEND(bugprone-macro-parentheses) */
// clang-format on

const struct conf_directive conf_accepted_directives[] = {
    // clang-format off
    ACCEPTED("pcre_jit", CONF_MAIN, 1, 1, "on | off", "expressions are always compiled where the machine allows it."),
    ACCEPTED("lock_file", CONF_MAIN, 1, 1, "FILE", "nothing needs a lock file."),
    ACCEPTED("timer_resolution", CONF_MAIN, 1, 1, "TIME", "the time is read once in each turn of the loop."),
    ACCEPTED("accept_mutex_delay", CONF_EVENTS, 1, 1, "TIME", "workers take turns by how busy they are, without a lock."),
    ACCEPTED("epoll_events", CONF_EVENTS, 1, 1, "NUMBER", "libev asks for as many as there are."),
    ACCEPTED("worker_aio_requests", CONF_EVENTS, 1, 1, "NUMBER", "thread_pool bounds what threads do."),
    ACCEPTED("client_body_in_single_buffer", CONF_HTTP_ALL, 1, 1, "on | off", "a body in memory always is in one piece."),
    ACCEPTED("postpone_output", CONF_HTTP_ALL, 1, 1, "SIZE", "what a turn of the loop has for a client goes out with one call."),
    ACCEPTED("send_lowat", CONF_HTTP_ALL, 1, 1, "SIZE", "it has no meaning on Linux, in nginx neither."),
    ACCEPTED("output_buffers", CONF_HTTP_ALL, 2, 2, "NUMBER SIZE", "files go out by sendfile, or through one buffer of the worker."),
    ACCEPTED("read_ahead", CONF_HTTP_ALL, 1, 1, "SIZE", "the kernel reads ahead by itself."),
    ACCEPTED("directio_alignment", CONF_HTTP_ALL, 1, 1, "SIZE", "see directio."),
    ACCEPTED("aio_write", CONF_HTTP_ALL, 1, 1, "on | off", "temporary files are written by the loop, into the page cache."),
    ACCEPTED("connection_pool_size", CONF_HTTP_SERVER, 1, 1, "SIZE", "a connection has no pool of memory."),
    ACCEPTED("request_pool_size", CONF_HTTP_SERVER, 1, 1, "SIZE", "a request's memory grows by 4k."),
    ACCEPTED("server_names_hash_max_size", CONF_HTTP, 1, 1, "SIZE", "the table of names is as large as it has to be."),
    ACCEPTED("server_names_hash_bucket_size", CONF_HTTP, 1, 1, "SIZE", "see server_names_hash_max_size."),
    ACCEPTED("types_hash_max_size", CONF_HTTP_ALL, 1, 1, "SIZE", "the table of types is as large as it has to be."),
    ACCEPTED("types_hash_bucket_size", CONF_HTTP_ALL, 1, 1, "SIZE", "see types_hash_max_size."),
    ACCEPTED("variables_hash_max_size", CONF_HTTP, 1, 1, "SIZE", "names of variables are looked up when the configuration is read."),
    ACCEPTED("variables_hash_bucket_size", CONF_HTTP, 1, 1, "SIZE", "see variables_hash_max_size."),
    ACCEPTED("map_hash_max_size", CONF_HTTP, 1, 1, "SIZE", "a map's table is as large as it has to be."),
    ACCEPTED("map_hash_bucket_size", CONF_HTTP, 1, 1, "SIZE", "see map_hash_max_size."),
    ACCEPTED("proxy_headers_hash_max_size", CONF_HTTP_ALL, 1, 1, "SIZE", "headers are compared one by one."),
    ACCEPTED("proxy_headers_hash_bucket_size", CONF_HTTP_ALL, 1, 1, "SIZE", "see proxy_headers_hash_max_size."),
    ACCEPTED("proxy_send_lowat", CONF_HTTP_ALL, 1, 1, "SIZE", "it has no meaning on Linux, in nginx neither."),
    ACCEPTED("proxy_cache_convert_head", CONF_HTTP_ALL, 1, 1, "on | off", "there is no cache."),
    CACHE_WORDS("proxy_"),
    CACHE_WORDS("fastcgi_"),
    ACCEPTED("fastcgi_send_lowat", CONF_HTTP_ALL, 1, 1, "SIZE", "it has no meaning on Linux, in nginx neither."),
    ACCEPTED("referer_hash_max_size", CONF_SERVER | CONF_LOCATION, 1, 1, "SIZE", "a table is as large as it has to be."),
    ACCEPTED("referer_hash_bucket_size", CONF_SERVER | CONF_LOCATION, 1, 1, "SIZE", "see referer_hash_max_size."),
    ACCEPTED("open_file_cache_events", CONF_HTTP_ALL, 1, 1, "on | off", "files are looked at, not waited for."),
    ACCEPTED("gzip_hash", CONF_HTTP_ALL, 1, 1, "SIZE", "zlib chooses."),
    ACCEPTED("gzip_window", CONF_HTTP_ALL, 1, 1, "SIZE", "zlib's largest."),
    ACCEPTED("gzip_no_buffer", CONF_HTTP_ALL, 1, 1, "on | off", "what has been compressed is sent at once."),
    ACCEPTED("postpone_gzipping", CONF_HTTP_ALL, 1, 1, "SIZE", "see gzip_no_buffer."),
    ACCEPTED("msie_padding", CONF_HTTP_ALL, 1, 1, "on | off", "the browsers that it was for are gone."),
    ACCEPTED("msie_refresh", CONF_HTTP_ALL, 1, 1, "on | off", "the browsers that it was for are gone."),
    ACCEPTED("uwsgi_temp_path", CONF_HTTP_ALL, 1, 4, "PATH [LEVELS ...]", "there is no uwsgi whose answers could lie there."),
    ACCEPTED("scgi_temp_path", CONF_HTTP_ALL, 1, 4, "PATH [LEVELS ...]", "there is no SCGI whose answers could lie there."),
    {0},
    // clang-format on
};
