/*
 * handlers/file_cache.c - hash table with a list by use.
 */
#include "handlers/file_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void file_cache_init(struct file_cache *c)
{
    for (int i = 0; i < FILE_CACHE_ENTRIES; i++)
        list_init(&c->buckets[i]);
    list_init(&c->by_use);
    c->entries = 0;
    c->open_files = 0;
    c->bytes = 0;
    c->turn = 1;
}

/* FNV-1a (Fowler, Noll, Vo). */
static unsigned hash(struct slice s)
{
    uint64_t h = 14695981039346656037ull;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.data[i]) * 1099511628211ull;
    return (unsigned)((h ^ h >> 32) % FILE_CACHE_ENTRIES);
}

void file_entry_release(struct file_entry *e)
{
    if (--e->holders > 0)
        return;
    if (e->fd >= 0)
        close(e->fd);
    free(e->content);
    free(e);
}

static void drop(struct file_cache *c, struct file_entry *e)
{
    list_remove(&e->bucket);
    list_remove(&e->use);
    c->entries--;
    c->open_files -= e->fd >= 0;
    if (e->content)
        c->bytes -= (size_t)e->st.st_size;
    file_entry_release(e);
}

void file_cache_free(struct file_cache *c)
{
    while (!list_empty(&c->by_use))
        drop(c, container_of(c->by_use.next, struct file_entry, use));
}

static struct file_entry *find(struct file_cache *c, struct slice path, unsigned bucket)
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

static bool read_content(struct file_entry *e)
{
    size_t size = (size_t)e->st.st_size, done = 0;
    e->content = malloc(size ? size : 1);
    while (e->content && done < size) {
        ssize_t n = pread(e->fd, e->content + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (!e->content || done == size)
        return e->content != NULL;
    free(e->content);
    e->content = NULL;
    errno = EIO; /* it shrank under our hands */
    return false;
}

static bool fill(struct file_entry *e)
{
    if (fstat(e->fd, &e->st) < 0)
        return false;
    if (S_ISREG(e->st.st_mode) && e->st.st_size <= FILE_CACHE_CONTENT_MAX && !read_content(e))
        return false;
    if (!S_ISREG(e->st.st_mode) || e->content) {
        close(e->fd);
        e->fd = -1;
    }
    uint64_t mtime_ns = (uint64_t)e->st.st_mtim.tv_sec * 1000000000u + (uint64_t)e->st.st_mtim.tv_nsec;
    int n = snprintf(e->etag_text, sizeof e->etag_text, "\"%llx-%llx\"", (unsigned long long)mtime_ns,
                     (unsigned long long)e->st.st_size);
    e->etag = (struct slice){e->etag_text, (size_t)n};
    clock_http_date(e->st.st_mtim.tv_sec, e->date_text);
    e->last_modified = (struct slice){e->date_text, CLOCK_HTTP_DATE_BYTES};
    return true;
}

static struct file_entry *open_entry(struct slice path)
{
    struct file_entry *e = calloc(1, sizeof *e + path.len + 1);
    if (!e)
        return NULL;
    memcpy(e->path_text, path.data, path.len);
    e->path = (struct slice){e->path_text, path.len};
    e->holders = 1;
    list_init(&e->bucket);
    list_init(&e->use);
    e->fd = open(e->path_text, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold the loop */
    if (e->fd >= 0 && fill(e))
        return e;
    int saved = errno;
    file_entry_release(e);
    errno = saved;
    return NULL;
}

static void insert(struct file_cache *c, struct file_entry *e, unsigned bucket)
{
    size_t content = e->content ? (size_t)e->st.st_size : 0;
    while (c->entries > 0 && (c->entries >= FILE_CACHE_ENTRIES || c->bytes + content > FILE_CACHE_BYTES ||
                              c->open_files >= FILE_CACHE_OPEN_MAX)) /* descriptors are for clients first */
        drop(c, container_of(c->by_use.next, struct file_entry, use));
    list_push_front(&c->buckets[bucket], &e->bucket);
    list_push_back(&c->by_use, &e->use);
    e->holders++;
    c->entries++;
    c->open_files += e->fd >= 0;
    c->bytes += content;
}

struct file_entry *file_cache_get(struct file_cache *c, struct slice path)
{
    struct stat now;
    unsigned bucket = hash(path);
    struct file_entry *e = find(c, path, bucket);
    if (e && e->checked_turn != c->turn) {
        if (stat(path.data, &now) == 0 && same_file(&now, &e->st)) {
            e->checked_turn = c->turn;
            list_remove(&e->use);
            list_push_back(&c->by_use, &e->use);
        } else {
            drop(c, e);
            e = NULL;
        }
    }
    if (e) {
        e->holders++;
        return e;
    }
    e = open_entry(path);
    if (!e)
        return NULL;
    e->checked_turn = c->turn;
    if (!times_too_fresh(&e->st))
        insert(c, e, bucket);
    return e;
}
