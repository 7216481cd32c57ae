/*
 * base/fd.c - small helpers over file descriptors.
 */
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int fd_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int fd_set_cloexec(int fd, bool on)
{
    return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0);
}

int fd_write_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        assert((size_t)done <= n);
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

int fd_read_all(int fd, size_t max_bytes, struct buf *out)
{
    for (;;) {
        if (!buf_reserve(out, 4096))
            return -1;
        ssize_t n = read(fd, out->data + out->end, out->cap - out->end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        out->end += (size_t)n;
        assert(out->end <= out->cap);
        if (buf_len(out) > max_bytes) {
            errno = EFBIG;
            return -1;
        }
    }
}

int fd_read_file(const char *path, size_t max_bytes, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fd_read_all(fd, max_bytes, out);
    int saved = errno;
    close(fd);
    errno = saved;
    return rc;
}

int fd_make_dirs(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return -1;
        part[i] = kept;
    }
    assert(strcmp(part, path) == 0);
    return 0;
}

int fd_make_parent_dirs(const char *path, mode_t mode)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return 0;
    size_t len = (size_t)(slash - path);
    if (len >= sizeof dir) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(dir, path, len);
    dir[len] = '\0';
    return fd_make_dirs(dir, mode);
}

/* Whether the file ends with the piece: then nobody has written behind it. */
static bool ends_with(int fd, off_t size, struct slice piece)
{
    char block[4096];
    off_t at = size - (off_t)piece.len;
    while (at >= 0 && piece.len > 0) {
        size_t n = piece.len < sizeof block ? piece.len : sizeof block;
        if (pread(fd, block, n, at) != (ssize_t)n || memcmp(block, piece.data, n) != 0)
            return false;
        piece = slice_from(piece, n);
        at += (off_t)n;
    }
    return at >= 0;
}

/* Nobody waits for the lock; it keeps two workers from cutting off what both have seen. */
static bool cut_off_piece(int fd, struct slice piece)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;
    if (fcntl(fd, F_SETLK, &lock) < 0)
        return false;
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && ends_with(fd, st.st_size, piece) &&
              ftruncate(fd, st.st_size - (off_t)piece.len) == 0;
    lock.l_type = F_UNLCK;
    fcntl(fd, F_SETLK, &lock);
    return ok;
}

size_t fd_append_whole(int fd, struct slice data, bool by_line)
{
    size_t done = 0;
    ssize_t n = 0;
    while (done < data.len &&
           ((n = write(fd, data.data + done, data.len - done)) > 0 || (n < 0 && errno == EINTR)))
        done += n > 0 ? (size_t)n : 0;
    assert(done <= data.len);
    if (done == data.len)
        return done;
    int error = n < 0 ? errno : ENOSPC;
    size_t whole = by_line ? done : 0;
    while (whole > 0 && data.data[whole - 1] != '\n')
        whole--;
    if (whole < done)
        cut_off_piece(fd, (struct slice){data.data + whole, done - whole});
    errno = error;
    return whole;
}

ssize_t fd_send_beside(int socket, const struct iovec *parts, int count, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    if (fd >= 0) {
        msg.msg_control = control;
        msg.msg_controllen = sizeof control;
        struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(h), &fd, sizeof fd);
    }
    return sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The first of those that have come. */
static int take_descriptor(struct msghdr *msg)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    int fd = -1;
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return fd;
    for (size_t i = 0; CMSG_LEN((i + 1) * sizeof fd) <= c->cmsg_len; i++) {
        int each;
        memcpy(&each, CMSG_DATA(c) + i * sizeof each, sizeof each);
        if (i == 0)
            fd = each;
        else
            fd_close_foreign(each);
    }
    return fd;
}

ssize_t fd_receive_beside(int socket, void *data, size_t room, int *fd)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {data, room};
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *fd = n >= 0 ? take_descriptor(&msg) : -1;
    return n > 0 && (msg.msg_flags & MSG_TRUNC) ? 0 : n;
}

void fd_close_foreign(int fd)
{
    struct linger none = {0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd);
}

int fd_memory_file(const char *name, struct slice content)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (fd_write_all(fd, content.data, content.len) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int open_and_unlink(const char *dir)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/weir-XXXXXX", dir) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

int fd_open_unnamed(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ENOENT && fd_make_dirs(dir, 0700) == 0)
        fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) /* a file system without O_TMPFILE */
        return open_and_unlink(dir);
    return fd;
}
