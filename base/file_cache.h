/*
 * base/file_cache.h - open files, their metadata, and the content of small ones, in a bounded cache.
 *
 * An entry is checked against the disk with one stat(2) before it is used, at most once in each turn of the event
 * loop, so a changed file is seen by the next request and a hot one costs no open. open_file_cache lets it be used unchecked
 * for a while, and remembers files that are not there.
 * Ownership: an entry that was got is held until it is released; the cache may drop it before, its memory then waits.
 * Threads:   the loop's.
 */
#ifndef WEIR_BASE_FILE_CACHE_H
#define WEIR_BASE_FILE_CACHE_H

#include "base/clock.h"
#include "base/list.h"

#include <sys/stat.h>

enum {
    FILE_CACHE_ENTRIES = 1024,
    FILE_CACHE_OPEN_MAX = 64,
    FILE_CACHE_BYTES = 16 << 20,
    FILE_CACHE_CONTENT_MAX = 64 << 10
};

/* How a location wants its files to be looked at. */
struct file_rules {
    /* An entry is used for so long without a look at the disk; 0: each turn has a look. */
    uint64_t valid_ms;
    /* An entry is forgotten after so long without a use. */
    uint64_t inactive_ms;
    unsigned min_uses; /* from this use on */
    /* That a file is not there is remembered, too. */
    bool errors;
    /* Files that may be kept open; 0: FILE_CACHE_OPEN_MAX. */
    unsigned open_max;
    /* Content that is not in memory stays on the disk: the caller reads it elsewhere. */
    bool without_waiting;
    /* An enum symlinks: what is wrong with links in a path; such files are not cached. */
    int symlinks;
    /* The part of paths in which links are right. */
    struct slice symlinks_from;
};

struct file_entry {
    struct list_node bucket; /* in the hash table */
    struct list_node use;    /* least recently used first */
    /* The cache itself is a holder while the entry is in it. */
    unsigned holders;
    uint64_t checked_turn; /* of the loop, when stat last agreed */
    uint64_t checked_ms, used_ms;
    unsigned uses;
    int error; /* errno of the open; 0: it is there */
    struct stat st;
    int fd;        /* open unless content is there */
    char *content; /* NULL when the file is large */
    struct slice etag, last_modified, path;
    /* Whose list of types `type` was looked up in. */
    const void *type_source;
    struct slice type;
    char etag_text[48];
    char date_text[CLOCK_HTTP_DATE_BYTES + 1];
    char path_text[];
};

struct file_cache {
    struct list_node buckets[FILE_CACHE_ENTRIES];
    struct list_node by_use;
    unsigned entries;
    unsigned open_files; /* entries with a descriptor */
    /* A quarter of the descriptors that this process may have. */
    unsigned open_max;
    size_t bytes; /* of contents */
    /* Raised by the owner once in each turn of its loop. */
    uint64_t turn;
    /* Monotonic time, set by the owner in each turn as well. */
    uint64_t now_ms;
};

void file_cache_init(struct file_cache *c);

/*
 * The entry for a path (with a zero behind it), held. Directories are entries too, without fd. NULL with errno when it
 * cannot be opened. rules NULL: each turn has a look.
 */
struct file_entry *file_cache_get(struct file_cache *c, struct slice path, const struct file_rules *rules);
void file_entry_release(struct file_entry *e);
void file_cache_free(struct file_cache *c);

#endif
