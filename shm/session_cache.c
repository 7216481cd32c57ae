/*
 * shm/session_cache.c - sessions in memory that processes share: what one of them has put there any other finds.
 *
 * An entry is written in whole blocks that its writer has claimed by moving the end of the log on, and its number is written last. A reader
 * takes what bears the number, and the sum, that it looks for, and only if the log has not come round to it meanwhile.
 */
#include "shm/session_cache.h"

#include "base/buf.h"
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VERSION = 1,
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW,
    BLOCK_WORDS = 8, /* a line of the processor's cache */
    BUCKET = 8,
    BLOCKS_PER_INDEX = 2,
    HEAD_WORDS = 3,
    ID_WORDS = SESSION_ID_MAX / 8,
    ENTRY_WORDS = HEAD_WORDS + ID_WORDS + SESSION_MAX / 8,
    TAG_BITS = 16,
    INSERT_TRIES = 8
};

typedef _Atomic uint64_t word;

/* At the beginning of the mapping; behind it the index, then the blocks. */
struct log {
    uint32_t version;
    char name[SESSION_CACHE_NAME_BYTES];
    uint64_t bytes, seed;
    /* Of the next entry: blocks that have ever been claimed. */
    _Alignas(64) word end;
};

struct session_cache {
    struct log *log;
    word *index, *blocks;
    uint64_t bucket_count, block_count, seed;
    size_t bytes;
    char name[SESSION_CACHE_NAME_BYTES];
    int fd; /* -1: no other binary is given it */
    int holders;
    struct session_cache *next;
};

static struct session_cache *all;

/* --- making one --- */

static struct session_cache *describe(struct log *log, size_t bytes, int fd)
{
    struct session_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    /* A block, and its share of the index. */
    uint64_t blocks = (bytes - sizeof *log) / (BLOCK_WORDS * sizeof(word) + sizeof(word) / BLOCKS_PER_INDEX);
    *c = (struct session_cache){.log = log, .bytes = bytes, .fd = fd, .seed = log->seed};
    c->bucket_count = blocks / BLOCKS_PER_INDEX / BUCKET;
    c->block_count = c->bucket_count * BUCKET * BLOCKS_PER_INDEX;
    c->index = (word *)(void *)(log + 1);
    c->blocks = c->index + c->bucket_count * BUCKET;
    memcpy(c->name, log->name, sizeof c->name - 1);
    c->next = all;
    all = c;
    return c;
}

static struct log *map(int fd, size_t bytes)
{
    void *mapped =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    /* A core must not show keys. */
    madvise(mapped, bytes, MADV_DONTDUMP);
    return mapped;
}

static struct session_cache *make(struct slice name, size_t bytes, int fd)
{
    struct log *log = map(fd, bytes);
    if (!log)
        return NULL;
    log->version = VERSION;
    log->bytes = bytes;
    memcpy(log->name, name.data, name.len);
    struct session_cache *c =
        getrandom(&log->seed, sizeof log->seed, 0) == sizeof log->seed ? describe(log, bytes, fd) : NULL;
    if (!c)
        munmap(log, bytes);
    return c;
}

static struct session_cache *make_shared(struct slice name, size_t bytes)
{
    int fd = memfd_create("weir tls sessions", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct session_cache *c = NULL;
    if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        c = make(name, bytes, fd);
    int error = errno;
    if (fd >= 0 && !c)
        close(fd);
    errno = error;
    return c;
}

struct session_cache *session_cache_hold(struct slice name, size_t bytes)
{
    assert(bytes >= SESSION_CACHE_BYTES_MIN && name.len < SESSION_CACHE_NAME_BYTES);
    struct session_cache *c = name.len ? all : NULL;
    while (c && !(c->bytes == bytes && slice_eq(slice_of(c->name), name)))
        c = c->next;
    if (!c)
        c = name.len ? make_shared(name, bytes) : make(name, bytes, -1);
    if (c)
        c->holders++;
    return c;
}

static void end(struct session_cache *cache)
{
    struct session_cache **link = &all;
    while (*link != cache)
        link = &(*link)->next;
    *link = cache->next;
    munmap(cache->log, cache->bytes);
    if (cache->fd >= 0)
        close(cache->fd);
    free(cache);
}

void session_cache_let_go(struct session_cache *cache)
{
    if (!cache)
        return;
    assert(cache->holders > 0);
    if (--cache->holders == 0)
        end(cache);
}

/* --- entries --- */

static uint64_t mix(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 32;
}

struct entry {
    uint64_t words[ENTRY_WORDS];
};

enum { NUMBER, SUM, LENGTHS };

static size_t words_of(size_t id_len, size_t len)
{
    return HEAD_WORDS + (id_len + 7) / 8 + (len + 7) / 8;
}

static uint64_t sum_of(const struct entry *e, size_t words)
{
    uint64_t sum = e->words[NUMBER];
    for (size_t i = LENGTHS; i < words; i++)
        sum = mix(sum, e->words[i]);
    return sum;
}

static uint64_t hash(const struct session_cache *c, struct slice id)
{
    uint64_t words[ID_WORDS] = {0}, h = c->seed;
    memcpy(words, id.data, id.len);
    for (int i = 0; i < ID_WORDS; i++)
        h = mix(h, words[i]);
    return mix(h, id.len);
}

/* Whether the log has not come round to it. */
static bool is_there(const struct session_cache *c, uint64_t at)
{
    uint64_t end = atomic_load_explicit(&c->log->end, memory_order_relaxed);
    return at < end && end - at <= c->block_count;
}

static word *place(const struct session_cache *c, uint64_t at)
{
    return &c->blocks[at % c->block_count * BLOCK_WORDS];
}

/* The first of so many blocks, which lie side by side. */
static uint64_t claim(const struct session_cache *c, uint64_t blocks)
{
    uint64_t at;
    do {
        at = atomic_fetch_add_explicit(&c->log->end, blocks, memory_order_acq_rel);
    } while (at % c->block_count + blocks > c->block_count);
    /* What is written there is seen behind the claim. */
    atomic_thread_fence(memory_order_release);
    return at;
}

static uint64_t write_entry(const struct session_cache *c, struct slice id, struct slice session)
{
    struct entry e = {{0}};
    size_t words = words_of(id.len, session.len);
    e.words[LENGTHS] = id.len << 32 | session.len;
    memcpy(&e.words[HEAD_WORDS], id.data, id.len);
    memcpy(&e.words[words_of(id.len, 0)], session.data, session.len);
    uint64_t at = claim(c, (words + BLOCK_WORDS - 1) / BLOCK_WORDS);
    word *to = place(c, at);
    e.words[NUMBER] = at + 1;
    e.words[SUM] = sum_of(&e, words);
    atomic_store_explicit(&to[NUMBER], 0, memory_order_relaxed);
    for (size_t i = SUM; i < words; i++)
        atomic_store_explicit(&to[i], e.words[i], memory_order_relaxed);
    atomic_store_explicit(&to[NUMBER], at + 1, memory_order_release);
    explicit_bzero(&e, sizeof e);
    return at;
}

/* Into *e. False: it is not whole, or not this id's. */
static bool read_entry(const struct session_cache *c, uint64_t at, struct slice id, struct entry *e)
{
    const word *from = place(c, at);
    e->words[NUMBER] = atomic_load_explicit(&from[NUMBER], memory_order_acquire);
    if (!is_there(c, at) || e->words[NUMBER] != at + 1)
        return false;
    e->words[LENGTHS] = atomic_load_explicit(&from[LENGTHS], memory_order_relaxed);
    uint64_t id_len = e->words[LENGTHS] >> 32, len = (uint32_t)e->words[LENGTHS];
    size_t words = id_len == id.len && len <= SESSION_MAX ? words_of(id_len, len) : 0;
    if (words == 0 || at % c->block_count + (words + BLOCK_WORDS - 1) / BLOCK_WORDS > c->block_count)
        return false;
    e->words[SUM] = atomic_load_explicit(&from[SUM], memory_order_relaxed);
    for (size_t i = HEAD_WORDS; i < words; i++)
        e->words[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return is_there(c, at) && e->words[SUM] == sum_of(e, words) &&
           memcmp(&e->words[HEAD_WORDS], id.data, id.len) == 0;
}

/* --- the index: each word the number of an entry, and a part of its id's hash; 0: none --- */

static word *bucket_of(const struct session_cache *c, uint64_t h)
{
    return &c->index[(h >> TAG_BITS) % c->bucket_count * BUCKET];
}

static uint64_t indexed(uint64_t at, uint64_t h)
{
    return (at + 1) << TAG_BITS | (h & ((1u << TAG_BITS) - 1));
}

static bool has_tag(uint64_t entry, uint64_t h)
{
    return entry && (entry & ((1u << TAG_BITS) - 1)) == (h & ((1u << TAG_BITS) - 1));
}

/* In place of none, of one that is there no longer, or of the oldest. */
static bool index_entry(const struct session_cache *c, uint64_t h, uint64_t at)
{
    word *bucket = bucket_of(c, h);
    for (int tries = 0; tries < INSERT_TRIES; tries++) {
        int oldest = 0;
        uint64_t values[BUCKET];
        for (int i = 0; i < BUCKET; i++) {
            values[i] = atomic_load_explicit(&bucket[i], memory_order_relaxed);
            if (values[i] && !is_there(c, (values[i] >> TAG_BITS) - 1))
                values[oldest = i] = values[i];
            else if (values[i] >> TAG_BITS < values[oldest] >> TAG_BITS)
                oldest = i;
        }
        if (atomic_compare_exchange_strong_explicit(&bucket[oldest], &values[oldest], indexed(at, h),
                                                    memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Where the latest of that id is in the index, with the entry in *e; NULL: nowhere. */
static word *look_up(const struct session_cache *c, struct slice id, struct entry *e, uint64_t *value)
{
    uint64_t h = hash(c, id);
    word *bucket = bucket_of(c, h), *found = NULL;
    struct entry one;
    *value = 0;
    for (int i = 0; i < BUCKET; i++) {
        uint64_t v = atomic_load_explicit(&bucket[i], memory_order_acquire);
        if (v <= *value || !has_tag(v, h) || !read_entry(c, (v >> TAG_BITS) - 1, id, &one))
            continue;
        *e = one;
        *value = v;
        found = &bucket[i];
    }
    explicit_bzero(&one, sizeof one);
    return found;
}

bool session_cache_put(struct session_cache *cache, struct slice id, struct slice session)
{
    if (id.len == 0 || id.len > SESSION_ID_MAX || session.len == 0 || session.len > SESSION_MAX)
        return false;
    return index_entry(cache, hash(cache, id), write_entry(cache, id, session));
}

size_t session_cache_find(const struct session_cache *cache, struct slice id, char session[SESSION_MAX])
{
    struct entry e;
    uint64_t value;
    if (id.len == 0 || id.len > SESSION_ID_MAX || !look_up(cache, id, &e, &value))
        return 0;
    size_t len = (uint32_t)e.words[LENGTHS];
    memcpy(session, &e.words[words_of(id.len, 0)], len);
    explicit_bzero(&e, sizeof e);
    return len;
}

void session_caches_drop(struct slice id)
{
    struct entry e;
    uint64_t value;
    word *entry;
    if (!all || id.len == 0 || id.len > SESSION_ID_MAX)
        return;
    for (const struct session_cache *c = all; c; c = c->next)
        while (c->name[0] != SESSION_CACHE_OF_OTHERS && (entry = look_up(c, id, &e, &value)))
            atomic_compare_exchange_strong(entry, &value, 0);
    explicit_bzero(&e, sizeof e);
}

/* --- over a change of the binary --- */

bool session_caches_pass_on(struct buf *numbers)
{
    bool ok = true;
    for (const struct session_cache *c = all; c; c = c->next) {
        if (c->fd < 0)
            continue;
        fd_set_cloexec(c->fd, false);
        ok = ok && buf_printf(numbers, "%d;", c->fd);
    }
    return ok;
}

static void take_over(int fd)
{
    struct stat st;
    struct log *log = NULL;
    if (fd_set_cloexec(fd, true) < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size >= SESSION_CACHE_BYTES_MIN &&
        (fcntl(fd, F_GET_SEALS) & SEALS) == SEALS)
        log = map(fd, (size_t)st.st_size);
    if (log && log->version == VERSION && log->bytes == (uint64_t)st.st_size && log->name[0] &&
        memchr(log->name, 0, sizeof log->name) && describe(log, (size_t)st.st_size, fd))
        return;
    if (log)
        munmap(log, (size_t)st.st_size);
    close(fd);
}

void session_caches_take_over(const char *numbers)
{
    char *end;
    for (const char *at = numbers; at && *at; at = *end ? end + 1 : end) {
        long fd = strtol(at, &end, 10);
        if (end == at || (*end && *end != ';') || fd < 0 || fd > INT32_MAX)
            return;
        take_over((int)fd);
    }
}

void session_caches_close_unused(void)
{
    for (struct session_cache *c = all, *next; c; c = next) {
        next = c->next;
        if (c->holders == 0)
            end(c);
    }
}

void session_caches_close_files(void)
{
    for (struct session_cache *c = all; c; c = c->next) {
        if (c->fd >= 0)
            close(c->fd);
        c->fd = -1;
    }
}
