/*
 * tests/unit/base/test_logfile.c - log files: registered once, flushed by turns, opened anew after a rotation.
 */
#include "base/logfile.h"

#include "base/fd.h"
#include "base/log.h"
#include "tests/unit/check.h"

#include <fcntl.h>

static char dir[] = "/tmp/weir-logfile-XXXXXX";

struct fixture {
    struct arena arena;
    struct logfiles files;
};

static void set_up(struct fixture *f)
{
    *f = (struct fixture){0};
    arena_init(&f->arena, 4096);
    f->files.arena = &f->arena;
}

static void tear_down(struct fixture *f)
{
    logfiles_close(&f->files);
    arena_free(&f->arena);
}

static struct slice in_dir(struct fixture *f, const char *name)
{
    return arena_printf(&f->arena, "%s/%s", dir, name);
}

static void check_content(struct slice path, const char *wanted)
{
    struct buf content = {0};
    CHECK_NUMBER(fd_read_file(path.data, 1 << 20, &content), 0);
    CHECK_NUMBER(buf_len(&content), strlen(wanted));
    CU_ASSERT(buf_len(&content) == strlen(wanted) && memcmp(content.data, wanted, strlen(wanted)) == 0);
    buf_free(&content);
    unlink(path.data);
}

static void a_path_is_registered_once(void)
{
    struct fixture f;
    set_up(&f);
    struct logfile *a = logfiles_add(&f.files, in_dir(&f, "a")), *b = logfiles_add(&f.files, in_dir(&f, "b"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CU_ASSERT_PTR_NOT_EQUAL(a, b);
    CU_ASSERT_PTR_EQUAL(logfiles_add(&f.files, in_dir(&f, "a")), a);
    CHECK_NUMBER(a->fd, -1);
    CU_ASSERT(access(a->path.data, F_OK) < 0); /* registered, not opened */
    tear_down(&f);
}

static void lines_wait_for_the_flush(void)
{
    struct fixture f;
    set_up(&f);
    struct logfile *a = logfiles_add(&f.files, in_dir(&f, "flush"));
    CU_ASSERT_PTR_NULL(logfiles_open(&f.files));
    logfile_append(a, SLICE("one\n"));
    logfile_append(a, SLICE("two\n"));
    CHECK_NUMBER(buf_len(&a->pending), 8);
    logfiles_flush_all(&f.files);
    CHECK_NUMBER(buf_len(&a->pending), 0);
    logfiles_flush_all(&f.files); /* nothing to do */
    CHECK_NUMBER(a->lost, 0);
    check_content(a->path, "one\ntwo\n");
    tear_down(&f);
}

static void many_lines_are_written_early(void)
{
    struct fixture f;
    char line[1001];
    set_up(&f);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 2] = '\n';
    line[sizeof line - 1] = '\0';
    struct logfile *a = logfiles_add(&f.files, in_dir(&f, "many"));
    CU_ASSERT_PTR_NULL(logfiles_open(&f.files));
    for (int i = 0; i < 200; i++)
        logfile_append(a, slice_of(line));
    CU_ASSERT(buf_len(&a->pending) < 100 * 1000); /* bounded although nobody flushed */
    unlink(a->path.data);
    tear_down(&f);
}

static void the_file_that_cannot_be_opened_is_told(void)
{
    struct fixture f;
    set_up(&f);
    logfiles_add(&f.files, in_dir(&f, "good"));
    struct logfile *bad = logfiles_add(&f.files, in_dir(&f, "no/such/folder"));
    CU_ASSERT_PTR_EQUAL(logfiles_open(&f.files), bad);
    tear_down(&f);
    unlink(in_dir(&f, "good").data);
    arena_free(&f.arena);
}

static void lines_go_to_the_new_file_after_a_rotation(void)
{
    struct fixture f;
    set_up(&f);
    struct logfile *a = logfiles_add(&f.files, in_dir(&f, "rotate"));
    struct slice old = in_dir(&f, "rotate.1");
    CU_ASSERT_PTR_NULL(logfiles_open(&f.files));
    int number = a->fd;
    logfile_append(a, SLICE("before\n"));
    logfiles_flush_all(&f.files);
    rename(a->path.data, old.data);
    logfile_append(a, SLICE("between\n"));
    logfiles_flush_all(&f.files); /* still the old file */
    logfiles_reopen(&f.files, geteuid());
    /* Whoever holds the number writes to the new file. */
    CHECK_NUMBER(a->fd, number);
    CU_ASSERT(fcntl(a->fd, F_GETFD) & FD_CLOEXEC);
    logfile_append(a, SLICE("after\n"));
    logfiles_flush_all(&f.files);
    check_content(old, "before\nbetween\n");
    check_content(a->path, "after\n");
    tear_down(&f);
}

static void a_failed_reopen_keeps_the_old_file(void)
{
    struct fixture f;
    set_up(&f);
    struct slice folder = in_dir(&f, "gone"), moved = in_dir(&f, "moved");
    CHECK_NUMBER(fd_make_dirs(folder.data, 0700), 0);
    struct logfile *a = logfiles_add(&f.files, arena_printf(&f.arena, "%s/log", folder.data));
    CU_ASSERT_PTR_NULL(logfiles_open(&f.files));
    rename(folder.data, moved.data);
    logfiles_reopen(&f.files, geteuid());
    CU_ASSERT(a->fd >= 0);
    logfile_append(a, SLICE("kept\n"));
    logfiles_flush_all(&f.files);
    check_content(arena_printf(&f.arena, "%s/log", moved.data), "kept\n");
    rmdir(moved.data);
    tear_down(&f);
}

static void lines_for_a_full_disk_are_counted_and_dropped(void)
{
    struct fixture f;
    set_up(&f);
    struct logfile *a = logfiles_add(&f.files, SLICE("/dev/full"));
    CU_ASSERT_PTR_NULL(logfiles_open(&f.files));
    logfile_append(a, SLICE("one\n"));
    logfile_append(a, SLICE("two\n"));
    logfile_append(a, SLICE("three\n"));
    logfiles_flush_all(&f.files);
    CHECK_NUMBER(buf_len(&a->pending), 0); /* they do not pile up */
    CHECK_NUMBER(a->lost, 3);              /* "lines that could not be written" */
    tear_down(&f);
}

static const struct check_case cases[] = {
    {"a path is registered once", a_path_is_registered_once},
    {"lines wait for the flush", lines_wait_for_the_flush},
    {"many lines are written early", many_lines_are_written_early},
    {"the file that cannot be opened is told", the_file_that_cannot_be_opened_is_told},
    {"lines go to the new file after a rotation", lines_go_to_the_new_file_after_a_rotation},
    {"a failed reopen keeps the old file", a_failed_reopen_keeps_the_old_file},
    {"lines for a full disk are counted and dropped", lines_for_a_full_disk_are_counted_and_dropped},
};

int main(void)
{
    static const struct log_sink nowhere = {.fd = -1,
                                            .level = LOG_LEVEL_EMERG}; /* the failures above are meant */
    if (!mkdtemp(dir))
        return 2;
    log_set_sinks(&nowhere, 1);
    log_also_stderr(false);
    int result = check_main("base/logfile", cases, sizeof cases / sizeof cases[0]);
    rmdir(dir);
    return result;
}
