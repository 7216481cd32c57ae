/*
 * base/spool.c - bytes between one writer and its readers, in memory and in a file without a name.
 */
#include "base/spool.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void spool_check(const struct spool *s)
{
    assert(s->file_start <= s->file_end);
    assert(spool_in_file(s) == 0 || s->fd >= 0);
    assert(spool_in_file(s) > 0 || buf_len(&s->behind) == 0);
    (void)s;
}

static uint64_t spool_len(const struct spool *s)
{
    return spool_in_memory(s) + spool_in_file(s);
}

static void spool_forget(struct spool *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->file_start = s->file_end = s->given_back = 0;
    s->readers = NULL;
    s->failed = NULL;
}

void spool_empty(struct spool *s)
{
    s->memory.start = s->memory.end = 0;
    s->behind.start = s->behind.end = 0;
    spool_forget(s);
}

void spool_free(struct spool *s)
{
    buf_free(&s->memory);
    buf_free(&s->behind);
    spool_forget(s);
}

/* --- writing --- */

bool spool_append(struct spool *s, const void *data, size_t len)
{
    return buf_append(spool_memory_end(s), data, len);
}

static void spool_fail(struct spool *s, const char *call)
{
    s->error = errno;
    s->failed = call;
}

/* Returns how much the file has taken; less than len: s->failed. */
static size_t spool_write_to_file(struct spool *s, const char *dir, const char *data, size_t len)
{
    size_t done = 0;
    if (s->fd < 0 && (s->fd = fd_open_unnamed(dir)) < 0) {
        spool_fail(s, "open");
        return 0;
    }
    while (done < len) {
        ssize_t n = pwrite(s->fd, data + done, len - done, (off_t)s->file_end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            spool_fail(s, "write");
            break;
        }
        done += (size_t)n;
        s->file_end += (uint64_t)n;
    }
    return done;
}

enum spool_result spool_append_to_file(struct spool *s, const char *dir, const void *data, size_t len)
{
    size_t done = 0;
    bool may = !s->failed && buf_len(&s->behind) == 0;
    if (may)
        done = spool_write_to_file(s, dir, data, len);
    if (!spool_append(s, (const char *)data + done, len - done))
        return SPOOL_NO_MEMORY;
    spool_check(s);
    return may && s->failed ? SPOOL_DISK_FAILED : SPOOL_OK;
}

bool spool_move_to_file(struct spool *s, const char *dir)
{
    struct buf *b = spool_memory_end(s);
    assert(b == &s->memory || buf_len(&s->memory) == 0);
    struct buf rest = *b;
    size_t done = s->failed ? 0 : spool_write_to_file(s, dir, rest.data + rest.start, buf_len(&rest));
    buf_consume(&rest, done);
    if (b == &s->memory && done > 0) { /* what is left is behind the file */
        *b = s->behind;
        s->behind = rest;
    } else {
        *b = rest;
    }
    spool_check(s);
    return !s->failed;
}

/* --- reading --- */

void spool_attach(struct spool *s, struct spool_reader *r)
{
    *r = (struct spool_reader){.next = s->readers, .spool = s, .at = s->given_back};
    s->readers = r;
}

/* All have read the file: its room on the disk is free again, and what is behind it comes next. */
static bool spool_empty_file(struct spool *s)
{
    bool ok = ftruncate(s->fd, 0) == 0;
    if (!ok)
        spool_fail(s, "truncate");
    s->file_start = s->file_end = 0;
    struct buf empty = s->memory;
    assert(buf_len(&empty) == 0);
    s->memory = s->behind;
    s->behind = empty;
    return ok;
}

/* Lets go of what all have read. */
bool spool_give_back(struct spool *s)
{
    uint64_t least = UINT64_MAX;
    bool ok = true;
    if (!s->readers)
        return true;
    for (const struct spool_reader *r = s->readers; r; r = r->next)
        least = r->at < least ? r->at : least;
    assert(least >= s->given_back && least - s->given_back <= spool_len(s));
    uint64_t left = least - s->given_back;
    s->given_back = least;
    while (left > 0) {
        uint64_t here = buf_len(&s->memory) > 0 ? buf_len(&s->memory) : spool_in_file(s);
        uint64_t n = left < here ? left : here;
        if (buf_len(&s->memory) > 0)
            buf_consume(&s->memory, (size_t)n);
        else if ((s->file_start += n) == s->file_end)
            ok = spool_empty_file(s);
        left -= n;
    }
    spool_check(s);
    return ok;
}

void spool_detach(struct spool_reader *r)
{
    struct spool *s = r->spool;
    struct spool_reader **link = &s->readers;
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    r->spool = NULL;
    spool_give_back(s); /* it may have been the slowest */
}

bool spool_look_further(const struct spool_reader *r, struct spool_stretch *stretch)
{
    struct spool *s = r->spool;
    uint64_t skip = r->at - s->given_back, in_memory = buf_len(&s->memory), in_file = spool_in_file(s);
    assert(r->at >= s->given_back && skip <= spool_len(s));
    *stretch = (struct spool_stretch){.fd = -1};
    if (skip < in_memory) {
        stretch->data = s->memory.data + s->memory.start + skip;
        stretch->len = (size_t)(in_memory - skip);
    } else if (skip < in_memory + in_file) {
        stretch->fd = s->fd;
        stretch->offset = (off_t)(s->file_start + skip - in_memory);
        stretch->len = (size_t)(in_memory + in_file - skip);
    } else if (skip < spool_len(s)) {
        stretch->data = s->behind.data + s->behind.start + (skip - in_memory - in_file);
        stretch->len = (size_t)(spool_len(s) - skip);
    }
    return stretch->len > 0;
}
