/*
 * base/fd_wary.c - opening files as root where others may write to the directories on the way: a link of theirs would lead to a
 * file that only root may have (CVE-2016-1247 is of that kind).
 *
 * The path is walked step by step, each from the descriptor of the last, so that nothing can be exchanged behind a look at it.
 */
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { LINKS_MAX = 40, DISTRUSTED_MAX = 16, STEP_FLAGS = O_PATH | O_NOFOLLOW | O_CLOEXEC };

static uid_t distrusted[DISTRUSTED_MAX];
static int distrusted_count;

void fd_distrust(uid_t uid)
{
    for (int i = 0; i < distrusted_count; i++)
        if (distrusted[i] == uid)
            return;
    if (uid != 0 && distrusted_count < DISTRUSTED_MAX)
        distrusted[distrusted_count++] = uid;
}

static bool is_distrusted(uid_t uid)
{
    for (int i = 0; i < distrusted_count; i++)
        if (distrusted[i] == uid)
            return true;
    return false;
}

/* Where the walk is. */
struct walk {
    int dir;
    char rest[2 * PATH_MAX];
    int links;
};

static bool move_to(struct walk *w, int dir)
{
    if (w->dir >= 0)
        close(w->dir);
    w->dir = dir;
    return dir >= 0;
}

/* What has been read of a link takes its place before the rest of the path. */
static bool follow_link(struct walk *w, int link, const char *rest)
{
    char target[PATH_MAX], whole[sizeof w->rest];
    struct stat st;
    ssize_t n = fstat(link, &st) < 0 ? -1 : readlinkat(link, "", target, sizeof target - 1);
    if (n < 0)
        return false;
    target[n] = '\0';
    if (is_distrusted(st.st_uid)) {
        errno = EPERM;
        return false;
    }
    if (++w->links > LINKS_MAX) {
        errno = ELOOP;
        return false;
    }
    if (snprintf(whole, sizeof whole, "%s%s%s", target, *rest ? "/" : "", rest) >= (int)sizeof whole) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(w->rest, whole, sizeof whole);
    return target[0] != '/' || move_to(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

/* Links of /proc lead to what is open, whatever their text says. */
static bool is_of_proc(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* The next part of the path, cut off where it is longer than a name can be. False: it is the last one. */
static bool next_name(const struct walk *w, char name[NAME_MAX + 2], const char **rest)
{
    const char *p = w->rest + strspn(w->rest, "/");
    size_t n = strcspn(p, "/");
    assert(strlen(w->rest) < sizeof w->rest);
    snprintf(name, NAME_MAX + 2, "%.*s", (int)n, p);
    *rest = p + n + strspn(p + n, "/");
    return **rest != '\0';
}

/* How the path is walked, and what is to be done at its end. */
struct task {
    int flags;
    mode_t mode;
    bool makes_dirs; /* all that are missing */
};

/* One step. Returns the descriptor of the last name; -1 with *more: go on; or with errno. */
static int walk_step(struct walk *w, const struct task *task, bool *more)
{
    char name[NAME_MAX + 2];
    const char *rest;
    struct stat st;
    assert(w->dir >= 0);
    bool last = !next_name(w, name, &rest);
    *more = false;
    if (strlen(name) > NAME_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (name[0] == '\0')
        snprintf(name, sizeof name, "."); /* "/" */
    if (task->makes_dirs && mkdirat(w->dir, name, last ? task->mode : 0755) < 0 && errno != EEXIST)
        return -1;
    int fd =
        last ? openat(w->dir, name, task->flags | O_NOFOLLOW, task->mode) : openat(w->dir, name, STEP_FLAGS);
    bool links = last && fd < 0 && (errno == ELOOP || errno == ENOTDIR || errno == EMLINK);
    if (links)
        fd = openat(w->dir, name, STEP_FLAGS);
    if (fd < 0 || (last && !links))
        return fd;
    if (fstat(fd, &st) < 0 || (links && !S_ISLNK(st.st_mode))) {
        close(fd);
        errno = ENOTDIR;
        return -1;
    }
    if (S_ISLNK(st.st_mode) && is_of_proc(fd)) {
        close(fd);
        return openat(w->dir, w->rest + strspn(w->rest, "/"), task->flags, task->mode);
    }
    if (S_ISLNK(st.st_mode)) {
        *more = follow_link(w, fd, rest);
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    assert(!last && rest > w->rest && *rest);
    memmove(w->rest, rest, strlen(rest) + 1);
    *more = move_to(w, fd);
    return -1;
}

static int open_walking(const char *path, const struct task *task)
{
    struct walk w = {.dir = -1};
    bool more = true;
    int fd = -1;
    if (snprintf(w.rest, sizeof w.rest, "%s", path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (!move_to(&w, open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC)))
        return -1;
    while (more)
        fd = walk_step(&w, task, &more);
    int error = errno;
    close(w.dir);
    errno = error;
    return fd;
}

int fd_open_warily(const char *path, int flags, mode_t mode)
{
    if (distrusted_count == 0 || geteuid() != 0)
        return open(path, flags, mode);
    return open_walking(path, &(struct task){.flags = flags, .mode = mode});
}

int fd_make_dir_warily(const char *path, mode_t mode)
{
    enum { HOW = O_RDONLY | O_DIRECTORY | O_CLOEXEC };
    if (distrusted_count == 0 || geteuid() != 0)
        return fd_make_dirs(path, mode) < 0 ? -1 : open(path, HOW);
    return open_walking(path, &(struct task){.flags = HOW, .mode = mode, .makes_dirs = true});
}

int fd_open_append(const char *path)
{
    enum { HOW = O_APPEND | O_CREAT | O_CLOEXEC };
    struct stat st;
    int fd = fd_open_warily(path, O_WRONLY | HOW, 0644);
    /* A pipe that we could read from ourselves would never end. */
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return fd;
    int both = fd_open_warily(path, O_RDWR | HOW, 0644);
    if (both < 0)
        return fd;
    close(fd);
    return both;
}
