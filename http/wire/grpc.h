/*
 * http/wire/grpc.h - what of gRPC its proxies have to know: its type, its deadline, its codes ("gRPC over HTTP2", PROTOCOL-HTTP2.md).
 *
 * Threads: plain functions.
 */
#ifndef WEIR_HTTP_WIRE_GRPC_H
#define WEIR_HTTP_WIRE_GRPC_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether a Content-Type is gRPC's: "application/grpc", with "+proto" and its kin. gRPC-Web is another protocol. */
bool grpc_is_type(struct slice content_type);

/*
 * The code for an answer that is made here, with this HTTP status: what is refused has no room (8), a server that does not do is
 * unavailable (14), what takes too long has passed its deadline (4); for the others as "http-grpc-status-mapping.md" has it.
 */
int grpc_code_of(int http_status, bool is_refused);

/* grpc-timeout in ms, rounded up. False: it is none. */
bool grpc_parse_timeout(struct slice value, int64_t *ms);

/* As grpc-timeout; ms is more than 0. The text lives as long as `to`. */
enum { GRPC_TIMEOUT_BYTES = 12 };
struct slice grpc_print_timeout(char to[GRPC_TIMEOUT_BYTES], int64_t ms);

#endif
