/*
 * tests/unit/base/test_file_cache.c - cached files: fresh after a change, held while in use, within the bounds.
 *
 * Files get an age of seconds, since the cache leaves alone what could still change within a clock's tick.
 */
#include "base/file_cache.h"

#include "base/fd.h"
#include "base/symlinks.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/resource.h>

static char dir[] = "/tmp/weir-cache-XXXXXX";
static struct file_cache cache; /* large: not on the stack */

/* A path below the test's folder; valid until the next call but three. */
static const char *path_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *path_of(const char *format, ...)
{
    static char paths[4][200];
    static unsigned turn;
    char *path = paths[turn++ % 4], name[100];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void write_file(const char *path, const char *text, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0 || ftruncate(fd, (off_t)bytes) < 0)
        abort();
    close(fd);
}

/* Until the file's change time is old enough to be trusted. */
static void wait_until_settled(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        abort();
    uint64_t changed_ms = (uint64_t)st.st_ctim.tv_sec * 1000 + (uint64_t)st.st_ctim.tv_nsec / 1000000;
    CHECK_EVENTUALLY(clock_wall_ms() >= changed_ms + 25);
}

/* Names NAME-0 and so on for one file. */
static void link_many(const char *real, const char *name, int count)
{
    for (int i = 0; i < count; i++)
        if (link(real, path_of("%s-%d", name, i)) < 0)
            abort();
}

static void unlink_many(const char *name, int count)
{
    for (int i = 0; i < count; i++)
        unlink(path_of("%s-%d", name, i));
}

static struct file_entry *get(const char *path)
{
    cache.turn++;
    return file_cache_get(&cache, slice_of(path), NULL);
}

static void small_files_are_kept_in_memory(void)
{
    const char *path = path_of("small");
    write_file(path, "hello", 5);
    wait_until_settled(path);
    file_cache_init(&cache);
    struct file_entry *first = get(path), *again = get(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_PTR_EQUAL(first, again);
    CHECK_NUMBER(cache.entries, 1);
    CHECK_NUMBER(cache.bytes, 5);
    CHECK_NUMBER(first->fd, -1);
    CU_ASSERT(memcmp(first->content, "hello", 5) == 0);
    CHECK_NUMBER(first->last_modified.len, CLOCK_HTTP_DATE_BYTES);
    CU_ASSERT(first->etag.len > 4 && first->etag.data[0] == '"' &&
              first->etag.data[first->etag.len - 1] == '"');
    CHECK_SLICE(first->path, path);
    file_entry_release(first);
    file_entry_release(again);
    file_cache_free(&cache);
    CHECK_NUMBER(cache.entries, 0);
    CHECK_NUMBER(cache.bytes, 0);
    unlink(path);
}

static void large_files_are_kept_open(void)
{
    const char *at_bound = path_of("bound"), *above = path_of("above");
    write_file(at_bound, "x", FILE_CACHE_CONTENT_MAX);
    write_file(above, "x", FILE_CACHE_CONTENT_MAX + 1);
    wait_until_settled(above);
    file_cache_init(&cache);
    struct file_entry *small = get(at_bound), *large = get(above);
    CU_ASSERT(small && small->content && small->fd < 0);
    CU_ASSERT(large && !large->content && large->fd >= 0);
    CHECK_NUMBER(cache.bytes, FILE_CACHE_CONTENT_MAX);
    int fd = large->fd;
    file_entry_release(small);
    file_cache_free(&cache);
    CU_ASSERT(fcntl(fd, F_GETFD) >= 0); /* held: its memory waits */
    file_entry_release(large);
    CU_ASSERT(fcntl(fd, F_GETFD) < 0);
    unlink(at_bound);
    unlink(above);
}

static void changes_are_seen_in_the_next_turn(void)
{
    const char *path = path_of("changing");
    write_file(path, "old", 3);
    wait_until_settled(path);
    file_cache_init(&cache);
    struct file_entry *old = get(path);
    char old_tag[48];
    snprintf(old_tag, sizeof old_tag, "%s", old->etag_text);
    write_file(path, "new!", 4);
    struct file_entry *same_turn = file_cache_get(&cache, slice_of(path), NULL);
    /* One look at the disk for each turn of the loop. */
    CU_ASSERT_PTR_EQUAL(same_turn, old);
    struct file_entry *new = get(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(new);
    CU_ASSERT_PTR_NOT_EQUAL(new, old);
    CU_ASSERT(memcmp(new->content, "new!", 4) == 0);
    CU_ASSERT(memcmp(old->content, "old", 3) == 0); /* whoever still sends it may */
    CU_ASSERT_STRING_NOT_EQUAL(new->etag_text, old_tag);
    file_entry_release(old);
    file_entry_release(same_turn);
    file_entry_release(new);
    file_cache_free(&cache);
    unlink(path);
}

static void replaced_and_deleted_files_are_seen(void)
{
    const char *path = path_of("replaced"), *other = path_of("other");
    write_file(path, "one", 3);
    write_file(other, "two", 3);
    wait_until_settled(other);
    file_cache_init(&cache);
    file_entry_release(get(path));
    rename(other, path); /* the same size, another file */
    struct file_entry *e = get(path);
    CU_ASSERT(e && memcmp(e->content, "two", 3) == 0);
    file_entry_release(e);
    unlink(path);
    CU_ASSERT_PTR_NULL(get(path));
    CHECK_NUMBER(errno, ENOENT);
    CHECK_NUMBER(cache.entries, 0);
    file_cache_free(&cache);
}

/* Two versions within one tick of the clock cannot be told apart: such a file is served, and not kept. */
static void a_file_just_written_is_not_trusted(void)
{
    const char *path = path_of("fresh");
    size_t wrong = 0;
    file_cache_init(&cache);
    for (int i = 0; i < 200; i++) {
        char text[8];
        snprintf(text, sizeof text, "%07d", i); /* always of the same size */
        write_file(path, text, 7);
        struct file_entry *e = get(path);
        wrong += !e || memcmp(e->content, text, 7) != 0;
        if (e)
            file_entry_release(e);
    }
    CHECK_NUMBER(wrong, 0);
    file_cache_free(&cache);
    unlink(path);
}

static void directories_and_odd_files(void)
{
    const char *fifo = path_of("fifo"), *empty = path_of("empty");
    CU_ASSERT_FATAL(mkfifo(fifo, 0644) == 0);
    write_file(empty, "", 0);
    file_cache_init(&cache);
    struct file_entry *e = get(dir);
    CU_ASSERT(e && S_ISDIR(e->st.st_mode) && e->fd < 0 && !e->content);
    file_entry_release(e);
    /* Comes back at once although nobody writes. */
    e = get(fifo);
    CU_ASSERT(e && S_ISFIFO(e->st.st_mode) && e->fd < 0);
    file_entry_release(e);
    e = get(empty);
    CU_ASSERT(e && e->st.st_size == 0 && e->content);
    file_entry_release(e);
    CU_ASSERT_PTR_NULL(get(path_of("no/such")));
    CHECK_NUMBER(errno, ENOENT);
    CU_ASSERT_PTR_NULL(get(path_of("empty/below")));
    CHECK_NUMBER(errno, ENOTDIR);
    file_cache_free(&cache);
    unlink(fifo);
    unlink(empty);
}

static void the_number_of_entries_is_bounded(void)
{
    enum { FILES = FILE_CACHE_ENTRIES + 50 };
    char real[200];
    snprintf(real, sizeof real, "%s", path_of("real"));
    write_file(real, "x", 1);
    link_many(real, "link", FILES);
    wait_until_settled(real);
    file_cache_init(&cache);
    struct file_entry *held = get(path_of("link-0"));
    for (int i = 1; i < FILES; i++)
        file_entry_release(get(path_of("link-%d", i)));
    CHECK_NUMBER(cache.entries, FILE_CACHE_ENTRIES);
    CU_ASSERT(cache.bytes <= FILE_CACHE_ENTRIES);
    CU_ASSERT(held && held->content[0] == 'x'); /* pushed out, and still whole */
    file_entry_release(held);
    struct file_entry *recent = get(path_of("link-%d", FILES - 1));
    CHECK_NUMBER(recent->holders, 2); /* the cache's and this one: it was kept */
    file_entry_release(recent);
    file_cache_free(&cache);
    unlink_many("link", FILES);
    unlink(real);
}

static void the_bytes_are_bounded(void)
{
    enum { FILES = FILE_CACHE_BYTES / FILE_CACHE_CONTENT_MAX + 20 };
    char real[200];
    snprintf(real, sizeof real, "%s", path_of("real"));
    write_file(real, "x", FILE_CACHE_CONTENT_MAX);
    link_many(real, "link", FILES);
    wait_until_settled(real);
    file_cache_init(&cache);
    for (int i = 0; i < FILES; i++) {
        file_entry_release(get(path_of("link-%d", i)));
        CU_ASSERT(cache.bytes <= FILE_CACHE_BYTES);
    }
    CHECK_NUMBER(cache.bytes, FILE_CACHE_BYTES);
    file_cache_free(&cache);
    unlink_many("link", FILES);
    unlink(real);
}

/* --- open_file_cache --- */

static struct file_entry *get_by(const char *path, const struct file_rules *rules)
{
    cache.turn++;
    return file_cache_get(&cache, slice_of(path), rules);
}

/* One look and nothing held; the errno of it. */
static int look(const char *path, const struct file_rules *rules)
{
    struct file_entry *e = get_by(path, rules);
    if (!e)
        return errno;
    file_entry_release(e);
    return 0;
}

static char first_byte(const char *path, const struct file_rules *rules)
{
    struct file_entry *e = get_by(path, rules);
    char c = e ? e->content[0] : '\0';
    if (e)
        file_entry_release(e);
    return c;
}

static size_t descriptors(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void begin_at(uint64_t now_ms)
{
    file_cache_init(&cache);
    cache.now_ms = now_ms;
}

static void an_entry_is_believed_while_it_is_valid(void)
{
    const char *path = path_of("valid");
    struct file_rules rules = {.valid_ms = 1000, .inactive_ms = 60000, .min_uses = 1, .open_max = 10};
    write_file(path, "old", 3);
    wait_until_settled(path);
    begin_at(5000);
    CU_ASSERT_EQUAL(first_byte(path, &rules), 'o');
    write_file(path, "new", 3);
    wait_until_settled(path);
    cache.now_ms = 5999;
    CU_ASSERT_EQUAL(first_byte(path, &rules), 'o');
    cache.now_ms = 6000; /* uses do not make it younger */
    CU_ASSERT_EQUAL(first_byte(path, &rules), 'n');
    write_file(path, "xyz", 3);
    wait_until_settled(path);
    CU_ASSERT_EQUAL(first_byte(path, &rules), 'n');
    CU_ASSERT_EQUAL(first_byte(path, NULL), 'x'); /* who has no such rules looks at the disk */
    CU_ASSERT_EQUAL(first_byte(path, &rules), 'x');
    file_cache_free(&cache);
    unlink(path);
}

static void validity_is_that_of_who_asks(void)
{
    const char *path = path_of("two");
    struct file_rules hours = {.valid_ms = 3600000, .min_uses = 1},
                      second = {.valid_ms = 1000, .min_uses = 1};
    write_file(path, "old", 3);
    wait_until_settled(path);
    begin_at(5000);
    look(path, &hours);
    unlink(path);
    cache.now_ms = 7000;
    CHECK_NUMBER(look(path, &hours), 0);
    CHECK_NUMBER(look(path, &second), ENOENT);
    CHECK_NUMBER(look(path, &hours), ENOENT);
    file_cache_free(&cache);
}

static void a_look_that_agrees_begins_a_new_time(void)
{
    const char *path = path_of("again");
    struct file_rules rules = {.valid_ms = 1000, .min_uses = 1};
    write_file(path, "old", 3);
    wait_until_settled(path);
    begin_at(1000);
    look(path, &rules);
    cache.now_ms = 2500;
    look(path, &rules);
    unlink(path);
    cache.now_ms = 3400;
    CHECK_NUMBER(look(path, &rules), 0);
    cache.now_ms = 3500;
    CHECK_NUMBER(look(path, &rules), ENOENT);
    file_cache_free(&cache);
}

static void few_uses_are_looked_at_each_time(void)
{
    const char *path = path_of("seldom");
    struct file_rules rules = {.valid_ms = 1000, .min_uses = 3};
    write_file(path, "a", 1);
    wait_until_settled(path);
    begin_at(1000);
    CU_ASSERT_EQUAL(first_byte(path, &rules), 'a');
    write_file(path, "b", 1);
    wait_until_settled(path);
    CU_ASSERT_EQUAL(first_byte(path, &rules), 'b');
    look(path, &rules), look(path, &rules);
    write_file(path, "c", 1);
    wait_until_settled(path);
    CU_ASSERT_EQUAL(first_byte(path, &rules), 'b');
    file_cache_free(&cache);
    unlink(path);
}

static void errors_are_remembered_when_wanted(void)
{
    const char *path = path_of("missing");
    struct file_rules rules = {.valid_ms = 1000, .min_uses = 1, .errors = true},
                      none = {.valid_ms = 1000, .min_uses = 1};
    begin_at(1000);
    CHECK_NUMBER(look(path, &none), ENOENT);
    CHECK_NUMBER(cache.entries, 0);
    CHECK_NUMBER(look(path, &rules), ENOENT);
    CHECK_NUMBER(cache.entries, 1);
    CHECK_NUMBER(cache.open_files, 0);
    write_file(path, "here", 4);
    wait_until_settled(path);
    cache.now_ms = 1999;
    CHECK_NUMBER(look(path, &rules), ENOENT);
    cache.now_ms = 2000;
    CHECK_NUMBER(look(path, &rules), 0);
    unlink(path);
    cache.now_ms = 3000;
    CHECK_NUMBER(look(path, &rules), ENOENT);
    write_file(path, "here", 4);
    CHECK_NUMBER(look(path, &none), 0); /* who did not ask for it does not get it */
    file_cache_free(&cache);
    unlink(path);
}

/* min_uses is about files that are kept open: nginx remembers an error from the first time on. */
static void errors_do_not_need_uses(void)
{
    const char *path = path_of("missing");
    struct file_rules rules = {.valid_ms = 1000, .min_uses = 2, .errors = true};
    begin_at(1000);
    for (int i = 0; i < 3; i++)
        CHECK_NUMBER(look(path, &rules), ENOENT);
    write_file(path, "here", 4);
    CHECK_NUMBER(look(path, &rules), ENOENT);
    cache.now_ms = 2000;
    CHECK_NUMBER(look(path, &rules), 0);
    file_cache_free(&cache);
    unlink(path);
}

/* That there is no descriptor left says nothing about the file. */
static void a_shortage_is_not_remembered(void)
{
    const char *path = path_of("short");
    struct file_rules rules = {.valid_ms = 60000, .min_uses = 1, .errors = true};
    struct rlimit old, none;
    write_file(path, "here", 4);
    wait_until_settled(path);
    begin_at(1000);
    getrlimit(RLIMIT_NOFILE, &old);
    none = (struct rlimit){0, old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    CHECK_NUMBER(look(path, &rules), EMFILE);
    setrlimit(RLIMIT_NOFILE, &old);
    CHECK_NUMBER(look(path, &rules), 0);
    file_cache_free(&cache);
    unlink(path);
}

static void the_unused_are_forgotten(void)
{
    struct file_rules rules = {
        .valid_ms = 100000, .inactive_ms = 500, .min_uses = 1, .errors = true, .open_max = 10};
    char large[200], small[200];
    snprintf(large, sizeof large, "%s", path_of("large"));
    snprintf(small, sizeof small, "%s", path_of("small"));
    write_file(large, "x", FILE_CACHE_CONTENT_MAX + 1);
    write_file(small, "x", 10);
    wait_until_settled(small);
    size_t before = descriptors();
    begin_at(1000);
    look(large, &rules);
    look(path_of("none"), &rules);
    CHECK_NUMBER(descriptors(), before + 1);
    cache.now_ms = 1400;
    look(small, &rules);
    cache.now_ms = 1501;
    look(small, &rules);
    CHECK_NUMBER(cache.entries, 1);
    CHECK_NUMBER(cache.open_files, 0);
    CHECK_NUMBER(descriptors(), before);
    file_cache_free(&cache);
    unlink(large);
    unlink(small);
}

static void open_files_are_bounded(void)
{
    enum { FILES = 40, OPEN = 5 };
    struct file_rules rules = {.valid_ms = 100000, .min_uses = 1, .open_max = OPEN};
    char real[200];
    snprintf(real, sizeof real, "%s", path_of("real"));
    write_file(real, "x", FILE_CACHE_CONTENT_MAX + 1);
    link_many(real, "link", FILES);
    wait_until_settled(real);
    size_t before = descriptors();
    begin_at(1000);
    for (int i = 0; i < FILES; i++) {
        CHECK_NUMBER(look(path_of("link-%d", i), &rules), 0);
        CU_ASSERT(cache.open_files <= OPEN && descriptors() <= before + OPEN);
    }
    CHECK_NUMBER(cache.open_files, OPEN);
    unlink_many("link", FILES);
    file_cache_free(&cache);
    CHECK_NUMBER(descriptors(), before);
    unlink(real);
}

/* Files in memory cost no descriptor: the bound of open files is not theirs. */
static void open_files_do_not_push_out_others(void)
{
    enum { FILES = 30 };
    struct file_rules rules = {.valid_ms = 100000, .min_uses = 1, .open_max = 2};
    char small[200], large[200];
    snprintf(small, sizeof small, "%s", path_of("small"));
    snprintf(large, sizeof large, "%s", path_of("large"));
    write_file(small, "x", 1);
    write_file(large, "x", FILE_CACHE_CONTENT_MAX + 1);
    link_many(small, "small", FILES);
    link_many(large, "large", 4);
    wait_until_settled(large);
    begin_at(1000);
    for (int i = 0; i < FILES; i++)
        look(path_of("small-%d", i), &rules);
    for (int i = 0; i < 4; i++)
        look(path_of("large-%d", i), &rules);
    CHECK_NUMBER(cache.open_files, 2);
    CHECK_NUMBER(cache.entries, FILES + 2);
    file_cache_free(&cache);
    unlink_many("small", FILES);
    unlink_many("large", 4);
    unlink(small);
    unlink(large);
}

static void a_storm_of_missing_names_is_bounded(void)
{
    struct file_rules rules = {
        .valid_ms = 100000, .inactive_ms = 60000, .min_uses = 1, .errors = true, .open_max = 100};
    size_t before = descriptors();
    begin_at(1000);
    for (int i = 0; i < 20 * FILE_CACHE_ENTRIES; i++)
        look(path_of("storm-%d", i), &rules);
    CHECK_NUMBER(cache.entries, FILE_CACHE_ENTRIES);
    CHECK_NUMBER(cache.open_files, 0);
    CHECK_NUMBER(descriptors(), before);
    file_cache_free(&cache);
}

static void links_are_never_answered_from_the_cache(void)
{
    struct file_rules rules = {.valid_ms = 100000, .min_uses = 1, .errors = true},
                      strict = {.valid_ms = 100000, .min_uses = 1, .errors = true, .symlinks = SYMLINKS_NONE};
    char real[200], path[200];
    snprintf(real, sizeof real, "%s", path_of("real"));
    snprintf(path, sizeof path, "%s", path_of("link"));
    write_file(real, "x", 1);
    wait_until_settled(real);
    if (symlink(real, path) < 0)
        abort();
    begin_at(1000);
    CHECK_NUMBER(look(path, &rules), 0);
    CHECK_NUMBER(look(path, &strict), ELOOP);
    CHECK_NUMBER(look(path, &rules), 0);
    CHECK_NUMBER(cache.entries, 1);
    file_cache_free(&cache);
    unlink(path);
    unlink(real);
}

static void a_file_may_stay_on_the_disk(void)
{
    struct file_rules rules = {.without_waiting = true};
    const char *path = path_of("cold");
    char byte = 0;
    write_file(path, "cold", 10000);
    wait_until_settled(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    size_t before = descriptors();
    begin_at(1000);
    struct file_entry *e = get_by(path, &rules);
    CU_ASSERT_PTR_NOT_NULL_FATAL(e);
    /* Which of them is the file system's choice. */
    CU_ASSERT((e->content == NULL) == (e->fd >= 0));
    CHECK_NUMBER(e->st.st_size, 10000);
    CU_ASSERT(e->content ? e->content[0] == 'c' : pread(e->fd, &byte, 1, 0) == 1 && byte == 'c');
    file_entry_release(e);
    file_cache_free(&cache);
    CHECK_NUMBER(descriptors(), before);
    close(fd);
    unlink(path);
}

static const struct check_case cases[] = {
    {"small files are kept in memory", small_files_are_kept_in_memory},
    {"large files are kept open", large_files_are_kept_open},
    {"changes are seen in the next turn", changes_are_seen_in_the_next_turn},
    {"replaced and deleted files are seen", replaced_and_deleted_files_are_seen},
    {"a file just written is not trusted", a_file_just_written_is_not_trusted},
    {"folders and odd files", directories_and_odd_files},
    {"the number of entries is bounded", the_number_of_entries_is_bounded},
    {"the bytes are bounded", the_bytes_are_bounded},
    {"an entry is believed while it is valid", an_entry_is_believed_while_it_is_valid},
    {"validity is that of who asks", validity_is_that_of_who_asks},
    {"a look that agrees begins a new time", a_look_that_agrees_begins_a_new_time},
    {"few uses are looked at each time", few_uses_are_looked_at_each_time},
    {"errors are remembered when wanted", errors_are_remembered_when_wanted},
    {"errors do not need uses", errors_do_not_need_uses},
    {"a shortage is not remembered", a_shortage_is_not_remembered},
    {"the unused are forgotten", the_unused_are_forgotten},
    {"open files are bounded", open_files_are_bounded},
    {"open files do not push out others", open_files_do_not_push_out_others},
    {"a storm of missing names is bounded", a_storm_of_missing_names_is_bounded},
    {"links are never answered from the cache", links_are_never_answered_from_the_cache},
    {"a file may stay on the disk", a_file_may_stay_on_the_disk},
};

int main(void)
{
    if (!mkdtemp(dir))
        return 2;
    int result = check_main("handlers/file_cache", cases, sizeof cases / sizeof cases[0]);
    rmdir(dir);
    return result;
}
