/*
 * base/symlinks.c - a path, part by part, each opened relative to the one before.
 */
#include "base/symlinks.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* The owners of a link and of what it points to. */
static bool same_owner(int dir, const char *name, int flags, int *opened)
{
    struct stat link, target;
    *opened = -1;
    if (fstatat(dir, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    int fd = openat(dir, name, flags & ~O_NOFOLLOW);
    if (fd < 0)
        return false;
    if (fstat(fd, &target) == 0 && target.st_uid == link.st_uid) {
        *opened = fd;
        return true;
    }
    close(fd);
    errno = ELOOP;
    return false;
}

static bool is_link(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

/* One part of the path. -1 with errno. */
static int open_part(int dir, const char *name, bool directory, bool last, int mode)
{
    int flags =
        (last ? O_RDONLY | O_NONBLOCK : O_PATH) | (directory ? O_DIRECTORY : 0) | O_NOFOLLOW | O_CLOEXEC;
    int opened;
    int fd = openat(dir, name, flags);
    if (fd >= 0 || (errno != ELOOP && errno != ENOTDIR && errno != EMLINK))
        return fd;
    int saved = errno;
    if (!is_link(dir, name)) {
        errno = saved;
        return -1;
    }
    if (mode == SYMLINKS_IF_NOT_OWNER)
        return same_owner(dir, name, flags, &opened) ? opened : -1;
    errno = ELOOP;
    return -1;
}

/* Where looking begins: at the end of `from`, or of the first "/". The bytes before it are in *skip. */
static int open_start(const char *path, struct slice from, size_t *skip)
{
    char start[PATH_MAX];
    bool has_from = from.len > 1 && from.len < sizeof start && slice_starts(slice_of(path), from) &&
                    (from.data[from.len - 1] == '/' || path[from.len] == '/');
    *skip = has_from ? from.len : 1;
    assert(*skip < sizeof start && path[0] == '/');
    memcpy(start, has_from ? from.data : "/", *skip);
    start[*skip] = '\0';
    return open(start, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int symlinks_open(const char *path, int mode, struct slice from)
{
    char part[NAME_MAX + 1];
    size_t at;
    if (slice_eq(slice_of(path), from))
        return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int dir = open_start(path, from, &at);
    while (dir >= 0) {
        at += strspn(path + at, "/");
        size_t n = strcspn(path + at, "/");
        bool last = path[at + n + strspn(path + at + n, "/")] == '\0';
        if (n >= sizeof part) {
            close(dir);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(part, n ? path + at : ".", n ? n : 1);
        part[n ? n : 1] = '\0';
        int fd = open_part(dir, part, path[at + n] == '/', last, mode), saved = errno;
        close(dir);
        errno = saved;
        if (last || fd < 0)
            return fd;
        dir = fd;
        at += n;
    }
    return -1;
}
