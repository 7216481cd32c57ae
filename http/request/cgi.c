/*
 * http/request/cgi.c - a request's fields as the parameters of a script.
 */
#include "http/request/cgi.h"

#include "base/slice.h"
#include "http/wire/fastcgi.h"

#include <stdlib.h>

/* Of a name in any case: comparing all with all is too much where a client sends a thousand. */
static uint32_t hash_of(struct slice name)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        hash = (hash ^ (c >= 'A' && c <= 'Z' ? c | 0x20U : c)) * 16777619U;
    }
    return hash;
}

struct fields {
    const struct http_request *req;
    uint32_t *hashes; /* one for each */
};

/* The next field of the same name from `from` on; the number of fields: there is none. */
static int next_of_name(const struct fields *f, int of, int from)
{
    const struct http_header *h = f->req->headers;
    while (from < f->req->header_count &&
           (f->hashes[from] != f->hashes[of] || !slice_eq_nocase(h[from].name, h[of].name)))
        from++;
    return from;
}

/* "HTTP_", and "_" for "-". */
static bool make_name(struct buf *to, struct slice field)
{
    to->start = to->end = 0;
    if (!buf_append(to, "HTTP_", 5) || !buf_append_slice(to, field))
        return false;
    for (char *c = to->data + to->start + 5; c < to->data + to->end; c++)
        *c = (char)(*c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    return true;
}

/* All values of the name, from the first field of it on. */
static bool write_values(const struct fields *f, int first, struct slice name, struct buf *params)
{
    const struct http_header *h = f->req->headers;
    const char *between = slice_eq_nocase(h[first].name, SLICE("Cookie")) ? "; " : ", ";
    size_t len = h[first].value.len;
    for (int i = next_of_name(f, first, first + 1); i < f->req->header_count;
         i = next_of_name(f, first, i + 1))
        len += 2 + h[i].value.len;
    bool ok = fastcgi_begin_pair(params, name, len) &&
              (!h[first].value.len || buf_append_slice(params, h[first].value));
    for (int i = next_of_name(f, first, first + 1); ok && i < f->req->header_count;
         i = next_of_name(f, first, i + 1))
        ok = buf_append(params, between, 2) && (!h[i].value.len || buf_append_slice(params, h[i].value));
    return ok;
}

bool cgi_write_fields(const struct http_request *req, bool (*is_given)(const void *with, struct slice name),
                      const void *with, struct buf *params)
{
    struct fields f = {req, calloc((size_t)req->header_count + 1, sizeof *f.hashes)};
    struct buf name = {0};
    bool ok = f.hashes != NULL;
    for (int i = 0; ok && i < req->header_count; i++)
        f.hashes[i] = hash_of(req->headers[i].name);
    for (int i = 0; ok && i < req->header_count; i++) {
        if (slice_eq_nocase(req->headers[i].name, SLICE("Proxy")) || next_of_name(&f, i, 0) < i)
            continue;
        ok = make_name(&name, req->headers[i].name);
        if (ok && !is_given(with, buf_slice(&name)))
            ok = write_values(&f, i, buf_slice(&name), params);
    }
    buf_free(&name);
    free(f.hashes);
    return ok;
}
