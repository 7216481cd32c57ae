/*
 * handlers/aio.c - aio threads: a part of a file that is not in memory is read by a thread of a pool, so that the loop never
 * waits for a disk.
 *
 * The thread only brings the part into the page cache; the loop then sends it as any other, by sendfile where that is on. So
 * a client that goes away leaves no buffer behind, and a part that is in memory already costs one look and no thread.
 */
#include "handlers/aio.h"

#include "base/file_cache.h"
#include "http/request/client.h"
#include "http/site/site.h"
#include "pool/pool.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PART_BYTES = 512 << 10, STEP_BYTES = 32 << 10 };

#ifndef SYS_cachestat
#define SYS_cachestat 451 /* Linux 6.5; the same on every machine */
#endif

struct file_read {
    struct loop_task task;    /* first */
    struct http_exchange *ex; /* NULL: the request has gone */
    struct file_entry *entry; /* keeps the file open */
    int fd;
    off_t offset;
    size_t len;
};

static uint64_t page_of(uint64_t byte)
{
    static uint64_t page_bytes;
    if (!page_bytes)
        page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    return byte / page_bytes;
}

/* By cachestat(2). -1: the kernel or the file system does not know. */
static int ask_kernel(int fd, off_t offset, size_t len)
{
    struct {
        uint64_t off, len;
    } range = {(uint64_t)offset, len};
    struct {
        uint64_t cache, dirty, writeback, evicted, recently_evicted;
    } found;
    static bool is_missing;
    assert(len > 0);
    if (is_missing || syscall(SYS_cachestat, fd, &range, &found, 0) < 0) {
        is_missing |= errno == ENOSYS;
        return -1;
    }
    uint64_t pages = page_of((uint64_t)offset + len - 1) - page_of((uint64_t)offset) + 1;
    return found.cache >= pages;
}

/* By reading what can be read without waiting: for older kernels, and costs a copy. */
static bool read_in_vain(int fd, off_t offset, size_t len)
{
    static char bytes[PART_BYTES];
    assert(len <= sizeof bytes);
    struct iovec part = {bytes, len};
    return preadv2(fd, &part, 1, offset, RWF_NOWAIT) == (ssize_t)len;
}

/* What is on its way from the disk counts as cached for cachestat(2), and would be waited for. */
static bool has_arrived(int fd, off_t offset, size_t len)
{
    for (size_t at = 0; at < len; at += STEP_BYTES) {
        char byte;
        off_t where = offset + (off_t)(len - at < STEP_BYTES ? len - 1 : at + STEP_BYTES - 1);
        if (preadv2(fd, &(struct iovec){&byte, 1}, 1, where, RWF_NOWAIT) < 0 && errno == EAGAIN)
            return false;
    }
    return true;
}

static bool is_in_memory(int fd, off_t offset, size_t len)
{
    int said = ask_kernel(fd, offset, len);
    return said < 0 ? read_in_vain(fd, offset, len) : said && has_arrived(fd, offset, len);
}

static void run_read(struct pool_task *task)
{
    struct file_read *r = (struct file_read *)task;
    char bytes[STEP_BYTES];
    posix_fadvise(r->fd, r->offset, (off_t)r->len, POSIX_FADV_WILLNEED);
    for (size_t done = 0; done < r->len;) {
        ssize_t n = pread(r->fd, bytes, sizeof bytes, r->offset + (off_t)done);
        if (n <= 0)
            return; /* the loop will see that */
        done += (size_t)n;
    }
}

static void on_read_ended(struct worker *w, struct loop_task *task)
{
    struct file_read *r = (struct file_read *)task; /* its first member */
    struct http_exchange *ex = r->ex;
    (void)w;
    assert(!ex || ex->reading.at_work == r);
    file_entry_release(r->entry);
    free(r);
    if (!ex)
        return;
    ex->reading.at_work = NULL;
    client_go_on(ex);
}

/* Takes it to the pool. False: the pool takes nothing now. */
static bool submit_read(struct http_exchange *ex, struct http_piece *p, size_t len)
{
    struct worker *w = ex->worker;
    assert(!ex->reading.at_work && ex->state == REQUEST_SEND && len > 0);
    assert(ex->route.location->aio_pool < w->pool_count);
    struct file_read *r = calloc(1, sizeof *r);
    if (!r)
        return false;
    r->task.task.run = run_read;
    r->task.ended = on_read_ended;
    r->ex = ex;
    r->entry = ex->held;
    r->fd = p->fd;
    r->offset = p->offset;
    r->len = len;
    if (pools_submit(w, ex->route.location->aio_pool, &r->task) != POOL_OK) {
        free(r);
        return false;
    }
    r->entry->holders++;
    ex->reading.at_work = r;
    client_expect(ex, ex->route.settings->client.send_timeout_ms);
    return true;
}

static bool aio_is_wanted(struct http_exchange *ex, const struct http_piece *p)
{
    return p->fd >= 0 && ex->route.location->aio_pool >= 0 && ex->held;
}

size_t aio_limit(struct http_exchange *ex, const struct http_piece *p, size_t most)
{
    off_t left = ex->reading.until - p->offset;
    assert(!aio_is_wanted(ex, p) || left > 0);
    return aio_is_wanted(ex, p) && left < (off_t)most ? (size_t)left : most;
}

bool aio_ready(struct http_exchange *ex, struct http_piece *p)
{
    if (!aio_is_wanted(ex, p))
        return true;
    if (ex->reading.at_work)
        return false;
    if (p->offset >= ex->reading.from && p->offset < ex->reading.until)
        return true;
    size_t len = p->len < PART_BYTES ? (size_t)p->len : PART_BYTES;
    ex->reading.from = p->offset;
    ex->reading.until = p->offset + (off_t)len;
    return is_in_memory(p->fd, p->offset, len) || !submit_read(ex, p, len);
}

void aio_client_gone(struct http_exchange *ex)
{
    assert(ex->reading.at_work && ex->reading.at_work->ex == ex);
    ex->reading.at_work->ex = NULL;
    ex->reading.at_work = NULL;
}
