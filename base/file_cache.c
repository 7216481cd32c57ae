/*
 * base/file_cache.c - hash table with a list by use.
 */
#include "base/file_cache.h"

#include "base/symlinks.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FORGOTTEN_AT_ONCE = 4 };

void file_cache_init(struct file_cache *c)
{
    for (int i = 0; i < FILE_CACHE_ENTRIES; i++)
        list_init(&c->buckets[i]);
    list_init(&c->by_use);
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    c->open_max = limit.rlim_cur / 4 < INT_MAX ? (unsigned)(limit.rlim_cur / 4) : INT_MAX;
    c->entries = 0;
    c->open_files = 0;
    c->bytes = 0;
    c->turn = 1;
    c->now_ms = 0;
}

static unsigned hash_path(struct slice s)
{
    return (unsigned)(slice_hash(s) % FILE_CACHE_ENTRIES);
}

void file_entry_release(struct file_entry *e)
{
    assert(e->holders > 0);
    if (--e->holders > 0)
        return;
    assert(list_empty(&e->bucket) && list_empty(&e->use)); /* the cache was a holder */
    if (e->fd >= 0)
        close(e->fd);
    free(e->content);
    free(e);
}

static void drop_entry(struct file_cache *c, struct file_entry *e)
{
    assert(c->entries > 0);
    list_remove(&e->bucket);
    list_remove(&e->use);
    c->entries--;
    c->open_files -= e->fd >= 0;
    if (e->content)
        c->bytes -= (size_t)e->st.st_size;
    assert(c->open_files <= c->entries && (c->entries > 0 || c->bytes == 0));
    file_entry_release(e);
}

void file_cache_free(struct file_cache *c)
{
    while (!list_empty(&c->by_use))
        drop_entry(c, container_of(c->by_use.next, struct file_entry, use));
    assert(c->entries == 0 && c->open_files == 0 && c->bytes == 0);
}

static struct file_entry *find_entry(struct file_cache *c, struct slice path, unsigned bucket)
{
    for (struct list_node *n = c->buckets[bucket].next; n != &c->buckets[bucket]; n = n->next) {
        struct file_entry *e = container_of(n, struct file_entry, bucket);
        if (slice_eq(e->path, path))
            return e;
    }
    return NULL;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec &&
           a->st_mode == b->st_mode;
}

/* Whether the file could have changed without its times showing it: their grain is a kernel tick at worst. */
static bool times_too_fresh(const struct stat *st)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age_ms = (now.tv_sec - st->st_ctim.tv_sec) * 1000 + (now.tv_nsec - st->st_ctim.tv_nsec) / 1000000;
    return age_ms < 20;
}

static ssize_t read_part(int fd, char *into, size_t len, off_t at, bool without_waiting)
{
    struct iovec part = {into, len};
    return without_waiting ? preadv2(fd, &part, 1, at, RWF_NOWAIT) : pread(fd, into, len, at);
}

/* Without waiting: content stays NULL when it is not in memory, or when the file system cannot say. */
static bool read_content(struct file_entry *e, bool without_waiting)
{
    size_t size = (size_t)e->st.st_size, done = 0;
    e->content = malloc(size ? size : 1);
    if (!e->content)
        return false;
    while (done < size) {
        ssize_t n = read_part(e->fd, e->content + done, size - done, (off_t)done, without_waiting);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done == size)
        return true;
    free(e->content);
    e->content = NULL;
    errno = EIO; /* it shrank under our hands */
    return without_waiting;
}

static bool fill_entry(struct file_entry *e, bool without_waiting)
{
    if (fstat(e->fd, &e->st) < 0)
        return false;
    if (S_ISREG(e->st.st_mode) && e->st.st_size <= FILE_CACHE_CONTENT_MAX &&
        !read_content(e, without_waiting))
        return false;
    if (!S_ISREG(e->st.st_mode) || e->content) {
        close(e->fd);
        e->fd = -1;
    }
    uint64_t mtime_ns = (uint64_t)e->st.st_mtim.tv_sec * 1000000000u + (uint64_t)e->st.st_mtim.tv_nsec;
    int n = snprintf(e->etag_text, sizeof e->etag_text, "\"%llx-%llx\"", (unsigned long long)mtime_ns,
                     (unsigned long long)e->st.st_size);
    assert((size_t)n < sizeof e->etag_text);
    e->etag = (struct slice){e->etag_text, (size_t)n};
    clock_http_date(e->st.st_mtim.tv_sec, e->date_text);
    e->last_modified = (struct slice){e->date_text, CLOCK_HTTP_DATE_BYTES};
    return true;
}

/* Of a file that could not be opened an entry has the error, for open_file_cache_errors. NULL: out of memory. */
static struct file_entry *open_entry(struct slice path, const struct file_rules *rules)
{
    struct file_entry *e = calloc(1, sizeof *e + path.len + 1);
    if (!e)
        return NULL;
    memcpy(e->path_text, path.data, path.len);
    e->path = (struct slice){e->path_text, path.len};
    e->holders = 1;
    list_init(&e->bucket);
    list_init(&e->use);
    e->fd = rules && rules->symlinks
                ? symlinks_open(e->path_text, rules->symlinks, rules->symlinks_from)
                : open(e->path_text, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold the loop */
    if (e->fd >= 0 && fill_entry(e, rules && rules->without_waiting))
        return e;
    e->error = errno;
    assert(e->error != 0);
    if (e->fd >= 0)
        close(e->fd);
    e->fd = -1;
    return e;
}

/* There must be an open file. */
static void drop_oldest_open(struct file_cache *c)
{
    struct list_node *n = c->by_use.next;
    assert(c->open_files > 0 && c->open_files <= c->entries);
    while (container_of(n, struct file_entry, use)->fd < 0)
        n = n->next;
    drop_entry(c, container_of(n, struct file_entry, use));
}

static void insert_entry(struct file_cache *c, struct file_entry *e, unsigned bucket, unsigned open_max)
{
    size_t content = e->content ? (size_t)e->st.st_size : 0;
    while (c->entries > 0 && (c->entries >= FILE_CACHE_ENTRIES || c->bytes + content > FILE_CACHE_BYTES))
        drop_entry(c, container_of(c->by_use.next, struct file_entry, use));
    while (e->fd >= 0 && c->open_files > 0 &&
           c->open_files >= open_max) /* descriptors are for clients first */
        drop_oldest_open(c);
    assert(list_empty(&e->bucket) && list_empty(&e->use) && e->holders == 1);
    list_push_front(&c->buckets[bucket], &e->bucket);
    list_push_back(&c->by_use, &e->use);
    e->holders++;
    c->entries++;
    c->open_files += e->fd >= 0;
    c->bytes += content;
    assert(c->entries <= FILE_CACHE_ENTRIES && (c->bytes <= FILE_CACHE_BYTES || c->entries == 1));
}

/* What has not been used for long holds a descriptor, or memory, for nothing. */
static void forget_inactive(struct file_cache *c, uint64_t inactive_ms)
{
    for (int i = 0; i < FORGOTTEN_AT_ONCE && !list_empty(&c->by_use); i++) {
        struct file_entry *e = container_of(c->by_use.next, struct file_entry, use);
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): drop has taken the one before off the list
        if (c->now_ms - e->used_ms <= inactive_ms)
            return;
        drop_entry(c, e);
    }
}

static bool is_fresh(const struct file_cache *c, struct file_entry *e, const struct file_rules *rules)
{
    struct stat now;
    bool cached = rules && rules->valid_ms && (e->error ? rules->errors : e->uses >= rules->min_uses);
    if (cached && c->now_ms - e->checked_ms < rules->valid_ms)
        return true;
    if (e->error) /* somebody else wanted it to be remembered */
        return false;
    if (e->checked_turn == c->turn)
        return true;
    if (stat(e->path_text, &now) < 0 || !same_file(&now, &e->st))
        return false;
    e->checked_turn = c->turn;
    e->checked_ms = c->now_ms;
    return true;
}

static struct file_entry *find_fresh(struct file_cache *c, struct slice path, unsigned bucket,
                                     const struct file_rules *rules)
{
    struct file_entry *e = find_entry(c, path, bucket);
    if (e && !is_fresh(c, e, rules)) {
        drop_entry(c, e);
        e = NULL;
    }
    if (!e)
        return NULL;
    e->used_ms = c->now_ms;
    e->uses++;
    list_remove(&e->use);
    list_push_back(&c->by_use, &e->use);
    return e;
}

/* Of the file itself, not of a shortage that may be over with the next request. */
static bool is_lasting(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP || error == ENAMETOOLONG;
}

struct file_entry *file_cache_get(struct file_cache *c, struct slice path, const struct file_rules *rules)
{
    unsigned bucket = hash_path(path),
             open_max = rules && rules->open_max ? rules->open_max : FILE_CACHE_OPEN_MAX;
    open_max = open_max < c->open_max ? open_max : c->open_max;
    bool cached = !rules || rules->symlinks == 0; /* a link may be made at any time */
    if (rules && rules->inactive_ms)
        forget_inactive(c, rules->inactive_ms);
    struct file_entry *e = cached ? find_fresh(c, path, bucket, rules) : NULL;
    if (!e) {
        e = open_entry(path, rules);
        if (!e)
            return NULL;
        e->checked_turn = c->turn;
        e->checked_ms = e->used_ms = c->now_ms;
        e->uses = 1;
        bool wanted = e->error ? rules && rules->errors && rules->valid_ms && is_lasting(e->error)
                               : !times_too_fresh(&e->st);
        if (cached && wanted)
            insert_entry(c, e, bucket, open_max);
        e->holders--; /* the one below */
    }
    e->holders++;
    assert(e->error || e->fd >= 0 || e->content || !S_ISREG(e->st.st_mode));
    if (!e->error)
        return e;
    int error = e->error;
    file_entry_release(e);
    errno = error;
    return NULL;
}
