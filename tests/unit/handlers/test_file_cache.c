/*
 * tests/unit/handlers/test_file_cache.c - cached files: fresh after a change, held while in use, within the bounds.
 *
 * Files get an age of seconds, since the cache leaves alone what could still change within a clock's tick.
 */
#include "handlers/file_cache.h"

#include "base/fd.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

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
    CU_ASSERT_PTR_EQUAL(same_turn, old); /* one look at the disk for each turn of the loop */
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

static void folders_and_odd_files(void)
{
    const char *fifo = path_of("fifo"), *empty = path_of("empty");
    CU_ASSERT_FATAL(mkfifo(fifo, 0644) == 0);
    write_file(empty, "", 0);
    file_cache_init(&cache);
    struct file_entry *e = get(dir);
    CU_ASSERT(e && S_ISDIR(e->st.st_mode) && e->fd < 0 && !e->content);
    file_entry_release(e);
    e = get(fifo); /* comes back at once although nobody writes */
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
    for (int i = 0; i < FILES; i++)
        if (link(real, path_of("link-%d", i)) < 0)
            abort();
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
    for (int i = 0; i < FILES; i++)
        unlink(path_of("link-%d", i));
    unlink(real);
}

static void the_bytes_are_bounded(void)
{
    enum { FILES = FILE_CACHE_BYTES / FILE_CACHE_CONTENT_MAX + 20 };
    char real[200];
    snprintf(real, sizeof real, "%s", path_of("real"));
    write_file(real, "x", FILE_CACHE_CONTENT_MAX);
    for (int i = 0; i < FILES; i++)
        if (link(real, path_of("link-%d", i)) < 0)
            abort();
    wait_until_settled(real);
    file_cache_init(&cache);
    for (int i = 0; i < FILES; i++) {
        file_entry_release(get(path_of("link-%d", i)));
        CU_ASSERT(cache.bytes <= FILE_CACHE_BYTES);
    }
    CHECK_NUMBER(cache.bytes, FILE_CACHE_BYTES);
    file_cache_free(&cache);
    for (int i = 0; i < FILES; i++)
        unlink(path_of("link-%d", i));
    unlink(real);
}

static const struct check_case cases[] = {
    {"small files are kept in memory", small_files_are_kept_in_memory},
    {"large files are kept open", large_files_are_kept_open},
    {"changes are seen in the next turn", changes_are_seen_in_the_next_turn},
    {"replaced and deleted files are seen", replaced_and_deleted_files_are_seen},
    {"a file just written is not trusted", a_file_just_written_is_not_trusted},
    {"folders and odd files", folders_and_odd_files},
    {"the number of entries is bounded", the_number_of_entries_is_bounded},
    {"the bytes are bounded", the_bytes_are_bounded},
};

int main(void)
{
    if (!mkdtemp(dir))
        return 2;
    int result = check_main("handlers/file_cache", cases, sizeof cases / sizeof cases[0]);
    rmdir(dir);
    return result;
}
