/*
 * tests/unit/base/test_fd.c - reading whole files within a bound, making folders, files in memory.
 */
#include "base/fd.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

static void reads_within_a_bound(void)
{
    struct buf big = {0}, copy = {0};
    for (int i = 0; i < 20000; i++)
        buf_append(&big, "0123456789", 10);
    int fd = fd_memory_file("big", buf_slice(&big));
    CU_ASSERT_FATAL(fd >= 0);
    CHECK_NUMBER(fd_read_all(fd, 200000, &copy), 0);
    CU_ASSERT(slice_eq(buf_slice(&copy), buf_slice(&big)));
    buf_consume(&copy, buf_len(&copy));
    CHECK_NUMBER(lseek(fd, 0, SEEK_SET), 0);
    CHECK_NUMBER(fd_read_all(fd, 199999, &copy), -1);
    CHECK_NUMBER(errno, EFBIG);
    CHECK_NUMBER(fd_read_file("/no/such/file", 10, &copy), -1);
    CHECK_NUMBER(errno, ENOENT);
    CHECK_NUMBER(fd_read_file("/", 10, &copy), -1);
    CHECK_NUMBER(errno, EISDIR);
    close(fd);
    buf_free(&big);
    buf_free(&copy);
}

static void nobody_changes_a_file_in_memory(void)
{
    char path[64], byte;
    int fd = fd_memory_file("sealed", SLICE("content"));
    CU_ASSERT_FATAL(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        int to = i ? again : fd;
        CU_ASSERT(pwrite(to, "x", 1, 0) < 0 && ftruncate(to, 0) < 0 && ftruncate(to, 100) < 0);
        void *mapped = mmap(NULL, 7, PROT_READ | PROT_WRITE, MAP_SHARED, to, 0);
        CU_ASSERT(mapped == MAP_FAILED);
    }
    CU_ASSERT(pread(fd, &byte, 1, 0) == 1 && byte == 'c');
    close(fd);
    if (again >= 0)
        close(again);
}

static void makes_directories_with_their_parents(void)
{
    char dir[] = "/tmp/weir-fd-XXXXXX", path[120], file[100];
    struct stat st;
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a/b", dir);
    snprintf(file, sizeof file, "%s/a/b/c/log", dir);
    CHECK_NUMBER(fd_make_dirs(path, 0700), 0);
    CHECK_NUMBER(fd_make_dirs(path, 0700), 0); /* an existing one is no error */
    CHECK_NUMBER(fd_make_parent_dirs(file, 0700), 0);
    CU_ASSERT(stat(file, &st) < 0);
    int fd = fd_open_append(file);
    CU_ASSERT(fd >= 0);
    CHECK_NUMBER(fd_write_all(fd, "x", 1), 0);
    CHECK_NUMBER(stat(file, &st), 0);
    CHECK_NUMBER(fd_make_dirs(file, 0700), 0); /* exists, though it is no folder */
    snprintf(path, sizeof path, "%s/below", file);
    CHECK_NUMBER(fd_make_dirs(path, 0700), -1);
    CHECK_NUMBER(errno, ENOTDIR);
    CHECK_NUMBER(fd_make_parent_dirs("no-slash", 0700), 0);
    CHECK_NUMBER(fd_make_parent_dirs("/top", 0700), 0);
    close(fd);
    unlink(file);
    for (char *slash = strrchr(file, '/'); slash && (size_t)(slash - file) >= strlen(dir);
         slash = strrchr(file, '/')) {
        *slash = '\0';
        rmdir(file);
    }
    CU_ASSERT(stat(dir, &st) < 0);
}

static void refuses_paths_that_are_too_long(void)
{
    static char path[PATH_MAX + 2];
    memset(path, 'a', sizeof path - 1);
    path[0] = '/';
    CHECK_NUMBER(fd_make_dirs(path, 0700), -1);
    CHECK_NUMBER(errno, ENAMETOOLONG);
    path[PATH_MAX] = '/';
    CHECK_NUMBER(fd_make_parent_dirs(path, 0700), -1);
    CHECK_NUMBER(errno, ENAMETOOLONG);
}

static void sets_flags(void)
{
    int ends[2];
    CU_ASSERT_FATAL(pipe(ends) == 0);
    CHECK_NUMBER(fd_set_nonblocking(ends[0]), 0);
    CU_ASSERT(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    CHECK_NUMBER(fd_set_cloexec(ends[0], true), 0);
    CU_ASSERT(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    CHECK_NUMBER(fd_set_cloexec(ends[0], false), 0);
    CU_ASSERT(!(fcntl(ends[0], F_GETFD) & FD_CLOEXEC));
    close(ends[0]);
    close(ends[1]);
    CHECK_NUMBER(fd_set_nonblocking(ends[0]), -1);
    CHECK_NUMBER(fd_write_all(ends[1], "x", 1), -1);
}

static const struct check_case cases[] = {
    {"reads within a bound", reads_within_a_bound},
    {"nobody changes a file in memory", nobody_changes_a_file_in_memory},
    {"makes folders with their parents", makes_directories_with_their_parents},
    {"refuses paths that are too long", refuses_paths_that_are_too_long},
    {"sets flags", sets_flags},
};

CHECK_MAIN("base/fd", cases)
