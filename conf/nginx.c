/*
 * conf/nginx.c - how the directives stand to nginx's, as data: those that differ, those that are our own, and those of
 * nginx that are not there. What is not named here is as in nginx.
 *
 * docs/directives.md is written from this, and so is what an operator reads who brings a configuration along.
 */
#include "conf/directive.h"

const struct conf_mark conf_marks[] = {
    // clang-format off
    {"thread_pool", CONF_DIFFERS, "nginx's has threads and max_queue only, and no smallest number of threads."},
    {"use", CONF_DIFFERS, "epoll only."},
    {"env", CONF_DIFFERS, "the whole environment goes on to workers, not only what is named."},
    {"worker_processes", CONF_DIFFERS, "at most 64."},
    {"error_log", CONF_DIFFERS, "format= is our own; memory: is one for all processes, and a location's log takes the place of the main one for what concerns a request."},
    {"access_log", CONF_DIFFERS, "lines are written at the end of each turn of the loop, not one by one; a file's name that a client makes leave its folder by \"..\" is refused."},
    {"open_log_file_cache", CONF_DIFFERS, "min_uses is accepted: a file is kept from its first line on. At most 1024 are."},
    {"listen", CONF_DIFFERS, "there are no ssl, http2, quic, setfib and accept_filter."},
    {"server_tokens", CONF_DIFFERS, "no texts of one's own."},
    {"if", CONF_DIFFERS, "anything that a location takes may stand in it, but locations and other ifs."},
    {"map", CONF_DIFFERS, "it is looked up each time it is used: volatile is accepted and changes nothing."},
    {"ignore_invalid_headers", CONF_DIFFERS, "names with characters that no name may have (RFC 9110, 5.6.2) are 400 in any case."},
    {"max_headers", CONF_DIFFERS, "answers of upstreams have 128 at most, whatever it says."},
    {"keepalive_disable", CONF_DIFFERS, "any version of Internet Explorer up to 6."},
    {"tcp_nodelay", CONF_DIFFERS, "the server's own setting is the one that counts."},
    {"tcp_nopush", CONF_DIFFERS, "accepted: an answer's head always leaves in one packet with the start of its file."},
    {"accept_mutex", CONF_DIFFERS, "accepted: workers take turns by how busy they are, without a lock."},
    {"client_body_temp_path", CONF_DIFFERS, "levels are accepted and not needed, as the files have no names unless client_body_in_file_only gives them one."},
    {"sendfile_max_chunk", CONF_DIFFERS, "at most 2m."},
    {"max_ranges", CONF_DIFFERS, "64 by default; nginx has no bound."},
    {"open_file_cache", CONF_DIFFERS, "all locations share one cache for each worker, of at most 1024 names; without it files are cached as well, and looked at once for each turn of the loop."},
    {"open_file_cache_min_uses", CONF_DIFFERS, "it says from which use on a file is not looked at, not for how long it is open."},
    {"aio", CONF_DIFFERS, "on is threads=default. Only what is not in memory goes to a thread, which brings it there."},
    {"directio", CONF_DIFFERS, "files are read as others are, and then dropped from the page cache."},
    {"disable_symlinks", CONF_DIFFERS, "such files are not cached."},
    {"autoindex_format", CONF_DIFFERS, "jsonp takes only names of functions for callback, else the answer is JSON."},
    {"source_charset", CONF_DIFFERS, "iconv(3) converts, so that no charset_map is needed."},
    {"sub_filter", CONF_DIFFERS, "of several texts that begin at the same place the first one of the configuration is replaced."},
    {"expires", CONF_DIFFERS, "a text with variables that cannot be read adds nothing."},
    {"gzip_buffers", CONF_DIFFERS, "accepted: what has been compressed is sent at once."},
    {"gzip_disable", CONF_DIFFERS, "accepted: the browsers that it was for are gone."},
    {"auth_basic", CONF_DIFFERS, "passwords are checked on a thread of the pool default."},
    {"auth_request", CONF_DIFFERS, "the URI may contain variables. Limits of its location do not count, and its error pages are not shown."},
    {"limit_conn_zone", CONF_DIFFERS, "counts survive the death of a worker and are right again at once."},
    {"proxy_http_version", CONF_DIFFERS, "1.1 by default."},
    {"keepalive", CONF_DIFFERS, "32 by default; nginx keeps none unless it is told to. \"local\" is not there."},
    {"proxy_busy_buffers_size", CONF_DIFFERS, "accepted: what has come is sent at once."},
    {"proxy_temp_file_write_size", CONF_DIFFERS, "accepted."},
    {"proxy_temp_path", CONF_DIFFERS, "levels are accepted and not needed, as the files have no names."},
    {"resolver", CONF_DIFFERS, "the first one of the file is the one for all; without it the system's name servers are asked."},
    {"zone", CONF_DIFFERS, "accepted: the state of upstreams is always shared."},
    {"queue", CONF_DIFFERS, "nginx has it in its commercial edition."},
    {"health_check", CONF_DIFFERS, "nginx has it in its commercial edition, and in a location."},
    {"server", CONF_DIFFERS, "in an upstream: names are resolved again as their time to live ends, also without resolve; route and service are not there; slow_start is, which nginx has in its commercial edition."},
    {"ssl_protocols", CONF_DIFFERS, "accepted."},

    {"handler", CONF_OWN, NULL},
    {"handler_timeout", CONF_OWN, NULL},
    {"status", CONF_OWN, NULL},
    {"limit_concurrency", CONF_OWN, NULL},
    {"limit_concurrency_zone", CONF_OWN, NULL},
    {"limit_concurrency_status", CONF_OWN, NULL},
    {"limit_concurrency_dry_run", CONF_OWN, NULL},
    {"limit_concurrency_log_level", CONF_OWN, NULL},
    {"proxy_request_ids", CONF_OWN, NULL},
    {"proxy_protocol", CONF_OWN, NULL},

    {"ssl_*", CONF_ABSENT, "there is no TLS yet: put a terminator in front, with proxy_protocol."},
    {"http2*", CONF_ABSENT, "there is no HTTP/2 yet: put a terminator in front, with proxy_protocol."},
    {"http3*", CONF_ABSENT, "there is no HTTP/3."},
    {"quic_*", CONF_ABSENT, "there is no HTTP/3."},
    {"proxy_ssl_*", CONF_ABSENT, "upstreams are spoken to without TLS; remove it, and use http:// in proxy_pass."},
    {"proxy_cache*", CONF_ABSENT, "there is no cache of answers: remove it, or put a caching proxy beside."},
    {"proxy_no_cache", CONF_ABSENT, "there is no cache of answers; remove it."},
    {"proxy_store*", CONF_ABSENT, "answers are not stored; remove it."},
    {"proxy_force_ranges", CONF_ABSENT, "ranges are the upstream's affair; remove it."},
    {"fastcgi_*", CONF_ABSENT, "there is no FastCGI: speak HTTP to the application, by proxy_pass."},
    {"uwsgi_*", CONF_ABSENT, "there is no uwsgi: speak HTTP to the application, by proxy_pass."},
    {"scgi_*", CONF_ABSENT, "there is no SCGI: speak HTTP to the application, by proxy_pass."},
    {"grpc_*", CONF_ABSENT, "there is no gRPC, which needs HTTP/2."},
    {"memcached_*", CONF_ABSENT, "there is no memcached: write a handler that asks it."},
    {"dav_*", CONF_ABSENT, "files are not written: write a handler, or pass such requests on by proxy_pass."},
    {"create_full_put_path", CONF_ABSENT, "see dav_methods."},
    {"min_delete_depth", CONF_ABSENT, "see dav_methods."},
    {"ssi*", CONF_ABSENT, "there are no server-side includes."},
    {"add_before_body", CONF_ABSENT, "answers are not put together from several; remove it."},
    {"add_after_body", CONF_ABSENT, "answers are not put together from several; remove it."},
    {"addition_types", CONF_ABSENT, "see add_before_body."},
    {"xslt_*", CONF_ABSENT, "XML is not transformed."},
    {"xml_entities", CONF_ABSENT, "XML is not transformed."},
    {"image_filter*", CONF_ABSENT, "pictures are not changed: write a handler."},
    {"gunzip*", CONF_ABSENT, "compressed answers of upstreams are not decompressed; take Accept-Encoding away by proxy_set_header."},
    {"mp4*", CONF_ABSENT, "media are served as files, by ranges."},
    {"flv", CONF_ABSENT, "media are served as files, by ranges."},
    {"hls*", CONF_ABSENT, "nginx has it in its commercial edition."},
    {"f4f*", CONF_ABSENT, "nginx has it in its commercial edition."},
    {"slice", CONF_ABSENT, "it is for caches, and there is none."},
    {"mirror*", CONF_ABSENT, "requests are not sent twice."},
    {"userid*", CONF_ABSENT, "cookies are the application's affair; add_header Set-Cookie with $request_id comes close."},
    {"empty_gif", CONF_ABSENT, "serve a file."},
    {"ancient_browser*", CONF_ABSENT, "use a map of $http_user_agent."},
    {"modern_browser*", CONF_ABSENT, "use a map of $http_user_agent."},
    {"geoip_*", CONF_ABSENT, "use geo."},
    {"perl*", CONF_ABSENT, "write a handler in C."},
    {"js_*", CONF_ABSENT, "write a handler in C."},
    {"auth_jwt*", CONF_ABSENT, "nginx has it in its commercial edition; use auth_request."},
    {"api", CONF_ABSENT, "nginx has it in its commercial edition; see status."},
    {"status_zone", CONF_ABSENT, "nginx has it in its commercial edition; see status."},
    {"sticky*", CONF_ABSENT, "nginx has it in its commercial edition; use hash with $cookie_NAME."},
    {"ntlm", CONF_ABSENT, "nginx has it in its commercial edition."},
    {"least_time", CONF_ABSENT, "nginx has it in its commercial edition; use least_conn."},
    {"post_action", CONF_ABSENT, "nginx does not document it."},
    {"subrequest_output_buffer_size", CONF_ABSENT, "there are no answers of subrequests to keep; remove it."},
    {"debug_connection", CONF_ABSENT, "set error_log ... debug in a server or location."},
    {"debug_points", CONF_ABSENT, "it is about nginx's own code."},
    {"stream", CONF_ABSENT, "only HTTP is proxied, and what it upgrades to."},
    {"mail", CONF_ABSENT, "mail is not proxied."},
    {NULL, CONF_OWN, NULL},
    // clang-format on
};

static bool is_named(const struct conf_mark *m, struct slice name)
{
    struct slice pattern = slice_of(m->name);
    if (pattern.data[pattern.len - 1] != '*')
        return slice_eq(pattern, name);
    pattern.len--;
    return slice_starts(name, pattern);
}

const struct conf_mark *conf_find_mark(struct slice name)
{
    for (const struct conf_mark *m = conf_marks; m->name; m++)
        if (is_named(m, name))
            return m;
    return NULL;
}
