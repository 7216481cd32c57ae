/*
 * base/log_memory.c - a shared mapping, and a position that writers move by one atomic addition.
 *
 * Two writers never get the same place. One that is slower than a whole round of the others may overwrite a newer line:
 * with a ring of many lines that takes a process that was stopped in the middle of a copy.
 */
#include "base/log_memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct log_memory {
    int fd;
    size_t bytes;
    char *ring;
    /* The position has a page of its own, which the file does not show. */
    _Atomic uint64_t *position;
};

struct log_memory *log_memory_open(size_t bytes)
{
    struct log_memory *m = calloc(1, sizeof *m);
    assert(bytes > 0);
    if (!m)
        return NULL;
    m->bytes = bytes;
    m->fd = memfd_create("weir-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    m->ring = m->fd >= 0 && ftruncate(m->fd, (off_t)bytes) == 0 &&
                      fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0
                  ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0)
                  : MAP_FAILED;
    void *page = mmap(NULL, sizeof *m->position, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    m->position = page;
    if (m->ring != MAP_FAILED && page != MAP_FAILED)
        return m;
    int saved = errno;
    log_memory_close(m);
    errno = saved;
    return NULL;
}

void log_memory_write(struct log_memory *m, struct slice line)
{
    if (line.len > m->bytes)
        return;
    size_t from = (size_t)(atomic_fetch_add(m->position, line.len) % m->bytes);
    size_t first = line.len < m->bytes - from ? line.len : m->bytes - from;
    assert(from + first <= m->bytes && first <= line.len);
    memcpy(m->ring + from, line.data, first);
    memcpy(m->ring, line.data + first, line.len - first);
}

void log_memory_close(struct log_memory *m)
{
    if (m->ring && m->ring != MAP_FAILED)
        munmap(m->ring, m->bytes);
    if (m->position && m->position != MAP_FAILED)
        munmap(m->position, sizeof *m->position);
    if (m->fd >= 0)
        close(m->fd);
    free(m);
}
