/*
 * conf/table_grpc.c - the directives of gRPC to upstreams: those of the proxy but for what needs no saying with HTTP/2 and streams.
 */
#include "conf/rows_upstream.h"

const struct conf_directive conf_grpc_directives[] = {
    // clang-format off
    {.name = "grpc_pass", .where = CONF_LOCATION, .args = {1, 1}, .set = conf_set_grpc_pass,
     .syntax = "[grpc[s]://]HOST:PORT | [grpc[s]://]UPSTREAM | [grpc[s]://]unix:PATH",
     .help = "Passes requests on to an upstream or a server of gRPC in HTTP/2, with grpcs in TLS: bodies and trailers go both ways while they come. grpc-timeout "
     "is the request's deadline, and errors are answered as gRPC's. With variables the text is the whole target."},
    {.name = "grpc_set_header", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_LINES, .field = FIELD(passes[CONF_PASS_GRPC].headers),
     .syntax = "NAME VALUE",
     .help = "A header of requests to upstreams; an empty value leaves it out. Default: Host is what grpc_pass names. Inherited where a level has none."},
    UPSTREAM_ROWS_OF_ALL("grpc_", struct settings, passes[CONF_PASS_GRPC].upstream, "Date, Server"),
    {0},
    // clang-format on
};

void conf_settle_grpc(struct settings *s, const struct settings *above)
{
    (void)above;
    struct proxy_settings *grpc = &s->passes[CONF_PASS_GRPC];
    grpc->http_version = PROXY_HTTP_2;
    grpc->pass_trailers = true;
    grpc->upstream.pass_request_headers = grpc->upstream.pass_request_body = true;
}
