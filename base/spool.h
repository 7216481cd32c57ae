/*
 * base/spool.h - bytes on their way from one writer to one or several readers: in memory, and behind that in a file.
 *
 *     read <- | memory | file | behind | <- written
 *
 * The file has no name and is opened once it is needed. While there is something in it all that comes goes behind: to the file
 * as well, or to memory where the caller wants it so or the disk takes no more. How much may lie where is the caller's to say, and
 * so is what becomes of a disk that fails.
 * Each reader has a place of its own. What all of them have read is given back: memory as it is read, the file once it is read to
 * its end. Without a reader everything stays.
 *
 * Ownership: the spool owns its memory and its file until spool_free; readers are their callers'.
 * Threads:   one at a time.
 */
#ifndef WEIR_BASE_SPOOL_H
#define WEIR_BASE_SPOOL_H

#include "base/buf.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct spool_reader {
    struct spool_reader *next;
    struct spool *spool;
    uint64_t at; /* counted from the first byte ever */
};

/* Zero it, with fd -1. */
struct spool {
    struct buf memory;
    /* What has come behind the file; nothing is behind an empty one. */
    struct buf behind;
    /* -1: none. The owner may give it one before the first byte goes there. */
    int fd;
    int error; /* of the call that failed */
    /* The file's unread part, file_start <= file_end. */
    uint64_t file_start, file_end;
    uint64_t given_back; /* bytes that all have read */
    /* None is at less than given_back. */
    struct spool_reader *readers;
    /* The call that failed: the file gets no more. NULL: all is well. */
    const char *failed;
};

/* A part that lies in one place: in memory with fd -1, else in the file. */
struct spool_stretch {
    const char *data;
    size_t len;
    int fd;
    off_t offset;
};

static inline uint64_t spool_in_file(const struct spool *s)
{
    return s->file_end - s->file_start;
}

static inline size_t spool_in_memory(const struct spool *s)
{
    return buf_len(&s->memory) + buf_len(&s->behind);
}

/* Lets go of everything, its readers too. The memory of an emptied spool is used again, a freed one's is not. */
void spool_empty(struct spool *s);
void spool_free(struct spool *s);

/* --- writing --- */

/* What is last in memory. */
static inline struct buf *spool_memory_end(struct spool *s)
{
    return spool_in_file(s) > 0 ? &s->behind : &s->memory;
}

/* Room for n bytes at the end, in memory, until the next call; spool_commit says how many have been written there. NULL: out of memory. */
static inline char *spool_reserve(struct spool *s, size_t n)
{
    struct buf *b = spool_memory_end(s);
    return buf_reserve(b, n) ? b->data + b->end : NULL;
}

static inline void spool_commit(struct spool *s, size_t n)
{
    struct buf *b = spool_memory_end(s);
    assert(n <= b->cap - b->end);
    b->end += n;
}

/* Appends to memory. False: out of memory. */
bool spool_append(struct spool *s, const void *data, size_t len);

enum spool_result {
    SPOOL_OK,
    SPOOL_DISK_FAILED, /* s->failed: the bytes are in memory */
    SPOOL_NO_MEMORY    /* some of the bytes are lost */
};

/* Appends to the file, a new one in `dir` where there is none; what it does not take goes to memory. */
enum spool_result spool_append_to_file(struct spool *s, const char *dir, const void *data, size_t len);

/*
 * Moves to the file what lies in memory, which must not have anything of the file behind it. False: s->failed; what the file has not
 * taken stays in memory.
 */
bool spool_move_to_file(struct spool *s, const char *dir);

/* --- reading --- */

/* A reader at the first byte that is still there. */
void spool_attach(struct spool *s, struct spool_reader *r);
void spool_detach(struct spool_reader *r);

bool spool_look_further(const struct spool_reader *r, struct spool_stretch *stretch);
bool spool_give_back(struct spool *s);

/* The next stretch, which holds until something is written or taken. False: there is nothing. */
static inline bool spool_look(const struct spool_reader *r, struct spool_stretch *stretch)
{
    const struct buf *first = &r->spool->memory;
    if (buf_len(first) == 0 && spool_in_file(r->spool) == 0)
        return false;
    if (buf_len(first) == 0 || r->at != r->spool->given_back)
        return spool_look_further(r, stretch);
    stretch->data = first->data + first->start;
    stretch->len = buf_len(first);
    stretch->fd = -1;
    stretch->offset = 0;
    return true;
}

/* Has read n bytes of what is there. False: the file could not be emptied, s->failed; nothing is lost. */
static inline bool spool_take(struct spool_reader *r, uint64_t n)
{
    struct spool *s = r->spool;
    r->at += n;
    if (r->next || s->readers != r || n > buf_len(&s->memory))
        return spool_give_back(s);
    s->given_back += n; /* the only one, out of memory */
    buf_consume(&s->memory, (size_t)n);
    return true;
}

#endif
