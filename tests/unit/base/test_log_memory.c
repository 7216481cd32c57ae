/*
 * tests/unit/base/test_log_memory.c - the log in memory: its file, its end, and writers that do not wait for each other.
 */
#include "base/log_memory.h"

#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { RING = 4096, WRITERS = 4, LINES = 2000, LINE = 64, LARGE = WRITERS * LINES * LINE };

/* A descriptor of its own of the file that /proc shows, as whoever reads the log has it; -1 without one. */
static int open_shown(int flags)
{
    char path[300], target[300];
    int fd = -1;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e; fd < 0 && (e = readdir(dir));) {
        snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strstr(target, "weir-log"))
            fd = open(path, flags | O_CLOEXEC);
    }
    closedir(dir);
    return fd;
}

/* The log's content, zero-terminated; the caller's to free. */
static char *content(size_t bytes)
{
    char *text = calloc(1, bytes + 1);
    int fd = open_shown(O_RDONLY);
    CHECK_NUMBER(pread(fd, text, bytes + 1, 0), bytes);
    close(fd);
    return text;
}

static void lines_stand_in_the_file(void)
{
    struct log_memory *m = log_memory_open(RING);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    log_memory_write(m, SLICE("one\n"));
    log_memory_write(m, SLICE("two\n"));
    log_memory_write(m, SLICE(""));
    char *text = content(RING);
    CU_ASSERT_STRING_EQUAL(text, "one\ntwo\n");
    free(text);
    log_memory_close(m);
    CHECK_NUMBER(open_shown(O_RDONLY), -1);
}

static void the_end_goes_on_at_the_beginning(void)
{
    char line[RING + 1];
    struct log_memory *m = log_memory_open(RING);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    memset(line, 'a', sizeof line);
    log_memory_write(m, (struct slice){line, RING + 1}); /* fits nowhere */
    log_memory_write(m, (struct slice){line, RING - 3});
    log_memory_write(m, SLICE("12345\n"));
    char *text = content(RING);
    CU_ASSERT(memcmp(text, "45\naaa", 6) == 0);
    CU_ASSERT(memcmp(text + RING - 6, "aaa123", 6) == 0);
    free(text);
    memset(line, 'b', sizeof line);
    log_memory_write(m, (struct slice){line, RING}); /* all of it, from the middle */
    text = content(RING);
    CHECK_NUMBER(strspn(text, "b"), RING);
    free(text);
    log_memory_close(m);
}

static void write_lines(struct log_memory *m, int writer)
{
    char line[LINE + 1];
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "%02d %05d %053d\n", writer, i, i);
        log_memory_write(m, (struct slice){line, LINE});
    }
}

static void check_all_lines(void)
{
    static char seen[WRITERS][LINES];
    memset(seen, 0, sizeof seen);
    char *text = content(LARGE);
    int good = 0;
    for (size_t at = 0; at < LARGE; at += LINE) {
        int writer = -1, i = -1, again = -1;
        bool read = sscanf(text + at, "%d %d %d\n", &writer, &i, &again) == 3;
        if (read && writer >= 0 && writer < WRITERS && i >= 0 && i < LINES && i == again && !seen[writer][i])
            good += ++seen[writer][i];
    }
    CHECK_NUMBER(good, WRITERS * LINES);
    free(text);
}

static void processes_get_places_of_their_own(void)
{
    struct log_memory *m = log_memory_open(LARGE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    for (int i = 0; i < WRITERS; i++)
        if (fork() == 0) {
            write_lines(m, i);
            _exit(0);
        }
    for (int i = 0; i < WRITERS; i++)
        wait(NULL);
    check_all_lines();
    log_memory_close(m);
}

static struct log_memory *shared;

static void *run_writer(void *number)
{
    write_lines(shared, *(int *)number);
    return NULL;
}

static void threads_get_places_of_their_own(void)
{
    pthread_t threads[WRITERS];
    int numbers[WRITERS];
    shared = log_memory_open(LARGE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(shared);
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, run_writer, &numbers[i]);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    check_all_lines();
    log_memory_close(shared);
}

static void no_reader_can_change_its_size(void)
{
    struct stat st;
    struct log_memory *m = log_memory_open(RING);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    int fd = open_shown(O_RDWR);
    CU_ASSERT(ftruncate(fd, 0) < 0 && errno == EPERM);
    CU_ASSERT(ftruncate(fd, RING * 2) < 0 && errno == EPERM);
    CHECK_NUMBER(fstat(fd, &st), 0);
    CHECK_NUMBER(st.st_size, RING);
    if (st.st_size == RING)
        log_memory_write(m, SLICE("line\n"));
    close(fd);
    log_memory_close(m);
}

static void too_much_memory_is_an_error(void)
{
    CU_ASSERT_PTR_NULL(log_memory_open(SIZE_MAX / 2));
    CU_ASSERT(errno != 0);
    CHECK_NUMBER(open_shown(O_RDONLY), -1);
}

static const struct check_case cases[] = {
    {"lines stand in the file", lines_stand_in_the_file},
    {"the end goes on at the beginning", the_end_goes_on_at_the_beginning},
    {"processes get places of their own", processes_get_places_of_their_own},
    {"threads get places of their own", threads_get_places_of_their_own},
    {"no reader can change its size", no_reader_can_change_its_size},
    {"too much memory is an error", too_much_memory_is_an_error},
};

CHECK_MAIN("base/log_memory", cases)
