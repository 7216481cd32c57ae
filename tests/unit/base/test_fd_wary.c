/*
 * tests/unit/base/test_fd_wary.c - paths as root walks them: whose links are followed, wherever they stand, and what is made.
 */
#include "base/fd.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { NOBODY = 65534 };

static char base[] = "/tmp/weir-wary-XXXXXX";

static const char *at(const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", base, name);
    return path;
}

static void make_link(const char *name, const char *target, uid_t owner)
{
    CU_ASSERT_FATAL(symlink(target, at(name)) == 0);
    CU_ASSERT_FATAL(lchown(at(name), owner, (gid_t)-1) == 0);
}

/* "ok", or the errno's name. */
static const char *opens(const char *path, int flags)
{
    int fd = fd_open_warily(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return strerrorname_np(errno);
    close(fd);
    return "ok";
}

static void whose_links_are_followed(void)
{
    static const struct {
        const char *name, *result;
    } cases[] = {
        {"file", "ok"},
        {"dir/file", "ok"},
        {"./dir//../dir/./file", "ok"},
        {"none", "ENOENT"},
        {"none/file", "ENOENT"},
        {"file/x", "ENOTDIR"},
        {"ours", "ok"},
        {"ours-absolute", "ok"},
        {"ours-dir/file", "ok"},
        {"ours-dir/../file", "ok"},
        {"theirs", "EPERM"},
        {"theirs-dir/file", "EPERM"},
        {"theirs-dir/new", "EPERM"},
        {"dir/../theirs-dir/file", "EPERM"},
        {"ours-to-theirs", "EPERM"},
        {"ours-to-theirs-dir/file", "EPERM"},
        /* A third user's: nobody has said anything of that one. */
        {"others", "ok"},
        {"loop", "ELOOP"},
        {"proc-cwd/.", "ok"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *result = opens(at(cases[i].name), O_RDONLY);
        CHECK_FOR(cases[i].name, strcmp(result, cases[i].result) == 0);
    }
    CHECK_FOR("created", strcmp(opens(at("dir/made"), O_WRONLY | O_CREAT), "ok") == 0);
    CHECK_FOR("created by a link", strcmp(opens(at("theirs-new"), O_WRONLY | O_CREAT), "EPERM") == 0);
    CU_ASSERT(access(at("dir/made"), F_OK) == 0 && access(at("dir/made-by-link"), F_OK) < 0);
    CHECK_FOR("/", strcmp(opens("/", O_RDONLY | O_DIRECTORY), "ok") == 0);
    CHECK_FOR("/dev/null", strcmp(opens("/dev/null", O_WRONLY), "ok") == 0);
}

/* As /dev/stdout is one to what is open: here to a file that has no name any more. */
static void links_of_proc_lead_to_what_is_open(void)
{
    char path[64], byte = 0;
    int fd = fd_memory_file("open", SLICE("x"));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = fd_open_warily(path, O_RDONLY | O_CLOEXEC, 0);
    CU_ASSERT(again >= 0 && pread(again, &byte, 1, 0) == 1 && byte == 'x');
    close(again);
    close(fd);
}

static void names_that_are_too_long(void)
{
    static char path[3 * PATH_MAX];
    memset(path, 'a', NAME_MAX + 1);
    CHECK_FOR("a name", strcmp(opens(path, O_RDONLY), "ENAMETOOLONG") == 0);
    memset(path, '/', sizeof path - 1);
    CHECK_FOR("a path", strcmp(opens(path, O_RDONLY), "ENAMETOOLONG") == 0);
}

static void directories_are_made_with_their_parents(void)
{
    struct stat st;
    int fd = fd_make_dir_warily(at("dir/a/b/c"), 0700);
    CU_ASSERT(fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
    close(fd);
    CU_ASSERT(stat(at("dir/a/b"), &st) == 0 && (st.st_mode & 0777) == 0755);
    fd = fd_make_dir_warily(at("dir/a/b/c"), 0700); /* an existing one is no error */
    CU_ASSERT(fd >= 0);
    close(fd);
    CU_ASSERT(fd_make_dir_warily(at("file"), 0700) < 0 && errno == ENOTDIR);
    CU_ASSERT(fd_make_dir_warily(at("theirs-dir"), 0700) < 0 && errno == EPERM);
    CU_ASSERT(fd_make_dir_warily(at("theirs-dir/in/it"), 0700) < 0 && errno == EPERM);
    CU_ASSERT(access(at("dir/in"), F_OK) < 0);
}

static void prepare(void)
{
    CU_ASSERT_FATAL(mkdtemp(base) && mkdir(at("dir"), 0755) == 0);
    umask(022);
    close(open(at("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    close(open(at("dir/file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    char absolute[PATH_MAX];
    snprintf(absolute, sizeof absolute, "%s", at("dir/file"));
    make_link("ours", "dir/file", 0);
    make_link("ours-absolute", absolute, 0);
    make_link("ours-dir", "dir", 0);
    make_link("theirs", "file", NOBODY);
    make_link("theirs-dir", "dir", NOBODY);
    make_link("theirs-new", "dir/made-by-link", NOBODY);
    make_link("ours-to-theirs", "theirs", 0);
    make_link("ours-to-theirs-dir", "theirs-dir", 0);
    make_link("others", "file", 1234);
    make_link("loop", "loop", 0);
    make_link("proc-cwd", "/proc/self/cwd", 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static void all(void)
{
    if (geteuid() != 0) {
        check_skip("links of other users: only root can make them");
        return;
    }
    prepare();
    CHECK_FOR("nobody distrusted", strcmp(opens(at("theirs"), O_RDONLY), "ok") == 0);
    fd_distrust(NOBODY);
    fd_distrust(NOBODY);
    whose_links_are_followed();
    links_of_proc_lead_to_what_is_open();
    names_that_are_too_long();
    directories_are_made_with_their_parents();
    nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct check_case cases[] = {{"paths as root walks them", all}};

CHECK_MAIN("base/fd_wary", cases)
