/*
 * http/site/site_variables.c - variables that need to know the location: its files, its limits.
 */
#include "http/site/site_variables.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/hist.h"
#include "base/slice.h"
#include "http/request/variables.h"
#include "http/site/build.h"
#include "http/site/paths.h"
#include "http/site/site.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#define GETTER(name) static struct slice name(struct http_exchange *ex, const void *data)

static const struct static_source *files_of(const struct http_exchange *ex)
{
    const struct location *l = ex->route.location;
    return l ? &l->files : NULL;
}

GETTER(get_document_root)
{
    const struct static_source *files = files_of(ex);
    (void)data;
    return files ? static_folder(ex, files) : SLICE("");
}

GETTER(get_realpath_root)
{
    char path[PATH_MAX];
    struct slice root = get_document_root(ex, data);
    return root.len && realpath(root.data, path) ? arena_dup(&ex->arena, slice_of(path)) : (struct slice){0};
}

GETTER(get_request_filename)
{
    const struct static_source *files = files_of(ex);
    (void)data;
    return files && ex->req.path.len ? static_path(ex, files, ex->req.path) : SLICE("");
}

GETTER(get_limit_rate)
{
    (void)data;
    return arena_printf(&ex->arena, "%llu", (unsigned long long)ex->pace.rate);
}

/* What is in memory; a body in a file is not read for a variable. */
GETTER(get_request_body)
{
    (void)data;
    struct slice none = {0}, body = ex->body.kept.fd < 0 ? buf_slice(&ex->body.kept.memory) : none;
    return body.len ? body : none;
}

/* Of the client's connection, by the kernel. */
static bool tcp_info(const struct http_exchange *ex, struct tcp_info *info)
{
    socklen_t len = sizeof *info;
    return ex->client.socket >= 0 && getsockopt(ex->client.socket, IPPROTO_TCP, TCP_INFO, info, &len) == 0;
}

#define TCP_GETTER(field)                                                                         \
    GETTER(get_tcpinfo_##field)                                                                   \
    {                                                                                             \
        struct tcp_info info;                                                                     \
        (void)data;                                                                               \
        return tcp_info(ex, &info) ? http_number_text(ex, info.tcpi_##field) : (struct slice){0}; \
    }

TCP_GETTER(rtt)
TCP_GETTER(rttvar)
TCP_GETTER(snd_cwnd)
TCP_GETTER(rcv_space)

/* --- of all workers: stub_status --- */

static const struct shm *shared;

void variables_open(const struct shm *shm)
{
    shared = shm;
}

static struct slice sum(struct http_exchange *ex, enum shm_connection_state state)
{
    uint64_t all = 0;
    for (int i = 0; shared && i < SHM_SLOTS; i++)
        all += counter_get(state == SHM_CONNECTION_STATES ? &shared->slots[i].connections
                                                          : &shared->slots[i].connection_states[state]);
    return http_number_text(ex, all);
}

GETTER(get_connections_active)
{
    (void)data;
    return sum(ex, SHM_CONNECTION_STATES);
}

GETTER(get_connections_reading)
{
    (void)data;
    return sum(ex, SHM_CONNECTION_READING);
}

GETTER(get_connections_writing)
{
    (void)data;
    return sum(ex, SHM_CONNECTION_WRITING);
}

GETTER(get_connections_waiting)
{
    (void)data;
    return sum(ex, SHM_CONNECTION_WAITING);
}

void site_name_variables(struct site *site)
{
    static const struct {
        const char *name;
        struct slice (*get)(struct http_exchange *ex, const void *data);
    } all[] = {{"document_root", get_document_root},
               {"realpath_root", get_realpath_root},
               {"request_filename", get_request_filename},
               {"limit_rate", get_limit_rate},
               {"request_body", get_request_body},
               {"tcpinfo_rtt", get_tcpinfo_rtt},
               {"tcpinfo_rttvar", get_tcpinfo_rttvar},
               {"tcpinfo_snd_cwnd", get_tcpinfo_snd_cwnd},
               {"tcpinfo_rcv_space", get_tcpinfo_rcv_space},
               {"connections_active", get_connections_active},
               {"connections_reading", get_connections_reading},
               {"connections_writing", get_connections_writing},
               {"connections_waiting", get_connections_waiting}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        site_define(site, all[i].name, all[i].get);
}
