/*
 * shm/permit_map.c - the memory that permits lie in: a file without a name, so that another binary can be given it.
 */
#include "shm/permit_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* Whether a file may be as large: making it so would end the process (setrlimit(2)). */
static bool may_be_large(void)
{
    struct rlimit most;
    return getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur >= sizeof(struct permit_region);
}

/* -1: there can be none (of that size). */
static int make_file(void)
{
    if (!may_be_large())
        return -1;
    int fd = memfd_create("weir permits", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && ftruncate(fd, sizeof(struct permit_region)) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* NULL with errno. Only what is touched costs memory, and that is little: so none is reserved. */
static struct permit_region *map_file(int fd)
{
    int flags = MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *at = mmap(NULL, sizeof(struct permit_region), PROT_READ | PROT_WRITE, flags, fd, 0);
    if (at == MAP_FAILED)
        return NULL;
    /* A core must not show what clients of all workers have asked for. */
    madvise(at, sizeof(struct permit_region), MADV_DONTDUMP);
    return at;
}

bool permit_map(struct shm *shm)
{
    shm->permits_fd = make_file();
    shm->permits = map_file(shm->permits_fd);
    if (!shm->permits && shm->permits_fd >= 0)
        close(shm->permits_fd);
    return shm->permits != NULL;
}

void permit_unmap(struct shm *shm)
{
    munmap(shm->permits, sizeof *shm->permits);
    if (shm->permits_fd >= 0)
        close(shm->permits_fd);
    shm->permits_fd = -1;
}

/* Nobody can make it shorter under us. */
static bool is_permit_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct permit_region) &&
           (fcntl(fd, F_GET_SEALS) & SEALS) == SEALS;
}

bool permit_map_file(struct shm *shm, int fd)
{
    if (!is_permit_file(fd)) {
        errno = EINVAL;
        return false;
    }
    struct permit_region *r = map_file(fd);
    if (!r)
        return false;
    permit_unmap(shm);
    shm->permits = r;
    shm->permits_fd = fd;
    return true;
}
