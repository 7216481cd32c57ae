/*
 * tests/unit/base/test_symlinks.c - paths with links in every place: which are opened, with which errno the others
 * are refused, and that no descriptor stays behind.
 */
#include "base/symlinks.h"

#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static char dir[] = "/tmp/weir-links-XXXXXX";

/* A path below the test's folder; valid until the next call but three. */
static const char *path_of(const char *name)
{
    static char paths[4][400];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s%s%s", dir, *name ? "/" : "", name);
    return path;
}

static size_t descriptors(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static void make_file(const char *name)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, "x", 1) != 1)
        abort();
    close(fd);
}

static void make_link(const char *target, const char *name, uid_t owner)
{
    if (symlink(target, path_of(name)) < 0 || (owner && lchown(path_of(name), owner, 0) < 0))
        abort();
}

/* real/ has file and deep/file; the links are named after what is wrong with them. */
static void make_tree(void)
{
    if (mkdir(path_of("real"), 0755) < 0 || mkdir(path_of("real/deep"), 0755) < 0)
        abort();
    make_file("real/file");
    make_file("real/deep/file");
    make_link("real", "folder", 0);
    make_link("file", "real/link", 0);
    make_link("link", "real/chain", 0);
    make_link("round", "round", 0);
    make_link("nowhere", "broken", 0);
    if (geteuid() == 0) {
        make_link("real", "others", 65534);
        make_link("file", "real/others", 65534);
        make_link("../others/file", "real/mixed", 65534);
    }
}

/* 0, or the errno. */
static int try(const char *path, int mode, const char *from)
{
    size_t before = descriptors();
    int fd = symlinks_open(path, mode, slice_of(from)), saved = errno;
    if (fd >= 0) {
        CU_ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(fd);
    }
    CHECK_NUMBER(descriptors(), before);
    return fd >= 0 ? 0 : saved;
}

static int try_on(const char *name, const char *from)
{
    return try(path_of(name), SYMLINKS_NONE, from);
}

static int try_owner(const char *name)
{
    return try(path_of(name), SYMLINKS_IF_NOT_OWNER, "");
}

static void paths_without_links_are_opened(void)
{
    CHECK_NUMBER(try_on("real/file", ""), 0);
    CHECK_NUMBER(try_on("real//deep///file", ""), 0);
    CHECK_NUMBER(try_on("real/./deep/../file", ""), 0);
    CHECK_NUMBER(try_on("real", ""), 0);
    CHECK_NUMBER(try_on("real/", ""), 0);
    CHECK_NUMBER(try("/", SYMLINKS_NONE, ""), 0);
    CHECK_NUMBER(try("//", SYMLINKS_NONE, ""), 0);
    CHECK_NUMBER(try_on("none", ""), ENOENT);
    CHECK_NUMBER(try_on("none/file", ""), ENOENT);
    CHECK_NUMBER(try_on("real/file/below", ""), ENOTDIR);
}

static void links_are_refused_wherever_they_are(void)
{
    const char *const names[] = {"real/link", "real/chain", "folder/file", "folder/deep/file", "folder",
                                 "folder/",   "round",      "broken",      "folder/none"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_FOR(names[i], try_on(names[i], "") == ELOOP);
}

static void links_of_the_same_owner(void)
{
    CHECK_NUMBER(try_owner("real/link"), 0);
    CHECK_NUMBER(try_owner("real/chain"), 0);
    CHECK_NUMBER(try_owner("folder/file"), 0);
    CHECK_NUMBER(try_owner("folder/link"), 0);
    CHECK_NUMBER(try_owner("folder"), 0);
    CHECK_NUMBER(try_owner("folder/"), 0);
    CHECK_NUMBER(try_owner("round"), ELOOP);
    CHECK_NUMBER(try_owner("broken"), ENOENT);
    if (geteuid() != 0)
        return;
    CHECK_NUMBER(try_owner("real/others"), ELOOP);
    CHECK_NUMBER(try_owner("others/file"), ELOOP);
    CHECK_NUMBER(try_owner("others"), ELOOP);
    CHECK_NUMBER(try_owner("real/mixed"), ELOOP);
}

static void links_are_right_within_from(void)
{
    char from[400], slash[400], part[400];
    snprintf(from, sizeof from, "%s", path_of("folder"));
    snprintf(slash, sizeof slash, "%s/", path_of("folder"));
    snprintf(part, sizeof part, "%s", path_of("fol"));
    CHECK_NUMBER(try_on("folder/file", from), 0);
    CHECK_NUMBER(try_on("folder/file", slash), 0);
    CHECK_NUMBER(try_on("folder/", from), 0);
    CHECK_NUMBER(try_on("folder//deep/file", from), 0);
    CHECK_NUMBER(try_on("folder/link", from), ELOOP);
    CHECK_NUMBER(try_on("folder/file", part), ELOOP); /* it ends within a name */
    /* The path is another: all of it is looked at. */
    CHECK_NUMBER(try_on("real/file", from), 0);
    CHECK_NUMBER(try_on("folder/file", path_of("real")), ELOOP);
    CHECK_NUMBER(try_on("folder/file", "/"), ELOOP);
    CHECK_NUMBER(try_on("folder", from), 0); /* all of the path is the part, as in nginx */
}

static void a_slash_behind_a_file_is_an_error(void)
{
    CHECK_NUMBER(try_on("real/file/", ""), ENOTDIR); /* as open(2) says */
    CHECK_NUMBER(try_owner("real/file/"), ENOTDIR);
}

static void long_and_odd_paths(void)
{
    char name[NAME_MAX + 2], path[2 * PATH_MAX], from[2 * PATH_MAX];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_NUMBER(try(path_of(name), SYMLINKS_NONE, ""), ENAMETOOLONG);
    name[NAME_MAX] = '\0';
    CHECK_NUMBER(try(path_of(name), SYMLINKS_NONE, ""), ENOENT);
    int n = snprintf(path, sizeof path, "%s/real", dir);
    while (n < PATH_MAX + 100)
        n += snprintf(path + n, sizeof path - (size_t)n, "/.");
    snprintf(path + n, sizeof path - (size_t)n, "/file");
    memcpy(from, path, (size_t)n);
    from[n] = '\0';
    /* Longer than what open(2) takes: not a crash. */
    int result = try(path, SYMLINKS_NONE, from);
    CU_ASSERT(result == 0 || result == ENAMETOOLONG);
}

/* The path ends where the memory ends. */
static void nothing_behind_the_path_is_read(void)
{
    struct check_guarded g = check_guarded_new(4096);
    char path[400];
    snprintf(path, sizeof path, "%s", path_of("real/file"));
    const char *const paths[] = {path, "/", "//"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const char *at = check_guarded_at_end(&g, (struct slice){paths[i], strlen(paths[i]) + 1});
        CHECK_FOR(paths[i], try(at, SYMLINKS_NONE, "") == 0);
    }
    check_guarded_free(&g);
}

static void a_fifo_does_not_hold(void)
{
    if (mkfifo(path_of("fifo"), 0644) < 0)
        abort();
    CHECK_NUMBER(try_on("fifo", ""), 0);
    unlink(path_of("fifo"));
}

static const struct check_case cases[] = {
    {"paths without links are opened", paths_without_links_are_opened},
    {"links are refused wherever they are", links_are_refused_wherever_they_are},
    {"links of the same owner", links_of_the_same_owner},
    {"links are right within from", links_are_right_within_from},
    {"a slash behind a file is an error", a_slash_behind_a_file_is_an_error},
    {"long and odd paths", long_and_odd_paths},
    {"a fifo does not hold", a_fifo_does_not_hold},
    {"nothing behind the path is read", nothing_behind_the_path_is_read},
};

int main(void)
{
    static const char *const names[] = {
        "real/deep/file", "real/deep",  "real/file", "real/link", "real/chain",
        "real/others",    "real/mixed", "real",      "folder",    "round",
        "broken",         "others",     ""};
    if (!mkdtemp(dir))
        return 2;
    make_tree();
    int result = check_main("handlers/symlinks", cases, sizeof cases / sizeof cases[0]);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        remove(path_of(names[i]));
    return result;
}
