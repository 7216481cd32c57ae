/*
 * http/wire/uri.h - paths of request targets: decoding, normalising, and encoding again.
 */
#ifndef WEIR_HTTP_WIRE_URI_H
#define WEIR_HTTP_WIRE_URI_H

#include "base/arena.h"

/*
 * Decodes %XX, merges slashes and resolves "." and ".." (RFC 3986 sections 2.1 and 5.2.4), decoding first, so that an
 * encoded traversal is seen. raw starts with "/" and holds only bytes that
 * may stand in a request target; scratch holds raw.len bytes. *path is raw itself when nothing had to
 * change. merge false keeps empty segments (nginx, merge_slashes off). Returns false for a path that leaves the root, a
 * bad escape, or a zero byte.
 */
bool http_normalize_path(struct slice raw, bool merge, char *scratch, struct slice *path);

/* Whether a path is normal already: then http_normalize_path needs no scratch. */
bool http_is_normal_path(struct slice raw, bool merge);

/* Decodes %XX and, when plus is set, "+" as a blank. Bad escapes stay as they are. data NULL when memory is out. */
struct slice http_decode(struct arena *arena, struct slice s, bool plus);

/* Percent-encodes what may not stand in a path. data NULL when memory is out. */
struct slice http_encode_path(struct arena *arena, struct slice path);

/* The same for one name in a relative reference: neither a scheme (RFC 3986 section 4.2) nor a quote of markup. */
struct slice http_encode_segment(struct arena *arena, struct slice name);

/* The same for a part of a query string. */
struct slice http_encode_args(struct arena *arena, struct slice text);

/* How many segments of a path are "..". */
unsigned http_climbs(struct slice path);

/*
 * A URI that a program has written: its path, decoded into scratch (of uri.len bytes) and otherwise as it is, and what stands
 * behind its first "?". False when there is none, or when it climbs up, or has a zero byte.
 */
bool http_parse_trusted(struct slice uri, char *scratch, struct slice *path, struct slice *args);

#endif
